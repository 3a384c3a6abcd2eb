"""What keys do: most of them send a line of the lab's language, which is echoed, so that a person learns it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from textual import events

from tcplab.api.views import PredictView
from tcplab.tui.draw import detail, diagram, names, space
from tcplab.tui.draw import exercise as lab
from tcplab.tui.draw.spans import Line
from tcplab.tui.screens.drawing import Drawing
from tcplab.tui.screens.pager import Pager
from tcplab.tui.widgets.lines import Ladder, LiveTable

_AGAIN: float = 3.0
"""Seconds in which a dangerous key must be pressed again."""
_MOST_RATE = 64


class Acting(Drawing):
    """The actions of the key table."""

    _armed: tuple[str, float] = ("", 0.0)

    def run_later(self, line: str) -> None:
        """Send a line of the language."""
        raise NotImplementedError

    def action_console(self, text: str = "") -> None:
        """Open the line in which the language is typed."""
        raise NotImplementedError

    def action_pane(self, digit: str) -> None:
        """Focus a pane."""
        raise NotImplementedError

    # --- time -----------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Stop the lab's clock or let it run; at a stop with all predictions given, run on."""
        view = self.feed.view
        if view is None:
            return
        self.stepping = False
        if view.exercise.phase == "predict":
            if lab.asked(view.exercise):
                self.action_pane("5")
                self.say("first a prediction: choose in the Lab pane, enter locks")
                self.draw()
            else:
                self.run_later("play")
            return
        self.run_later("pause" if view.playing else "play")

    def action_step(self) -> None:
        """One event."""
        self.stepping = True
        self.run_later("step")

    def action_next_state(self) -> None:
        """To the next change of a state."""
        self.stepping = True
        self.run_later("next")

    def action_jump(self) -> None:
        """To the next event, without waiting."""
        self.run_later("jump")

    def action_slower(self) -> None:
        """Half the speed."""
        self._rate(1, 2)

    def action_faster(self) -> None:
        """Double the speed."""
        self._rate(2, 1)

    def action_normal(self) -> None:
        """Speed ×1."""
        self.run_later("rate 1")

    def _rate(self, times: int, over: int) -> None:
        if self.feed.view is None:
            return
        number, parts = self.feed.view.rate
        if not parts:
            number, parts = _MOST_RATE * 2, 1
        number, parts = number * times, parts * over
        if number % 2 == 0 and parts % 2 == 0:
            number, parts = number // 2, parts // 2
        if number > _MOST_RATE * parts:
            self.run_later("rate max")
        elif parts <= _MOST_RATE * number:
            self.run_later(f"rate {number}/{parts}" if parts > 1 else f"rate {number}")

    # --- the lab --------------------------------------------------------------------------------------------

    def action_repeat(self) -> None:
        """The last injection again."""
        if self.injected:
            self.run_later(self._renamed(self.injected))
        else:
            self.say("nothing was injected yet: i opens the menu")
            self.draw()

    def _renamed(self, line: str) -> str:
        """A connection that is opened again gets a name that is free."""
        from tcplab.tui.injections import fresh_alias

        if self.feed.view is not None and re.search(r" connect .* as c\d+$", line):
            return re.sub(r"c\d+$", fresh_alias(self.feed.view), line)
        return line

    def action_clear(self) -> None:
        """No rule on the wire any more."""
        self.run_later("clear")

    def action_check(self) -> None:
        """Judge the exercise now."""
        self.run_later("check")

    def action_hint(self) -> None:
        """One hint more."""
        self.run_later("hint")

    def action_solution(self) -> None:
        """All that is to be known."""
        self.run_later("solution")

    def action_restart(self) -> None:
        """A fresh run; what was seen is forgotten, so it asks."""
        if self._again("R", "press R again to restart: what you see now is forgotten"):
            self.run_later("restart")

    def action_next_lab(self) -> None:
        """The exercise after this one."""
        from tcplab.lab import catalogue  # its files are read only when somebody asks

        view = self.feed.view
        known = [info.id for info in catalogue.all()]
        if view is None or not known:
            return
        here = view.exercise.id
        after = known[(known.index(here) + 1) % len(known)] if here in known else known[0]
        if self._again("n", f"press n again for the next exercise: {after}"):
            self.run_later(f"load {after}")

    def _again(self, key: str, text: str) -> bool:
        """Whether the key was pressed just before; if not, ask."""
        armed, until = self._armed
        if armed == key and time.monotonic() < until:
            self._armed = ("", 0.0)
            return True
        self._armed = (key, time.monotonic() + _AGAIN)
        self.say(text)
        self.draw()
        return False

    # --- predictions ----------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """In the Lab pane a letter chooses an answer, and what is typed for an open question goes into a line."""
        open_question = self._open()
        if open_question is None or event.character is None or not event.character.isalnum():
            return
        if not open_question.choices:
            if event.character.isdigit():
                event.stop()
                event.prevent_default()
                self.action_console(f"predict {open_question.id} {event.character}")
            return
        index = ord(event.character) - ord("a")
        if 0 <= index < len(open_question.choices):
            event.stop()
            event.prevent_default()
            self.choice = index
            self.draw()

    def _open(self) -> PredictView | None:
        """The question that waits, while the Lab pane has the keys."""
        if self.pane != "5" or self.feed.view is None or not self.pane_widget().has_focus:
            return None
        waiting = lab.asked(self.feed.view.exercise)
        return waiting[0] if waiting else None

    def _answer(self) -> None:
        """Enter in the Lab pane: lock the choice, open the line, or run on."""
        question = self._open()
        view = self.feed.view
        if question is not None and question.choices:
            choice = question.choices[self.choice % len(question.choices)]
            self.run_later(f"predict {question.id} {choice.id}")
        elif question is not None:
            self.action_console(f"predict {question.id} ")
        elif view is not None and view.exercise.phase == "predict":
            self.run_later("play")

    # --- looking --------------------------------------------------------------------------------------------

    def action_open(self) -> None:
        """The chosen thing in full."""
        if self.pane == "5":
            self._answer()
        elif self.pane == "2":
            row = self.query_one("#wire", Ladder).row
            if row is not None:
                glyphs = self.lab_app.glyphs
                self.app.push_screen(Pager("Segment", lambda room: detail.describe(row, room, glyphs)))
        elif self.pane in "13":
            self.action_pane("4")

    def action_diagram(self) -> None:
        """The states, where the chosen connection is on both hosts, and its way there; also when it is gone."""
        ends, glyphs = self._both_ends(), self.lab_app.glyphs

        def drawn(room: int) -> list[Line]:
            paths = self.feed.model.paths
            return diagram.lines({host: paths.get((host, conn), []) for host, conn in ends.items()}, room, glyphs)

        self.app.push_screen(Pager(self._titled("States", ends), drawn, most=72, live=True))

    def action_space(self) -> None:
        """The octets of the chosen connection, as both ends know them."""
        ends, glyphs = self._both_ends(), self.lab_app.glyphs

        def drawn(room: int) -> list[Line]:
            assert self.feed.view is not None
            hosts = (self.feed.view.a, self.feed.view.b)
            a, b = (next((conn for conn in host.conns if conn.conn == ends[host.name]), None) for host in hosts)
            return space.lines(a, b, room, glyphs)

        if self.feed.view is not None:
            self.app.push_screen(Pager(self._titled("Sequence space", ends), drawn, most=150, live=True))

    def _both_ends(self) -> dict[str, str]:
        """The connection under this host's cursor, as each host calls it; without one, the one that was seen last."""
        conn = self.chosen.get(self.host) or next((conn for _, conn in reversed(self.feed.model.paths)), "")
        here = next((host for host, one in self.feed.model.paths if one == conn), self.host)
        return {host: conn if host == here else names.reverse(conn) for host in ("a", "b")}

    def _titled(self, what: str, ends: dict[str, str]) -> str:
        return f"{what}  {self.feed.model.name(ends[self.host])}" if ends[self.host] else what

    def action_back(self) -> None:
        """Out of the zoom, or back to following."""
        if self.zoomed:
            self.zoomed = self.unzoom = False
            self.pane = {"4": "1" if self.host == "a" else "3"}.get(self.pane, self.pane)
            self.lay_out()
        elif self.pane == "2":
            self.query_one("#wire", Ladder).follow()
        elif self._plan is not None and self._plan.bare:
            self.action_pane("2")
        self.draw()

    def lay_out(self) -> None:
        """Show, hide and size the panes."""
        raise NotImplementedError

    def _move(self, by: int) -> None:
        question = self._open()
        widget = self.pane_widget()
        if isinstance(widget, Ladder):
            widget.move(by)
        elif question is not None and question.choices and abs(by) == 1:  # a page reads on
            self.choice = (self.choice + by) % len(question.choices)
        elif isinstance(widget, LiveTable):
            host = "a" if self.pane == "1" else "b"
            self.choose_conn(host, widget.beside(self.chosen.get(host, ""), by))
        else:
            widget.scroll_lines(by)
        self.draw()

    def action_up(self) -> None:
        """One row up."""
        self._move(-1)

    def action_down(self) -> None:
        """One row down."""
        self._move(1)

    def action_page_up(self) -> None:
        """A page up."""
        self._move(-max(1, self.pane_widget().size.height - 1))

    def action_page_down(self) -> None:
        """A page down."""
        self._move(max(1, self.pane_widget().size.height - 1))

    def action_first(self) -> None:
        """The first row."""
        self._move(-1_000_000)

    def action_follow(self) -> None:
        """The newest row, and what comes."""
        widget = self.pane_widget()
        if isinstance(widget, Ladder):
            widget.follow()
        else:
            self._move(1_000_000)
        self.draw()

    def action_raw(self) -> None:
        """Sequence numbers as on the wire, or from 0."""
        self.raw = not self.raw
        self.draw()

    def action_limits(self) -> None:
        """Why the queues hold as much as they do."""
        self.limits = not self.limits
        self.draw()

    # --- the program ----------------------------------------------------------------------------------------

    def action_picture(self) -> None:
        """The screen as SVG, into the current directory."""
        path = Path(f"tcplab-{time.strftime('%Y%m%d-%H%M%S')}.svg")
        try:
            path.write_text(self.app.export_screenshot())
            self.say(f"saved {path}")
        except OSError as error:
            self.say(f"cannot save {path}: {error.strerror}", bad=True)
        self.draw()

    def action_redraw(self) -> None:
        """Everything again."""
        self.app.refresh(layout=True)

    def action_quit(self) -> None:
        """Leave; the lab ends with its screen, so it asks."""
        if self._again("q", "press q again to quit: the lab ends with this screen"):
            self.app.exit(0)

    def action_quit_now(self) -> None:
        """Leave at once."""
        self.app.exit(0)
