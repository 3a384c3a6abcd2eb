"""A box over the screen that shows lines: help, a segment in full, a long reply; or what changes while one looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from tcplab.tui import keys
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, wrap
from tcplab.tui.widgets.lines import KeyValues

Source = Callable[[int], list[Line]]
"""Makes the lines for a width."""


class Pager(ModalScreen[None]):
    """Scrolls with the keys of a pager; esc, enter and q close it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark,f1", "dismiss", "close"),
        Binding("up,k", "scroll_rows(-1)", "up"),
        Binding("down,j,space", "scroll_rows(1)", "down"),
        Binding("pageup", "scroll_rows(-12)", "page up"),
        Binding("pagedown", "scroll_rows(12)", "page down"),
        Binding("g,home", "scroll_rows(-100000)", "first"),
        Binding("G,end", "scroll_rows(100000)", "last"),
    ]

    def __init__(self, title: str, source: Source, most: int = 96, live: bool = False) -> None:
        super().__init__()
        self._title = title
        self._source = source
        self._most = most
        self.live = live
        """What it shows may be different at the next pull."""

    def compose(self) -> ComposeResult:
        """One box."""
        yield KeyValues(self.app.ink, "box")  # type: ignore[attr-defined]  # every app of this room has it

    def on_mount(self) -> None:
        """Make it as large as its lines, if the terminal is."""
        self._fit()

    def on_resize(self) -> None:
        """Another width breaks the lines elsewhere."""
        self._fit()

    def again(self) -> None:
        """Something may have changed: a live one asks for its lines again."""
        if self.live and self.query("#box"):
            self._fit()

    def _fit(self) -> None:
        box = self.query_one("#box", KeyValues)
        room = min(self._most, self.app.size.width - 4)
        lines = self._source(room)
        box.styles.width = room + 4
        box.styles.height = min(len(lines) + 2, self.app.size.height - 1)
        box.titles(self._title, "esc close" if len(lines) + 2 < self.app.size.height else "↑↓ more   esc close")
        box.show(lines)
        box.focus()

    def action_scroll_rows(self, by: int) -> None:
        """Move the window."""
        self.query_one("#box", KeyValues).scroll_lines(by)


_PANES = {
    "1": "Host a, usually the client. Its connections, their states, and the timer that is next.",
    "2": "The wire. Time runs down; a is at the left, b at the right. Choose a segment and press enter: why it was "
    "sent stands first. Choosing stops following; G follows again.",
    "3": "Host b, usually the server. The SYN queue holds half-open connections (a SYN came, the third step has not); "
    "the accept queue holds complete ones that wait for accept(). Both have a limit.",
    "4": "The variables of the chosen connection as RFC 9293 and Linux name them, with its timers: a timer's bar fills "
    "until it fires; its rung says which repeat comes next.",
    "5": "The exercise: what to find out, questions to answer before you look, and the checks it is judged by.",
    "6": "Everything that happened, newest last, one line each.",
}


def help_lines(pane: str, glyphs: Glyphs) -> Source:
    """This pane in prose, the keys by group, the legend of the ladder: from the one key table."""

    def lines(room: int) -> list[Line]:
        made: list[Line] = [[(text, "value")] for text in wrap(_PANES[pane], room)]
        for group, title in keys.GROUPS:
            made += [[], [(title, "accent")]]
            table = [key for key in keys.TABLE if key.group == group]
            made += [[(f"  {key.shown:<9}", "accent"), (key.text, "")] for key in table]
        made += [[], [("On the wire", "accent")]]
        legend = (
            (f"{glyphs.line * 2}{glyphs.right}", "a", "a segment from a to b, and the other way round"),
            (f"{glyphs.right * 2}", "rtx", "RTX: sent before; this is a repeat"),
            (f"{glyphs.broken * 2}{glyphs.lost}", "trouble", "lost on the wire: it never arrives"),
            (f"{glyphs.lost} word", "trouble", "beside the arrow: it arrived, and the host dropped it; why"),
            (
                f"x{glyphs.line}{glyphs.right}",
                "x",
                "forged by a third party; what is sent to forged addresses ends there",
            ),
            ("ESTAB", "ok", "beside the arrow: the state that this host is in from now on"),
            (glyphs.dots, "dim", "more segments than can be read, counted"),
        )
        return made + [[(f"  {sign:<9}", role), (text, "")] for sign, role, text in legend]

    return lines
