"""The widgets of the screen, by Textual's line API: they compare rows and draw again only those that changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tcplab.tui.draw.ladder import columns, row_line
from tcplab.tui.draw.spans import Line, fit
from tcplab.tui.draw.theme import Theme
from tcplab.tui.model import Model, Row

_WHEEL: Final = 3
_LEAST_ROWS: Final = 3
"""So many must be left for what scrolls; else nothing is pinned."""


class Lines(Widget):
    """Shows lines. `show` takes all of them; a cursor, if there is one, stays in sight.

    Keys come from the screen (`move`, `scroll_by`): a widget only shows and tells where it was clicked.
    """

    class Clicked(Message):
        """The mouse was pressed on line `index` of what is shown."""

        def __init__(self, widget: Lines, index: int) -> None:
            super().__init__()
            self.widget = widget
            self.index = index

    def __init__(self, theme: Theme, id: str, ground: str = "", focusable: bool = True) -> None:
        super().__init__(id=id)
        self.can_focus = focusable
        self.top = 0
        """So many lines have scrolled away, behind those that are pinned."""
        self.pinned = 0
        """So many lines from the first on never scroll away."""
        self.cursor: int | None = None
        self._theme = theme
        self._ground = ground
        self._lines: list[Line] = []
        self._shown: list[tuple[Line, bool]] = []
        self._title = self._subtitle = ""

    def show(self, lines: list[Line], cursor: int | None = None) -> None:
        """Replace what is shown; only rows that differ are drawn again."""
        self._lines = lines
        self.cursor = cursor
        self.draw_rows()

    def titles(self, title: str, subtitle: str = "") -> None:
        """The words in the border; setting the same ones again costs nothing."""
        room = max(1, self.outer_size.width - 6)
        title = title if len(title) <= room else title[: room - 1] + "…"
        if (title, subtitle) != (self._title, self._subtitle):
            self._title, self._subtitle = title, subtitle
            self.border_title = self._theme.glyphs.text(title).replace("[", r"\[")
            self.border_subtitle = self._theme.glyphs.text(subtitle).replace("[", r"\[")

    def draw_rows(self) -> None:
        """Compare what should be in sight with what is, and draw the difference."""
        height = self.size.height
        self._clamp(height)
        wanted = [self._row(y) for y in range(height)]
        if len(wanted) != len(self._shown):
            self._shown = wanted
            self.refresh()
            return
        changed = [y for y in range(height) if wanted[y] != self._shown[y]]
        self._shown = wanted
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def _clamp(self, height: int) -> None:
        if self.cursor is not None:
            if self.cursor < self.top + self.pinned:
                self.top = self.cursor - self.pinned
            elif self.cursor >= self.top + height:
                self.top = self.cursor - height + 1
        self.top = max(0, min(self.top, len(self._lines) - height))

    def _index(self, y: int) -> int:
        """Which line row `y` shows."""
        return y if y < self.pinned else self.top + y

    def _row(self, y: int) -> tuple[Line, bool]:
        index = self._index(y)
        if index < len(self._lines):
            return self._lines[index], index == self.cursor
        return [], False

    @property
    def goes_on(self) -> bool:
        """There are lines below what is in sight."""
        return self.top + self.size.height < len(self._lines)

    def scroll_lines(self, by: int) -> None:
        """Move the window over the lines."""
        self.cursor = None
        self.top += by
        self.draw_rows()

    def render_line(self, y: int) -> Strip:
        """One row of the content, padded to the width."""
        if y >= len(self._shown):
            return self._theme.strip([(" " * self.size.width, "")], ground=self._ground)
        line, cursor = self._shown[y]
        return self._theme.strip(fit(line, self.size.width), cursor, self._ground)

    def on_resize(self, _: events.Resize) -> None:
        """Another size: other rows are in sight."""
        self._shown = []
        self.draw_rows()

    def on_click(self, event: events.Click) -> None:
        """Tell the screen which line was meant."""
        offset = event.get_content_offset(self)
        if offset is not None:
            self.post_message(self.Clicked(self, self._index(offset.y)))

    def on_mouse_scroll_up(self, _: events.MouseScrollUp) -> None:
        """Three lines up."""
        self.scroll_lines(-_WHEEL)

    def on_mouse_scroll_down(self, _: events.MouseScrollDown) -> None:
        """Three lines down."""
        self.scroll_lines(_WHEEL)


class KeyValues(Lines):
    """Names and values; a cursor never stands on them, so the window only scrolls."""


class LiveTable(Lines):
    """Lines some of which stand for something (`keys`); the cursor goes from one of those to the next."""

    def __init__(self, theme: Theme, id: str) -> None:
        super().__init__(theme, id)
        self._keys: list[str] = []

    def fill(self, lines: list[Line], keys: list[str], chosen: str) -> None:
        """Lines, what each stands for, and which of them is chosen. What stands above the first stays in sight."""
        self._keys = keys
        head = next((at for at, key in enumerate(keys) if key), 0)
        self.pinned = head if head + _LEAST_ROWS <= self.size.height else 0
        self.show(lines, keys.index(chosen) if chosen and chosen in keys else None)

    def beside(self, chosen: str, step: int) -> str:
        """What the cursor reaches from `chosen` by `step`; `chosen` itself at the ends."""
        stops = [key for key in self._keys if key]
        if chosen not in stops:
            return stops[0] if stops else ""
        return stops[max(0, min(stops.index(chosen) + step, len(stops) - 1))]

    def at(self, index: int) -> str:
        """What line `index` stands for."""
        return self._keys[index] if 0 <= index < len(self._keys) else ""


class Ladder(Lines):
    """The rows of the model; it follows the newest until a row is chosen. Rows out of sight are never built."""

    def __init__(self, theme: Theme, id: str, model: Callable[[], Model], words: Callable[[], bool]) -> None:
        super().__init__(theme, id)
        self._model = model
        self._raw = words
        self.chosen: int | None = None
        """The serial of the chosen row; None: follow."""
        self.hint = ("", "No segment yet.", "i c  opens a connection from a; :  takes a line of the language.")
        """What stands there while there is nothing."""

    @property
    def row(self) -> Row | None:
        """The chosen row, if it is still kept; else the newest segment."""
        rows = self._model().rows
        if self.chosen is None or not rows:
            return next((row for row in reversed(rows) if row.kind == "segment"), None)
        index = self.chosen - rows[0].serial
        return rows[index] if 0 <= index < len(rows) else rows[0]

    def move(self, by: int) -> None:
        """Choose the row `by` rows away; going down past the last one follows again."""
        rows = self._model().rows
        if not rows:
            return
        last = rows[-1].serial
        start = last if self.chosen is None else self.chosen
        self.chosen = max(rows[0].serial, min(start + by, last))
        if by > 0 and start + by > last:
            self.chosen = None
        self.draw_rows()

    def choose(self, index: int) -> None:
        """Choose the row at `index` of all rows."""
        rows = self._model().rows
        if 0 <= index < len(rows):
            self.chosen = rows[0].serial + index
            self.draw_rows()

    def follow(self) -> None:
        """Back to the newest."""
        self.chosen = None
        self.draw_rows()

    def scroll_lines(self, by: int) -> None:
        """The wheel moves the cursor: the view stands still while one looks."""
        self.move(by)

    def _clamp(self, height: int) -> None:
        rows = self._model().rows
        if self.chosen is None or not rows:
            self.cursor, self.top = None, max(0, len(rows) - height)
            return
        self.cursor = max(0, self.chosen - rows[0].serial)
        if self.cursor < self.top:
            self.top = self.cursor
        elif self.cursor >= self.top + height:
            self.top = self.cursor - height + 1
        self.top = max(0, min(self.top, len(rows) - height))

    def _row(self, y: int) -> tuple[Line, bool]:
        rows, index = self._model().rows, self.top + y
        if not rows and y < len(self.hint):
            return [(f"  {self.hint[y]}", "dim")], False
        if index >= len(rows):
            return [], False
        mark = ">" if index == self.cursor else " "
        room = self.size.width - 1
        return [
            (mark, "accent"),
            *row_line(rows[index], columns(room), self._theme.glyphs, self._raw()),
        ], index == self.cursor
