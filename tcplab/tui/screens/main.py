"""The main screen: both hosts, the wire between them, the lab; keys become lines of the language."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Input

from tcplab.lab.session import SessionEnded
from tcplab.tui import injections, keys
from tcplab.tui.draw import exercise as lab
from tcplab.tui.feed import Feed
from tcplab.tui.screens.acting import Acting
from tcplab.tui.screens.drawing import Drawing
from tcplab.tui.screens.inject import Inject
from tcplab.tui.screens.layout import PANES, Layout, arrange
from tcplab.tui.screens.lost import Lost
from tcplab.tui.screens.pager import Pager, help_lines
from tcplab.tui.widgets.console import Console
from tcplab.tui.widgets.lines import KeyValues, Ladder, Lines, LiveTable

if TYPE_CHECKING:
    from tcplab.tui.app import Watch

FASTEST: Final = 0.2
SLOWEST: Final = 1.0
"""Seconds between two pulls: 5 a second, and down to 1 when frames come late."""
_LATE: Final = 0.12
_TAKES_KEYS: Final = ("inject", "console")
"""What takes the keys that follow: it must do so before the next key is handed out, however fast it was typed."""


class Main(Acting, Drawing, Screen[None]):
    """Pulls, lays out and hands the keys on. What is drawn is in Drawing, what keys do to the lab in Acting."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.text, priority=key.shown in ("tab", "s-tab") or key.action in _TAKES_KEYS)
        for key in keys.TABLE
    ]

    def __init__(self, feed: Feed, notice: str) -> None:
        super().__init__()
        self.feed = feed
        self.say(notice)
        self._period = FASTEST
        self._wake = asyncio.Event()
        self._plan: Layout | None = None
        self._ended: SessionEnded | None = None

    @property
    def lab_app(self) -> Watch:
        """The app, as what it is."""
        return cast("Watch", self.app)

    def compose(self) -> ComposeResult:
        """All panes; the layout says which are seen."""
        ink = self.lab_app.ink
        yield Lines(ink, "top", "raised", focusable=False)
        yield Lines(ink, "tabs", focusable=False)
        with Vertical(id="body"):
            with Horizontal(id="upper"):
                with Vertical(id="column-a"):
                    yield LiveTable(ink, "host-a")
                    yield KeyValues(ink, "tcb-a")
                yield Ladder(ink, "wire", lambda: self.feed.model, lambda: self.raw)
                with Vertical(id="column-b"):
                    yield LiveTable(ink, "host-b")
                    yield KeyValues(ink, "tcb-b")
            with Horizontal(id="lower"):
                yield KeyValues(ink, "lab")
                yield KeyValues(ink, "log")
        yield Lines(ink, "status", "raised", focusable=False)
        yield Console()
        yield Lines(ink, "keys", "raised", focusable=False)

    def on_mount(self) -> None:
        """Dress the panes and start to pull."""
        for names in PANES.values():
            for name in names:
                pane = self.query_one(f"#{name}")
                pane.add_class("pane")
                pane.set_class(name.endswith("-a"), "of-a")
                pane.set_class(name.endswith("-b"), "of-b")
                pane.set_class(name == "tcb-a", "pair")
        self.lay_out()
        self.run_worker(self._pump(), exclusive=True, name="pump")

    def on_resize(self) -> None:
        """Another size, another layout."""
        self.lay_out()

    # --- pulling --------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Pull, draw, wait; slower when the terminal is."""
        while self._ended is None:
            started = time.monotonic()
            await self.refresh_lab()
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), self._period)
            except TimeoutError:
                late = time.monotonic() - started - self._period > _LATE
                self._period = min(SLOWEST, self._period * 1.5) if late else max(FASTEST, self._period * 0.9)

    async def refresh_lab(self) -> None:
        """One pull, and everything that changed is drawn."""
        try:
            fresh = await self.feed.pull()
        except SessionEnded as ended:
            self.session_ended(ended)
            return
        if fresh:
            self.query_one("#wire", Ladder).follow()
            self.say("a new run")
        self._attend()
        self.draw()
        if isinstance(self.app.screen, Pager):
            self.app.screen.again()

    def _attend(self) -> None:
        """When a question is put, the Lab pane takes the keys: it is what the run waits for."""
        assert self.feed.view is not None
        waiting = lab.asked(self.feed.view.exercise)
        first = waiting[0].id if waiting else ""
        if first != self.question:
            self.question, self.choice = first, 0
            if first:
                self.action_pane("5")

    def session_ended(self, ended: SessionEnded) -> None:
        """The engine is gone: say it once, on a screen of its own."""
        if self._ended is None:
            self._ended = ended
            self.app.push_screen(Lost(ended.why, ended.code))

    async def run_line(self, line: str) -> None:
        """Run a line of the language, show what it answers, and draw what it did."""
        if not line:
            return
        self.say(f"› {line}", hold=True)
        try:
            reply = await self.feed.do(line)
        except SessionEnded as ended:
            self.session_ended(ended)
            return
        text = reply.text.strip()
        if "\n" in text:
            role = "trouble" if reply.code else ""
            self.app.push_screen(Pager(line, lambda _: [[(part, role)] for part in text.splitlines()]))
        self.say(f"› {line}   {text.splitlines()[0] if text else 'ok'}", bad=reply.code != 0)
        await self.refresh_lab()
        self._wake.set()

    def run_later(self, line: str) -> None:
        """As run_line, from a key: the screen stays alive meanwhile."""
        self.run_worker(self.run_line(line), group="lines")

    # --- layout and focus -----------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Show, hide and size the panes for the terminal's size and the pane that has the focus."""
        size = self.app.size
        layout = arrange(size.width, size.height, self.pane, self.zoomed)
        if layout == self._plan:
            return
        self._plan = layout
        for names in PANES.values():
            for name in names:
                self.query_one(f"#{name}").display = name in layout.shown
        for host in ("a", "b"):
            column = self.query_one(f"#column-{host}")
            column.display = bool({f"host-{host}", f"tcb-{host}"} & layout.shown)
            column.styles.width = layout.side or "1fr"
            self.query_one(f"#tcb-{host}").styles.height = layout.tcb or "1fr"
        lower = self.query_one("#lower")
        lower.display = bool({"lab", "log"} & layout.shown)
        lower.styles.height = layout.lower or "1fr"
        self.query_one("#upper").display = bool(layout.shown - {"lab", "log"})
        self.query_one("#tabs").display = layout.bare and layout.possible
        self.query_one("#top").styles.height = 1 if layout.possible else "1fr"
        for name in ("body", "status", "keys"):
            self.query_one(f"#{name}").display = layout.possible
        self.set_class(layout.bare, "bare")
        if layout.possible:
            self.focus_pane()
        self.call_after_refresh(self.draw)

    def focus_pane(self) -> None:
        """Give the keys to the pane's widget; of the two TCBs, to the chosen host's."""
        names = PANES[self.pane]
        name = f"tcb-{self.host}" if len(names) == 2 else names[0]
        self.query_one(f"#{name}").focus()

    def action_pane(self, digit: str) -> None:
        """Focus a pane; where one is shown at a time, show it. A pane that has no place now is shown alone."""
        self.pane = digit
        if digit in "13":
            self.host = "a" if digit == "1" else "b"
        size = self.app.size
        if not self.zoomed or self.unzoom:
            plan = arrange(size.width, size.height, digit, False)
            self.zoomed = self.unzoom = not plan.bare and not plan.shown.intersection(PANES[digit])
        self.lay_out()
        self.focus_pane()
        self.draw()

    def action_turn(self, by: int) -> None:
        """The next pane, round and round; in the console, completion."""
        console = self.query_one(Console)
        if console.has_focus:
            console.action_complete()
            return
        order = "123456"
        self.action_pane(order[(order.index(self.pane) + by) % len(order)])

    def action_zoom(self) -> None:
        """This pane alone, or all."""
        self.zoomed, self.unzoom = not self.zoomed, False
        self.lay_out()
        self.draw()

    def on_lines_clicked(self, message: Lines.Clicked) -> None:
        """A click focuses the pane and chooses what is under it."""
        name = message.widget.id or ""
        digit = next((digit for digit, names in PANES.items() if name in names), "")
        if digit:
            self.action_pane(digit)
        if isinstance(message.widget, Ladder):
            message.widget.choose(message.index)
        elif isinstance(message.widget, LiveTable):
            self.choose_conn(name[-1], message.widget.at(message.index))
        self.draw()

    # --- boxes ----------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The letters of these two keys belong to the line, while one is typed."""
        return not (action in _TAKES_KEYS and isinstance(self.focused, Input))

    def action_help(self) -> None:
        """This pane, the keys, the legend."""
        self.app.push_screen(Pager("Help", help_lines(self.pane, self.lab_app.glyphs), most=84))

    def action_inject(self) -> None:
        """The menu of trouble."""
        if self.feed.view is None:
            return
        entries = injections.menu(self.feed.view, self.chosen.get(self.host, ""))
        self.app.push_screen(Inject(entries), self._injected)

    def _injected(self, line: str | None) -> None:
        if line:
            self.injected = line
            self.run_later(line)

    def action_console(self, text: str = "") -> None:
        """Open the line in which the language is typed."""
        self.query_one(Console).open(text)

    def on_console_closed(self) -> None:
        """The keys go back to the pane."""
        self.focus_pane()
        self.draw()

    def on_console_help_wanted(self, message: Console.HelpWanted) -> None:
        """Completion found more than one continuation, or none."""
        self.say(message.text)
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """A line of the console."""
        event.stop()
        line = event.value.strip()
        console = self.query_one(Console)
        console.remember(line)
        console.close()
        self.run_later(line)

    def on_console_opened(self) -> None:
        """The first time, ask the lab which words its language has."""
        console = self.query_one(Console)
        if not console.words:
            self.run_worker(self._learn_words(console), group="words")

    async def _learn_words(self, console: Console) -> None:
        try:
            console.learn((await self.feed.do("help")).text)
        except SessionEnded as ended:
            self.session_ended(ended)
