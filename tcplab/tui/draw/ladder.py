"""The ladder: time, note at a, arrow, note at b. When it gets narrow the sides give way first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tcplab.api.states import State
from tcplab.tui.draw import names
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, fit
from tcplab.tui.model import Note, Row, fold_text, label
from tcplab.units import duration

_SHAFT, _SHORT_SHAFT = 8, 4
"""Cells of an arrow that are not its text; to say what was SACKed is worth a shorter one."""
_STATES: Final = frozenset(names.state(state.value) for state in State)


@dataclass(frozen=True, slots=True)
class Columns:
    """How the ladder's width is shared out; 0: the column is not there."""

    time: int
    note: int
    wire: int


def columns(room: int) -> Columns:
    """Notes and time 11 each; below 66 cells both shrink, below 58 the time goes, below 44 the notes shrink again."""
    time = 11 if room >= 66 else 9 if room >= 58 else 0
    note = 11 if room >= 66 else 9 if room >= 44 else 5
    if room >= 90:
        note = 14
    return Columns(time, note, max(4, room - time - 2 * note - 4))


def row_line(row: Row, cols: Columns, glyphs: Glyphs, raw: bool) -> Line:
    """One row, exactly as wide as the columns say."""
    time: Line = [(f"{names.moment(row.t):>{cols.time - 1}}"[: cols.time - 1] + " ", "dim")] if cols.time else []
    room = 2 * cols.note + cols.wire + 4
    if row.kind == "ruler":
        return [*time, *_ruler(row.text, row.role, room, glyphs.line)]
    if row.kind == "fold":
        return [*time, *fit([(f"  {glyphs.dots} {fold_text(row)} {glyphs.dots}", "dim")], room)]
    middle: Line
    if row.sent is None:
        middle = _remark(row, cols.wire)
    else:
        middle = _arrow(row, cols.wire, glyphs, raw)
    left, right = _notes(row.notes["a"], glyphs), _notes(row.notes["b"], glyphs)
    used = sum(len(text) for text, _ in left)
    pad: Line = [(" " * (cols.note - used), "")] if used < cols.note else []
    line = [*time, *pad, *fit(left, min(used, cols.note), ".."), (f" {glyphs.bar}", "edge"), *middle]
    return [*line, (f"{glyphs.bar} ", "edge"), *fit(right, cols.note, "..")]


def _remark(row: Row, room: int) -> Line:
    """Which connection it was, and what its application was told, where a segment would have its arrow."""
    notes = [*row.notes["a"], *row.notes["b"]]
    told = next((note.why for note in notes if note.text.isupper() and note.text.startswith("E") and note.why), "")
    words = f"{row.text}: {told}" if told and row.text else told or row.text
    return fit([(f"{words:^{room}}", "dim")], room)


def _ruler(text: str, role: str, room: int, sign: str) -> Line:
    line: Line = [(sign * 2 + " ", role), (text, role), (" ", role)]
    used = len(text) + 4
    return fit([*line, (sign * max(0, room - used), "edge")], room)


def _notes(notes: list[Note], glyphs: Glyphs) -> Line:
    """What happened there, as much as fits: a new state before all else, then a timer; the rest is in the detail."""
    if not notes:
        return []
    kept = max(enumerate(notes), key=lambda one: (one[1].text in _STATES, not one[1].minor, one[0]))[1]
    return [(kept.text.replace("{lost}", glyphs.lost).replace("held: ", "held "), kept.role)]


def _role(row: Row) -> str:
    sent = row.sent
    assert sent is not None
    if row.fate == "lost" or "R" in sent.flags:
        return "trouble"
    if sent.rtx:
        return "rtx"
    return sent.src


def _arrow(row: Row, room: int, glyphs: Glyphs, raw: bool) -> Line:
    """The arrow in exactly `room` cells. What x sends starts in the middle; what nobody receives ends there."""
    sent = row.sent
    assert sent is not None
    role = _role(row)
    held = f" held {duration(row.held)}" if row.held else ""
    text = label(sent, raw, max(4, room - _SHAFT - len(held)))
    if text.endswith("SACK"):
        text = label(sent, raw, max(4, room - _SHORT_SHAFT - len(held)))
    text += held
    half = row.forged or row.fate == "gone"
    wanted = max(room - room // 2, len(text) + 8)
    short = wanted if half and wanted <= room - 4 else room
    gap: Line = [(" " * (room - short), "")] if short < room else []
    if sent.dst == "b":
        if gap and row.fate == "gone":
            return [*_rightward(row, short - 1, text, role, glyphs), ("x", "x"), *gap]
        return [*_mark(gap, "x"), *_rightward(row, short, text, role, glyphs)]
    if gap and row.forged:
        return [*_leftward(row, short, text, role, glyphs), *_mark(gap[::-1], "x", first=True)]
    return [*_mark(gap, "x"), *_leftward(row, short, text, role, glyphs)]


def _mark(gap: Line, sign: str, first: bool = False) -> Line:
    """The third party stands where the half arrow begins or ends."""
    if not gap:
        return []
    blank = gap[0][0][1:]
    return [(sign, "x+"), (blank, "")] if first else [(blank, ""), (sign, "x+")]


def _rightward(row: Row, room: int, text: str, role: str, glyphs: Glyphs) -> Line:
    head = glyphs.right * (2 if row.sent is not None and row.sent.rtx else 1)
    if row.fate == "lost":
        body = f"{glyphs.broken * 3} {text} {glyphs.lost}"
        return fit([(body, role)], room)
    tail = room - len(text) - 5 - len(head)
    if tail < 0:
        return fit([(f"{glyphs.line} {text} {head}", role)], room)
    return [(f"{glyphs.line * 3} ", role), (text, _bold(role)), (f" {glyphs.line * tail}{head}", role)]


def _leftward(row: Row, room: int, text: str, role: str, glyphs: Glyphs) -> Line:
    head = glyphs.left * (2 if row.sent is not None and row.sent.rtx else 1)
    if row.fate == "lost":
        body = f"{glyphs.lost} {text} {glyphs.broken * 3}"
        return [(" " * max(0, room - len(body)), ""), *fit([(body, role)], min(room, len(body)))]
    tail = room - len(text) - 5 - len(head)
    if tail < 0:
        return fit([(f"{head} {text} {glyphs.line}", role)], room)
    return [(f"{head}{glyphs.line * 3} ", role), (text, _bold(role)), (f" {glyphs.line * tail}", role)]


def _bold(role: str) -> str:
    return f"{role}+" if role in ("a", "b", "x") else role
