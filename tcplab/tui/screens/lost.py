"""When the engine is gone: what happened and what to do, and the last picture of the lab is behind it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tcplab.tui.draw.spans import Line, wrap
from tcplab.tui.widgets.lines import KeyValues


class Lost(Screen[None]):
    """A full panel; q leaves with exit code `code`, esc looks at the last state again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+q,enter", "leave", "quit"),
        Binding("escape", "back", "back"),
    ]

    def __init__(self, why: str, code: int) -> None:
        super().__init__()
        self._why = why
        self._code = code

    def compose(self) -> ComposeResult:
        """One pane."""
        pane = KeyValues(self.app.ink, "lost")  # type: ignore[attr-defined]  # every app of this room has it
        pane.add_class("pane")
        yield pane

    def on_mount(self) -> None:
        """Say it."""
        self._draw()

    def on_resize(self) -> None:
        """Break the lines again."""
        self._draw()

    def _draw(self) -> None:
        room = max(10, min(90, self.app.size.width - 4))
        pane = self.query_one("#lost", KeyValues)
        pane.titles("ERROR")
        lines: list[Line] = [[], [("The lab has ended.", "trouble")], []]
        lines += [[(text, "value")] for text in wrap(self._why, room)]
        advice = (
            "Nothing of it is left behind: its namespaces are gone with it. What you saw stays here until you leave: "
            "esc shows it once more."
        )
        lines += [[], *[[(text, "")] for text in wrap(advice, room)], []]
        lines += [[("What to do", "accent")]]
        steps = (
            "Start it again with the same seed: tcplab start LAB --seed N gives the same run.",
            "Without a screen: tcplab run LAB --trace shows every event up to the end.",
            "tcplab doctor says what this machine allows.",
        )
        for step in steps:
            lines += [[(text, "")] for text in wrap("- " + step, room, "  ")]
        lines += [[], [("q", "accent"), (" quit   ", "dim"), ("esc", "accent"), (" the last state", "dim")]]
        pane.show(lines)

    def action_leave(self) -> None:
        """End the program."""
        self.app.exit(self._code)

    def action_back(self) -> None:
        """The main screen stands still behind."""
        self.app.pop_screen()
