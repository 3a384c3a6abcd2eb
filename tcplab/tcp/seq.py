"""Sequence numbers: 32-bit integers on a circle (RFC 9293 section 3.4). They are compared here and nowhere else.

Except for a few comparisons on the way of every segment, where a call costs more than what it does: there stands
`(a - b) & MASK >= HALF` for "`a` lies before `b`".
"""

from __future__ import annotations

from tcplab.units import Seq

MASK = 0xFFFFFFFF
HALF = 0x80000000


def add(a: Seq, count: int) -> Seq:
    """`a` moved on by `count` (which may be negative)."""
    return (a + count) & MASK


def diff(a: Seq, b: Seq) -> int:
    """How far `a` is ahead of `b`: -2**31 .. 2**31-1."""
    return ((a - b + HALF) & MASK) - HALF


def before(a: Seq, b: Seq) -> bool:
    """`a` lies before `b` on the circle."""
    return (a - b) & MASK >= HALF


def after(a: Seq, b: Seq) -> bool:
    """`a` lies after `b` on the circle."""
    return (b - a) & MASK >= HALF


def later(a: Seq, b: Seq) -> Seq:
    """The one of the two that lies further on."""
    return b if (a - b) & MASK >= HALF else a


def in_window(first: Seq, end: Seq, left: Seq, right: Seq) -> bool:
    """Does a segment touch the window of what has no connection yet, or no longer (Linux tcp_in_window)?"""
    if first == left or (after(end, left) and before(first, right)):
        return True
    return first == right == end
