"""The inject menu: one place for all trouble. Each entry shows the line it runs: so a person learns the language."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tcplab.tui.draw.spans import Line, fit
from tcplab.tui.injections import Injection
from tcplab.tui.widgets.lines import Lines

_WIDTH = 76


class Inject(ModalScreen[str]):
    """Its result is the line to run, or nothing. A letter applies at once; tab edits the line first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "close", priority=True),
        Binding("up", "move(-1)", "up"),
        Binding("down", "move(1)", "down"),
        Binding("tab", "edit", "edit", priority=True),
        Binding("enter", "apply", "apply"),
    ]

    def __init__(self, entries: list[Injection]) -> None:
        super().__init__()
        self._entries = entries
        self._at = 0
        for index, entry in enumerate(entries):  # at once, like esc: what is typed next is not for this menu any more
            self._bindings.bind(entry.key, f"choose({index})", entry.text, priority=True)

    def compose(self) -> ComposeResult:
        """The list, and the line while it is edited."""
        with Vertical(id="box"):
            yield Lines(self.app.ink, "menu")  # type: ignore[attr-defined]  # every app of this room has it
            yield Input(id="edit", compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        """Draw and take the keys."""
        box = self.query_one("#box")
        box.border_title = "Inject"
        box.border_subtitle = "enter apply   tab edit   esc close"
        self._draw()
        self.query_one("#menu").focus()

    def on_resize(self) -> None:
        """The terminal has another size."""
        self._draw()

    def _draw(self) -> None:
        box, menu = self.query_one("#box"), self.query_one("#menu", Lines)
        room = min(_WIDTH, self.app.size.width - 4)
        lines, cursor = self._lines(room)
        box.styles.width = room + 4
        box.styles.height = min(len(lines) + 2, self.app.size.height)
        menu.show(lines, cursor)

    def _lines(self, room: int) -> tuple[list[Line], int]:
        lines: list[Line] = []
        cursor = 0
        group = ""
        words = max((len(entry.text) for entry in self._entries), default=0)
        for index, entry in enumerate(self._entries):
            if entry.group != group:
                group = entry.group
                lines.append([(group, "dim")])
            here = index == self._at
            cursor = len(lines) if here else cursor
            mark = ">" if here else " "
            line: Line = [(f"{mark} ", "accent"), (f"{entry.key}  ", "accent"), (f"{entry.text:<{words}}  ", "value")]
            lines.append(fit([*line, (entry.line, "dim")], room))
        return lines, cursor

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are letters while the line is edited."""
        return not (action == "choose" and self._editing)

    def action_choose(self, index: int) -> None:
        """The letter of an entry applies it."""
        self.dismiss(self._entries[index].line)

    @property
    def _editing(self) -> bool:
        return any(edit.display and edit.has_focus for edit in self.query(Input))

    def action_move(self, by: int) -> None:
        """Another entry."""
        self._at = (self._at + by) % len(self._entries)
        self._draw()

    def action_apply(self) -> None:
        """Run the entry's line."""
        self.dismiss(self._entries[self._at].line)

    def action_edit(self) -> None:
        """Change the line before it runs."""
        edit = self.query_one("#edit", Input)
        edit.value = self._entries[self._at].line
        edit.display = True
        edit.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Run the line as it was edited."""
        event.stop()
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """Close the editor, or the menu."""
        edit = self.query_one("#edit", Input)
        if edit.display:
            edit.display = False
            self.query_one("#menu").focus()
        else:
            self.dismiss("")
