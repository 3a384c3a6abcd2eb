"""The main screen's drawing: the newest view and the model become lines, pane by pane."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.screen import Screen

from tcplab.api.views import HostView, LabView
from tcplab.tui import keys
from tcplab.tui.draw import bars, hosts, names
from tcplab.tui.draw import exercise as lab
from tcplab.tui.draw.hosts import Ink
from tcplab.tui.draw.spans import Line, fit, width, wrap
from tcplab.tui.feed import Feed
from tcplab.tui.screens.layout import LEAST, PANES, Layout
from tcplab.tui.widgets.lines import KeyValues, Ladder, Lines, LiveTable

if TYPE_CHECKING:
    from tcplab.tui.app import Watch

_SAID: float = 6.0
"""Seconds that an answer stays in the status line."""
_FOCUS = {"1": "host a", "2": "wire", "3": "host b", "4": "TCB", "5": "lab", "6": "log"}


class Drawing(Screen[None]):
    """Draws whatever the layout shows. The state that is the screen's own, not the lab's, is here."""

    feed: Feed
    pane = "2"
    host = "a"
    zoomed = False
    unzoom = False
    """The zoom was only made to show a pane that has no place: leaving the pane ends it."""
    raw = False
    limits = False
    stepping = False
    question = ""
    choice = 0
    injected = ""
    _plan: Layout | None = None
    _stage = ""
    """What the Lab pane was about: when that changes it is read from its first line."""
    _message: tuple[str, bool, float] = ("", False, 0.0)

    def __init__(self) -> None:
        super().__init__()
        self.chosen: dict[str, str] = {}
        """By host, the connection under its cursor."""

    @property
    def lab_app(self) -> Watch:
        """The app, as what it is."""
        raise NotImplementedError

    def say(self, text: str, bad: bool = False, hold: bool = False) -> None:
        """Put a message into the status line for a while; `hold`: until the next one."""
        self._message = (text, bad, float("inf") if hold else time.monotonic() + _SAID)

    def draw(self) -> None:
        """Everything that is in sight; equal rows cost a comparison."""
        view = self.feed.view
        if self._plan is None or not self.query("#keys"):
            return  # not composed yet, or not any more
        if not self._plan.possible:
            self._too_small()
            return
        if view is None:
            self.query_one("#top", Lines).show([[(" tcplab ", "accent"), (" waiting for the lab", "dim")]])
            return
        self._choose(view)
        size = self.app.size
        glyphs = self.lab_app.glyphs
        self.query_one("#top", Lines).show([bars.top(view, size.width, glyphs, self.stepping)])
        for name in self._plan.shown:
            self._pane(name, view)
        if self._plan.bare:
            more = f" {glyphs.down}" if self.pane_widget().goes_on else ""
            self.query_one("#tabs", Lines).show([bars.tabs(view, self.pane, size.width, more)])
        self.query_one("#status", Lines).show([self._status(view, size.width)])
        self.query_one("#keys", Lines).show([bars.keys(keys.bar(self.pane), _FOCUS[self.pane], size.width)])

    def _too_small(self) -> None:
        size = self.app.size
        text = f"tcplab needs {LEAST[0]}×{LEAST[1]}, this is {size.width}×{size.height} — make it larger or press q; "
        lines = wrap(text + "the lab keeps running", max(1, size.width))
        self.query_one("#top", Lines).show([[(line, "value")] for line in lines])

    def _choose(self, view: LabView) -> None:
        """Keep the cursors on connections that exist; both hosts' on the same one where they can be."""
        for name, host, other in (("a", view.a, "b"), ("b", view.b, "a")):
            present = [peer.conn for peer in hosts.peers(host)]
            if self.chosen.get(name) in present:
                continue
            mirrored = names.reverse(self.chosen.get(other, ""))
            live = [peer.conn for peer in host.conns]
            self.chosen[name] = mirrored if mirrored in present else (live or present or [""])[-1]

    def choose_conn(self, host: str, conn: str) -> None:
        """Put the host's cursor on `conn`, and the other host's on the same connection."""
        if not conn or self.feed.view is None:
            return
        self.host = host
        self.chosen[host] = conn
        other = self.feed.view.b if host == "a" else self.feed.view.a
        if names.reverse(conn) in [peer.conn for peer in hosts.peers(other)]:
            self.chosen[other.name] = names.reverse(conn)

    def _pane(self, name: str, view: LabView) -> None:
        widget = self.query_one(f"#{name}", Lines)
        ink = Ink(self.lab_app.glyphs, view.t, max(20, widget.size.width))
        match name:
            case "host-a" | "host-b":
                self._host(widget, view.a if name == "host-a" else view.b, ink)
            case "tcb-a" | "tcb-b":
                self._tcb(widget, view.a if name == "tcb-a" else view.b, ink)
            case "wire":
                self._wire(widget, view)
            case "lab":
                self._lab(widget, view, ink)
            case _:
                self._log(widget, ink)

    def _number(self, digit: str) -> str:
        return self.lab_app.glyphs.digits[int(digit)]

    def _host(self, widget: Lines, host: HostView, ink: Ink) -> None:
        assert isinstance(widget, LiveTable)
        lines, stops = hosts.pane(host, ink, self.chosen.get(host.name, ""), self.limits)
        widget.fill(lines, stops, self.chosen.get(host.name, ""))
        digit = "1" if host.name == "a" else "3"
        count = len(host.conns)
        listening = " · listens" if host.listeners else ""
        plural = "" if count == 1 else "s"
        widget.titles(f"{self._number(digit)} {host.name} {host.addr} · {count} conn{plural}{listening}")

    def _tcb(self, widget: Lines, host: HostView, ink: Ink) -> None:
        chosen = self.chosen.get(host.name, "")
        peer = next((one for one in hosts.peers(host) if one.conn == chosen), None)
        widget.show(hosts.tcb(peer, host.name, ink))
        widget.titles(f"{self._number('4')} {hosts.title(peer, host.name, ink.glyphs)}")

    def _wire(self, widget: Lines, view: LabView) -> None:
        assert isinstance(widget, Ladder)
        glyphs = self.lab_app.glyphs
        widget.draw_rows()
        numbers = "raw" if self.raw else "relative"
        following = f"follow {glyphs.down}" if widget.chosen is None else "stands still, G follows"
        count = self.feed.model.segments
        widget.titles(f"{self._number('2')} Wire  a {glyphs.both} b · {count:,} segments", f"{numbers} · {following}")

    def _lab(self, widget: Lines, view: LabView, ink: Ink) -> None:
        about = view.exercise
        lines = lab.pane(about, ink.room, ink.glyphs, self.choice)
        stage = f"{about.id} {about.phase} {self.question}"
        if stage != self._stage:
            self._stage, widget.top = stage, 0
        widget.show(lines)
        more = "↑↓ more" if len(lines) > widget.size.height and ink.glyphs.name == "unicode" else ""
        widget.titles(f"{self._number('5')} {lab.title(about)}  {about.id or 'free play'}", more)

    def _log(self, widget: Lines, ink: Ink) -> None:
        lines: list[Line] = []
        for entry in self.feed.model.log:
            text = entry.text.replace("{to}", ink.glyphs.to)
            who = entry.who if entry.who in ("a", "b", "x") else ""
            time: Line = [(f"{names.stopwatch(entry.t)} ", "dim"), (f"{entry.who:<4} ", f"{who}+" if who else "dim")]
            lines.append([*time, (text, entry.role)])
        follow = widget.top >= len(widget._lines) - max(1, widget.size.height)
        widget.show(lines)
        if follow and len(lines) > widget.size.height:
            widget.scroll_lines(len(lines))
        widget.titles(f"{self._number('6')} Events")

    def _status(self, view: LabView, room: int) -> Line:
        """What was said last, for a while; else both hosts and what is to do."""
        text, bad, until = self._message
        if text and time.monotonic() < until:
            return fit([(" ", ""), (text, "trouble" if bad else "accent")], room)
        ink = Ink(self.lab_app.glyphs, view.t, room)
        edge = (f" {ink.glyphs.bar} ", "edge")
        line: Line = [(" ", "")]
        for host in (view.a, view.b):
            chosen = self.chosen.get(host.name, "")
            peer = next((one for one in hosts.peers(host) if one.conn == chosen), None)
            line += [*hosts.summary(host, peer, ink), edge]
        line += [(f"{ink.glyphs.here} ", "accent"), (lab.strip(view.exercise), "")]
        coming = f"next: {bars.upcoming(view)}"
        if width(line) + len(coming) + 3 <= room:
            line += [edge, (coming, "dim")]
        if view.faults:
            line += [edge, (names.bare(view.faults[-1]), "x")]
        return fit(line, room)

    def pane_widget(self) -> Lines:
        """The widget that the arrow keys move."""
        names_ = PANES[self.pane]
        name = f"tcb-{self.host}" if len(names_) == 2 else names_[0]
        return self.query_one(f"#{name}", Lines)

    def is_table(self) -> bool:
        """Whether the arrow keys choose a connection."""
        return isinstance(self.pane_widget(), LiveTable)

    def is_text(self) -> bool:
        """Whether the arrow keys scroll."""
        return isinstance(self.pane_widget(), KeyValues)
