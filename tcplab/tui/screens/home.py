"""Home: the exercises with their progress, free play first, and beside them what the chosen one is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from tcplab.tui.draw.spans import Line, sides, wrap
from tcplab.tui.widgets.lines import KeyValues, Lines, LiveTable

if TYPE_CHECKING:
    from tcplab.tui.app import Home

_LEVELS: Final = {1: "first contact", 2: "core", 3: "deep"}
_FREE_PLAY: Final = "free play"
"""What stands for it among the ids of the list; no exercise's id has a space."""
_WHOLE: Final = 1_000


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

    @property
    def key(self) -> str:
        """What tells it from the others."""
        return self.id or _FREE_PLAY

    def fits(self, words: str) -> bool:
        """Each of the words stands somewhere in what is said of it."""
        said = f"{self.id} {self.title} {self.track} {_LEVELS.get(self.level, '')} {self.goal}".casefold()
        return all(word in said for word in words.casefold().split())


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
        Binding("up", "move(-1)", "up", priority=True),
        Binding("down", "move(1)", "down", priority=True),
        Binding("pageup", "move(-10)", "page up", priority=True),
        Binding("pagedown", "move(10)", "page down", priority=True),
        Binding("k", "move(-1)", "up"),
        Binding("j", "move(1)", "down"),
        Binding("g,home", f"move(-{_WHOLE})", "first"),
        Binding("G,end", f"move({_WHOLE})", "last"),
        Binding("enter", "start", "start", priority=True),
        Binding("space", "start", "start"),
        Binding("slash", "filter", "filter"),
        Binding("escape", "back", "back", priority=True),
        Binding("q,ctrl+q", "leave", "quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._items = items()
        self._words = ""
        self._chosen = next((item.key for item in self._items if item.id and not item.passed), _FREE_PLAY)

    @property
    def home_app(self) -> Home:
        """The app, as what it is."""
        return cast("Home", self.app)

    @property
    def _item(self) -> Item | None:
        return next((item for item in self._fitting() if item.key == self._chosen), None)

    def _fitting(self) -> list[Item]:
        return [item for item in self._items if item.fits(self._words)]

    def compose(self) -> ComposeResult:
        """Bar, list, preview, filter, keys."""
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
        yield Input(id="console", compact=True, placeholder="words of a title, a track, a level or a goal")
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
        listing = self.query_one("#list", LiveTable)
        listing.fill(*self._rows(max(20, listing.size.width)), self._chosen)
        listing.titles("Exercises", f"with {self._words}" if self._words else "")
        preview = self.query_one("#preview", Lines)
        preview.show(self._preview(max(10, preview.size.width - 1)))
        preview.titles(self._item.title if self._item is not None else "")
        self._draw_keys(size.width)

    def _draw_keys(self, room: int) -> None:
        escape = "all of them" if self._words or self._filtering else ""
        pairs = (("enter", "start"), ("up down", "choose"), ("/", "" if escape else "filter"), ("esc", escape))
        hint: Line = [(" ", "")]
        for key, text in pairs:
            hint += [(key, "accent"), (f" {text}   ", "dim")] if text else []
        self.query_one("#keys", Lines).show([sides(hint, [("q", "accent"), (" quit ", "dim")], room)])

    def _rows(self, room: int) -> tuple[list[Line], list[str]]:
        """The lines, and what each stands for."""
        rows: list[Line] = []
        keys: list[str] = []
        track = ""
        glyphs = self.home_app.glyphs
        for item in self._fitting():
            if item.track != track:
                track = item.track
                whole = [other for other in self._items if other.track == track]
                passed = sum(bool(other.passed) for other in whole)
                rows += [[], sides([(f"  {track}", "dim")], [(f"{passed}/{len(whole)} ", "dim")], room)]
                keys += ["", ""]
            mark = ">" if item.key == self._chosen else " "
            sign = glyphs.done if item.passed else glyphs.open if item.id else glyphs.here
            head: Line = [(f"{mark} ", "accent"), (f"{sign} ", "ok+" if item.passed else "dim"), (item.title, "value")]
            tail: Line = [(f"{_LEVELS.get(item.level, '')}  {item.minutes:>2} min ", "dim")] if item.id else []
            rows.append(sides(head, tail, room))
            keys.append(item.key)
        if not keys:
            rows.append([("  Nothing has these words; ", "dim"), ("esc", "accent"), (" shows all.", "dim")])
            keys.append("")
        return rows, keys

    def _preview(self, room: int) -> list[Line]:
        item = self._item
        if item is None:
            return []
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

    # --- keys ---------------------------------------------------------------------------------------------------------

    @property
    def _filtering(self) -> bool:
        return self.query_one("#console", Input).has_focus

    def _choose(self, key: str) -> None:
        self._chosen = key or self._chosen
        self._draw()

    def action_move(self, by: int) -> None:
        """Another one."""
        self._choose(self.query_one("#list", LiveTable).beside(self._chosen, by))

    def action_start(self) -> None:
        """Take it."""
        if self._item is not None:
            self.home_app.exit(self._item.id)

    def action_filter(self) -> None:
        """Type what to look for."""
        words = self.query_one("#console", Input)
        words.display = True
        self.set_focus(words)  # at once: the next key may be waiting already
        self.call_after_refresh(self._draw)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The list follows each letter."""
        self._words = event.value.strip()
        fitting = self._fitting()
        if self._item is None and fitting:
            self._chosen = fitting[0].key
        self._draw()

    def action_back(self) -> None:
        """All of them again; or, if nothing is left out, leave."""
        words = self.query_one("#console", Input)
        if not words.display:
            self.action_leave()
            return
        words.clear()
        words.display = False
        self.set_focus(self.query_one("#list"))
        self.call_after_refresh(self._draw)

    def action_leave(self) -> None:
        """None of them."""
        self.home_app.exit(None)

    def on_lines_clicked(self, message: Lines.Clicked) -> None:
        """A click chooses."""
        self._choose(self.query_one("#list", LiveTable).at(message.index))
