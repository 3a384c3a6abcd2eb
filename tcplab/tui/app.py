"""The two programs of this room: the screen of a running lab, and home, where one is chosen."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from typing import ClassVar, Final, Generic, TypeVar

from textual.app import App
from textual.binding import BindingType

from tcplab.api.views import LabView
from tcplab.lab.session import Session
from tcplab.tui.draw import exercise, names
from tcplab.tui.draw.glyphs import choose
from tcplab.tui.draw.theme import Theme
from tcplab.tui.feed import Feed
from tcplab.tui.styles import CSS

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_MODES_OFF: Final = b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m"
T = TypeVar("T")


class LabApp(App[T], Generic[T]):
    """What both programs share: signs, colours, and a terminal that is given back whatever signal comes."""

    CSS = CSS
    TITLE = "tcplab"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        mono = bool(found.get("NO_COLOR"))
        kept = os.environ.pop("NO_COLOR", None)
        try:
            if mono:
                os.environ["NO_COLOR"] = "1"  # Textual reads it while it is made; an empty one counts as unset here
            super().__init__(ansi_color=mono or None)
        finally:
            os.environ.pop("NO_COLOR", None)
            if kept is not None:
                os.environ["NO_COLOR"] = kept
        self.glyphs = choose(found)
        self.ink = Theme(not mono, self.glyphs)
        if mono:
            self.theme = "ansi-dark" if "ansi-dark" in self.available_themes else self.theme
        self.signalled = 0
        """The number of the signal that ended the program, or 0."""

    def on_mount(self) -> None:
        """Textual restores the terminal only on SIGINT; these three must end the program in the same way."""
        self.set_class(True, f"glyphs-{self.glyphs.name}")
        self.set_class(not self.ink.colour, "mono")
        loop = asyncio.get_running_loop()
        try:
            for number in SIGNALS:
                loop.add_signal_handler(number, self._signalled, number)
        except (RuntimeError, ValueError):
            pass  # not the main thread: whoever runs us has the signals

    def _signalled(self, number: int) -> None:
        self.signalled = number
        self.exit()


class Watch(LabApp[int]):
    """The screen of a running lab."""

    def __init__(self, session: Session, notice: str = "", environment: Mapping[str, str] | None = None) -> None:
        super().__init__(environment)
        self.feed = Feed(session)
        self.notice = notice

    def on_mount(self) -> None:
        """Open the main screen."""
        super().on_mount()
        from tcplab.tui.screens.main import Main

        self.push_screen(Main(self.feed, self.notice))


class Home(LabApp[str]):
    """The home screen alone; its result is the id of a lab, `""` for free play."""

    def on_mount(self) -> None:
        """Open the list."""
        super().on_mount()
        from tcplab.tui.screens.home import Choose

        self.push_screen(Choose())


def run(session: Session, notice: str = "") -> int:
    """Show the lab until the person leaves; leaves one line of report. The exit code: 0, or 128 + the signal.

    The session stays open: it belongs to the caller.
    """
    app = Watch(session, notice)
    result = _run(app)
    if app.feed.view is not None and not app.signalled:
        print(report(app.feed.view, app.feed.model.segments))
    if app.signalled:
        return 128 + app.signalled
    return result if isinstance(result, int) else 0


def home() -> str | None:
    """Choose a lab: its id, `""` for free play, None if the person leaves. A signal ends the process (128 + it)."""
    app = Home()
    chosen = _run(app)
    if app.signalled:
        raise SystemExit(128 + app.signalled)
    return chosen


def _run(app: LabApp[T]) -> T | None:
    """Run it; if the terminal itself is gone (SIGHUP) what is left to say to it is lost, which is no error."""
    try:
        return app.run()
    except OSError:
        if not app.signalled:
            raise
        try:
            os.write(sys.__stdout__.fileno() if sys.__stdout__ else 1, _MODES_OFF)
        except OSError:
            pass
        return None


def report(view: LabView, segments: int) -> str:
    """One line for the shell's scrollback: what was run and how far it came."""
    lab = view.exercise
    parts = [f"tcplab {lab.id or 'free play'}"]
    if lab.checks:
        passed = sum(check.status == "passed" for check in lab.checks)
        parts.append(f"{passed} of {len(lab.checks)} checks passed")
    parts += [f"{segments} segments", f"lab time {names.stopwatch(view.t)}", f"{view.engine}, seed {view.seed}"]
    if lab.id and exercise.asked(lab):
        parts.append("a prediction is open")
    return ", ".join(parts)
