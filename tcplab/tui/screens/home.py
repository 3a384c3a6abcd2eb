"""Home: the exercises with their progress, free play first, and beside them what the chosen one is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen

from tcplab.tui.draw.spans import Line, sides, wrap
from tcplab.tui.widgets.lines import KeyValues, Lines, LiveTable

if TYPE_CHECKING:
    from tcplab.tui.app import Home

_LEVELS = {1: "first contact", 2: "core", 3: "deep"}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the list; `id` empty: free play."""

    id: str
    title: str
    track: str = ""
    level: int = 0
    minutes: int = 0
    goal: str = ""
    needs: tuple[str, ...] = ()
    passed: str = ""
    """The day on which it was passed."""


def items() -> list[Item]:
    """Free play, then the exercises in the order of the catalogue."""
    from tcplab.lab import catalogue, progress  # the catalogue reads files: only when there is a screen to fill

    days = progress.passed()
    listed = [
        Item(
            info.id,
            info.title,
            info.track,
            info.level,
            info.minutes,
            info.goal,
            tuple(info.needs),
            days.get(info.id, ""),
        )
        for info in catalogue.all()
    ]
    return [Item("", "Free play", goal="Two hosts, one wire, and everything that can go wrong, by hand."), *listed]


class Choose(Screen[None]):
    """The list at the left, a preview at the right; enter starts, / filters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", priority=True),
        Binding("down,j", "move(1)", "down", priority=True),
        Binding("pageup,g,home", "move(-1000)", "first"),
        Binding("pagedown,G,end", "move(1000)", "last"),
        Binding("enter,space", "start", "start", priority=True),
        Binding("q,escape,ctrl+q", "leave", "quit"),
    ]

    def __init__(self, listed: list[Item] | None = None) -> None:
        super().__init__()
        self._items = items() if listed is None else listed
        self._at = next((at for at, item in enumerate(self._items) if item.id and not item.passed), 0)

    @property
    def home_app(self) -> Home:
        """The app, as what it is."""
        return cast("Home", self.app)

    def compose(self) -> ComposeResult:
        """Bar, list, preview, keys."""
        ink = self.home_app.ink
        yield Lines(ink, "top", "raised", focusable=False)
        with Horizontal(id="body"):
            listing = LiveTable(ink, "list")
            listing.add_class("pane")
            yield listing
            preview = KeyValues(ink, "preview")
            preview.add_class("pane")
            preview.can_focus = False
            yield preview
        yield Lines(ink, "keys", "raised", focusable=False)

    def on_mount(self) -> None:
        """Draw."""
        self.query_one("#list").focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Another size."""
        narrow = self.app.size.width < 72
        self.query_one("#preview").display = not narrow
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        size = self.app.size
        exercises = [item for item in self._items if item.id]
        passed = sum(bool(item.passed) for item in exercises)
        done: Line = [("passed ", "dim"), (f"{passed}/{len(exercises)} ", "value")]
        top = sides([(" tcplab ", "accent"), (" learn TCP by watching and breaking it", "value")], done, size.width)
        self.query_one("#top", Lines).show([top])
        listing = self.query_one("#list", Lines)
        rows, cursor = self._rows(max(20, listing.size.width))
        listing.show(rows, cursor)
        listing.titles("Exercises")
        preview = self.query_one("#preview", Lines)
        preview.show(self._preview(max(10, preview.size.width - 1)))
        preview.titles(self._items[self._at].title)
        hint: Line = [(" enter", "accent"), (" start   ", "dim"), ("up down", "accent"), (" choose   ", "dim")]
        self.query_one("#keys", Lines).show([sides(hint, [("q", "accent"), (" quit ", "dim")], size.width)])

    def _rows(self, room: int) -> tuple[list[Line], int]:
        rows: list[Line] = []
        cursor = 0
        track = ""
        glyphs = self.home_app.glyphs
        for at, item in enumerate(self._items):
            if item.track != track:
                track = item.track
                rows += [[], [(f"  {track}", "dim")]]
            if at == self._at:
                cursor = len(rows)
            mark = ">" if at == self._at else " "
            sign = glyphs.done if item.passed else glyphs.open if item.id else glyphs.here
            head: Line = [(f"{mark} ", "accent"), (f"{sign} ", "ok+" if item.passed else "dim"), (item.title, "value")]
            tail: Line = [(f"{_LEVELS.get(item.level, '')}  {item.minutes:>2} min ", "dim")] if item.id else []
            rows.append(sides(head, tail, room))
        return rows, cursor

    def _preview(self, room: int) -> list[Line]:
        item = self._items[self._at]
        lines: list[Line] = [[(text, "value")] for text in wrap(item.goal, room)]
        if not item.id:
            words = (
                "Start here to try things: connect, lose segments, flood the listener, forge resets. i opens the menu."
            )
            return [*lines, [], *[[(text, "")] for text in wrap(words, room)]]
        facts = [("start it by name", f"tcplab start {item.id}"), ("without a screen", f"tcplab run {item.id}")]
        if item.needs:
            facts.insert(0, ("best after", ", ".join(item.needs)))
        facts.append(("passed", item.passed or "not yet"))
        for name, text in facts:
            lines += [[], [(name, "dim")], *[[(f" {part}", "")] for part in wrap(text, room - 1)]]
        return lines

    def action_move(self, by: int) -> None:
        """Another one."""
        self._at = max(0, min(self._at + by, len(self._items) - 1))
        self._draw()

    def action_start(self) -> None:
        """Take it."""
        self.home_app.exit(self._items[self._at].id)

    def action_leave(self) -> None:
        """None of them."""
        self.home_app.exit(None)

    def on_lines_clicked(self, message: Lines.Clicked) -> None:
        """A click chooses the nearest line above it."""
        rows = 0
        track = ""
        for at, item in enumerate(self._items):
            rows += 2 * (item.track != track)
            track = item.track
            if rows == message.index:
                self._at = at
            rows += 1
        self._draw()
