"""The lines that are always there: top bar, tabs, status strip, key bar."""

from __future__ import annotations

from collections.abc import Sequence

from tcplab.api.views import LabView
from tcplab.tui.draw import exercise, names
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, fit, sides, width
from tcplab.tui.keys import Key
from tcplab.units import NEVER, SEC, duration


def badge(view: LabView, stepping: bool, glyphs: Glyphs) -> tuple[str, str]:
    """Text and role of the run badge: RUN ×1, PAUSED, STEP, DONE, ERROR, PREDICT."""
    phase = view.exercise.phase
    if phase == "error":
        return " ERROR ", "badge-bad"
    if phase == "predict":
        return " PREDICT ", "badge-hold"
    if view.playing:
        if phase == "done" and view.exercise.id:
            return " DONE ", "badge-run"
        return f" {glyphs.here} RUN {rate(view, glyphs)} ", "badge-run"
    return (" STEP ", "badge-hold") if stepping else (" PAUSED ", "badge-hold")


def rate(view: LabView, glyphs: Glyphs) -> str:
    """`×1`, `×1/8`, `×4`, `max`."""
    number, parts = view.rate
    if not parts:
        return "max"
    cross = "×" if glyphs.name == "unicode" else "x"
    return f"{cross}{number}" if parts == 1 else f"{cross}{number}/{parts}"


def top(view: LabView, room: int, glyphs: Glyphs, stepping: bool) -> Line:
    """Name, exercise, what the wire does, badge, clock, and what comes next while time stands still."""
    text, role = badge(view, stepping, glyphs)
    name: Line = [(" tcplab ", "accent"), (f" {view.exercise.title or 'free play'}", "value")]
    wire: Line = [(f"{view.link}  ", "dim")] if room >= 110 else []
    faults = len(view.faults)
    if faults:
        wire += [(f"{faults} fault{'s' if faults > 1 else ''}  ", "x+")]
    if room >= 110:
        wire += [(f"{view.engine} seed {view.seed}  ", "dim")]
    clock: Line = [(text, role), (f" {names.stopwatch(view.t)} ", "value")]
    if room < 60:
        return sides([(" tcplab ", "accent")], clock, room)
    coming = upcoming(view) if not view.playing and view.exercise.phase != "predict" else ""
    following: Line = [(f"next: {coming}  ", "rtx")] if coming else []
    right = [*wire, *following, *clock]
    if width(right) > room - 16:
        right = [*following, *clock]
    if width(right) > room - 9:
        right = clock
    return sides(name, right, room)


def upcoming(view: LabView) -> str:
    """`RTO a:40001 +72 ms`."""
    if view.next_at >= NEVER:
        return "nothing is due"
    ahead = max(0, view.next_at - view.t)
    if ahead >= SEC:
        ahead = ahead // 1_000_000 * 1_000_000
    return f"{short(view.next_text)} +{duration(ahead)}"


def short(text: str) -> str:
    """Addresses of the lab as hosts: `SYN,ACK 10.77.0.2:80>10.77.0.1:40001` is `SYN,ACK b:80>a:40001`."""
    for address, host in (("10.77.0.1:", "a:"), ("10.77.0.2:", "b:")):
        text = text.replace(address, host)
    return text


def tabs(view: LabView, current: str, room: int, more: str = "") -> Line:
    """The panes by number, for a terminal that shows one at a time; `more`: that the current one goes on below."""
    texts = {"1": "Host a", "2": "Wire", "3": "Host b", "4": "TCB", "5": exercise.title(view.exercise), "6": "Log"}
    line: Line = [(" ", "")]
    for digit, text in texts.items():
        here = digit == current
        role = {"1": "a", "3": "b"}.get(digit, "")
        name = f"{digit}" if room < 60 else f"{digit} {text}"
        line += [(f"[{name}{more}]" if here else f" {name} ", "accent" if here else role or "dim"), (" ", "")]
    return fit(line, room)


def keys(context: Sequence[Key], focus: str, room: int) -> Line:
    """The keys that matter here; help and quit have their place first, then labels go, then keys from the end."""
    fixed: Line = [(" ?", "accent"), (" help  ", "dim"), ("q", "accent"), (" quit ", "dim")]
    if room < 24:
        return fit(fixed, room)
    front: Line = [(f" {focus} ", "value"), (" ", "")] if room >= 60 else [(" ", "")]
    space = room - width(fixed) - width(front)
    for labelled in (True, False):
        for count in range(len(context), 0, -1):
            line: Line = []
            for key in context[:count]:
                text = f" {key.label}  " if labelled else " "
                line += [(key.shown, "accent"), (text, "dim")]
            if width(line) <= space and (count >= min(5, len(context)) or not labelled):
                return sides([*front, *line], fixed, room)
    return sides(front, fixed, room)
