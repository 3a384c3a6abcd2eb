"""Styled text without a terminal: a span is (text, role), a line a list of spans; a theme gives roles their colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Span: TypeAlias = tuple[str, str]
"""Text and its role: `a`, `b`, `x`, `trouble`, `rtx`, `ok`, `accent`, `value`, `dim`, `bar` or empty."""
Line: TypeAlias = list[Span]


def width(line: Iterable[Span]) -> int:
    """How many cells the line takes; the screen uses no wide characters."""
    return sum(len(text) for text, _ in line)


def plain(line: Iterable[Span]) -> str:
    """The text alone."""
    return "".join(text for text, _ in line)


def fit(line: Line, room: int, more: str = "…") -> Line:
    """Exactly `room` cells: cut with `more` at the end, or padded with blanks."""
    used = width(line)
    if used <= room:
        return [*line, (" " * (room - used), "")] if used < room else line
    kept: Line = []
    left = room - len(more)
    if left < 0:
        return [(" " * max(0, room), "")]
    for text, role in line:
        if len(text) >= left:
            return [*kept, (text[:left], role), (more, "dim")]
        kept.append((text, role))
        left -= len(text)
    return kept


def sides(left: Line, right: Line, room: int) -> Line:
    """`left` and `right` at the two ends of `room` cells; the left one gives way."""
    space = room - width(right)
    if space <= 1:
        return fit(right, room)
    return [*fit(left, space - 1), (" ", ""), *right]


def bar(part: int, whole: int, cells: int, full: str, empty: str) -> tuple[str, str]:
    """A bar of `cells`: what is filled and what is not. Anything above 0 shows at least one cell."""
    if whole <= 0 or part <= 0:
        return "", empty * cells
    filled = min(cells, max(1, part * cells // whole))
    return full * filled, empty * (cells - filled)


def wrap(text: str, room: int, indent: str = "") -> list[str]:
    """Lines of at most `room` cells, broken between words; later ones begin with `indent`. Line breaks are kept."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        current = ""
        for word in paragraph.split():
            start = indent if lines or current else ""
            if not current:
                current = start + word
            elif len(current) + 1 + len(word) <= room:
                current += " " + word
            else:
                lines.append(current)
                current = indent + word
        lines.append(current)
    return lines
