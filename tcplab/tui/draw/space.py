"""The sequence space of a connection, one direction after the other: what the sender and the receiver know of the same
octets, one above the other (RFC 9293 3.3.1, Figures 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from tcplab.api.views import ConnView
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, wrap

_MASK: Final = 0xFFFF_FFFF
_LABEL: Final = 10
"""Cells in front of a bar."""
_BEYOND: Final = 4
"""The window's edge is drawn if it lies no further behind what is under way than this part of it; else it is told."""
Blocks = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Space:
    """One direction, in octets counted from the sender's ISN. `None`: that side is not known here."""

    una: int
    nxt: int
    queued: int
    """Where what the application wrote ends."""
    edge: int
    sacked: Blocks
    got: int | None
    """RCV.NXT of the other side."""
    read: int
    """Up to where its application has read."""
    ooo: Blocks
    offered: int
    """Where the window ends that it offers."""

    @property
    def span(self) -> tuple[int, int]:
        """What is drawn: from the first octet that somebody still holds to the last."""
        low = self.una if self.got is None else min(self.una, self.read)
        high = max([self.queued, self.nxt, self.got or 0, *(right for _, right in self.ooo)])
        room = max(1, (high - low) // _BEYOND)
        return low, max([high, *(edge for edge in (self.edge, self.offered) if edge <= high + room)], default=high)


def of(sender: ConnView, receiver: ConnView | None) -> Space:
    """What both know of the octets that `sender` sends."""

    def relative(number: int) -> int:
        return (number - sender.iss) & _MASK

    una, nxt = relative(sender.snd_una), relative(sender.snd_nxt)
    return Space(
        una,
        nxt,
        nxt + sender.not_sent,
        una + sender.snd_wnd,
        _joined((relative(left), relative(right)) for left, right in sender.sacked),
        None if receiver is None else relative(receiver.rcv_nxt),
        0 if receiver is None else relative(receiver.rcv_nxt) - receiver.recv_q,
        [] if receiver is None else _joined((relative(left), relative(right)) for left, right in receiver.ooo),
        0 if receiver is None else relative(receiver.rcv_nxt) + receiver.rcv_wnd,
    )


def _joined(blocks: Iterable[tuple[int, int]]) -> Blocks:
    """From left to right, and neighbours as one."""
    made: Blocks = []
    for left, right in sorted(blocks):
        if made and left <= made[-1][1]:
            made[-1] = (made[-1][0], max(right, made[-1][1]))
        else:
            made.append((left, right))
    return made


def lines(a: ConnView | None, b: ConnView | None, room: int, glyphs: Glyphs) -> list[Line]:
    """Both directions and what the signs mean."""
    if a is None and b is None:
        words = "No connection is chosen. Choose one in a host's pane; what is under way on it will stand here."
        return [[(text, "dim")] for text in wrap(words, room)]
    made: list[Line] = []
    for name, sender, receiver in (("a", a, b), ("b", b, a)):
        if sender is not None:
            made += _direction(name, sender, receiver, room, glyphs)
    return made + _legend(glyphs)


def _direction(name: str, sender: ConnView, receiver: ConnView | None, room: int, glyphs: Glyphs) -> list[Line]:
    other = "b" if name == "a" else "a"
    space = of(sender, receiver)
    made: list[Line] = [[(f"{name} {glyphs.to} {other}", f"{name}+")], *_sender_says(name, space, sender)]
    low, high = space.span
    if high <= low:
        return [*made, [("  Nothing is under way, and nothing is unread.", "dim")], []]
    bar = _Bar(low, high, max(20, room - _LABEL), glyphs)
    made.append(bar.numbers([space.una, space.nxt, space.queued, *(edge for block in space.sacked for edge in block)]))
    made.append([(f"  {name} sent  ", name), *bar.draw(space.edge, partial(_sent, space, glyphs, name))])
    if space.got is not None:
        made.append([(f"  {other} has   ", other), *bar.draw(space.offered, partial(_got, space, glyphs, other))])
        made.append(bar.numbers([space.read, space.got, *(edge for block in space.ooo for edge in block)]))
        made.append(_receiver_says(other, space))
    return [*made, []]


def _sender_says(name: str, space: Space, sender: ConnView) -> list[Line]:
    line: Line = [(f"  {name}: ", f"{name}+")]
    sacked = sum(right - left for left, right in space.sacked)
    for text, count in (("in flight", space.nxt - space.una), ("SACKed", sacked), ("unsent", space.queued - space.nxt)):
        line += [(f"{text} ", "dim"), (f"{count:,}  ", "value")]
    line += [("window to ", "dim"), (f"{space.edge:,}", "value")]
    if not sender.lost_out and not sender.retrans_out:
        return [line]
    trouble: Line = [("     segments taken for lost ", "dim"), (f"{sender.lost_out}", "trouble")]
    return [line, [*trouble, ("  repeated since ", "dim"), (f"{sender.retrans_out}", "rtx")]]


def _receiver_says(name: str, space: Space) -> Line:
    assert space.got is not None
    beyond = sum(right - left for left, right in space.ooo)
    line: Line = [(f"  {name}: ", f"{name}+")]
    for text, count in (("unread", space.got - space.read), ("beyond a hole", beyond)):
        line += [(f"{text} ", "dim"), (f"{count:,}  ", "value")]
    return [*line, ("window to ", "dim"), (f"{space.offered:,}", "value")]


def _sent(space: Space, glyphs: Glyphs, host: str, left: int, right: int) -> tuple[str, str]:
    """Sign and role of the sender's octets from `left` to `right`."""
    if _any(space.sacked, left, right):
        return glyphs.full, "ok"
    if left < space.una:
        return " ", ""
    if left < space.nxt:
        return glyphs.empty, host
    return (glyphs.line, "dim") if left < space.queued else (" ", "")


def _got(space: Space, glyphs: Glyphs, host: str, left: int, right: int) -> tuple[str, str]:
    """Sign and role of the receiver's octets from `left` to `right`."""
    assert space.got is not None
    if left < space.got:
        return (glyphs.empty, "dim") if right <= space.read else (glyphs.full, host)
    if _any(space.ooo, left, right):
        return glyphs.full, "ok"
    last = max((end for _, end in space.ooo), default=0)
    return (glyphs.lost, "trouble") if left < last else (" ", "")


def _any(blocks: Iterable[tuple[int, int]], left: int, right: int) -> bool:
    return any(first < right and left < end for first, end in blocks)


@dataclass(frozen=True, slots=True)
class _Bar:
    """`cells` cells for the octets from `low` to `high`; the last one is for an edge that lies right behind them."""

    low: int
    high: int
    cells: int
    glyphs: Glyphs

    def _cell(self, number: int) -> int:
        """The first cell that begins with this octet, or behind it."""
        return -((self.low - number) * (self.cells - 1) // (self.high - self.low))

    def _bounds(self, cell: int) -> tuple[int, int]:
        width, cells = self.high - self.low, self.cells - 1
        left = self.low + cell * width // cells
        return left, max(left + 1, self.low + (cell + 1) * width // cells)

    def draw(self, edge: int, sign: Callable[[int, int], tuple[str, str]]) -> Line:
        """Each cell by its octets, and the edge of a window; equal neighbours are one span."""
        line: Line = []
        for cell in range(self.cells):
            text, role = (self.glyphs.bar, "accent") if cell == self._cell(edge) else sign(*self._bounds(cell))
            if line and line[-1][1] == role:
                line[-1] = (line[-1][0] + text, role)
            else:
                line.append((text, role))
        return line

    def numbers(self, at: Iterable[int]) -> Line:
        """Each number above or below its cell; one that has no room there is left out."""
        text = [" "] * (_LABEL + self.cells)
        free = 0
        for number in sorted(set(at)):
            if not self.low <= number <= self.high:
                continue
            said = str(number)
            cell = min(_LABEL + self._cell(number), len(text) - len(said))
            if cell >= free:
                text[cell : cell + len(said)] = said
                free = cell + len(said) + 1
        return [("".join(text).rstrip(), "dim")]


def _legend(glyphs: Glyphs) -> list[Line]:
    """What the signs mean."""
    sent = ((glyphs.empty, "", "in flight"), (glyphs.full, "ok", "SACKed"), (glyphs.line, "dim", "not sent yet"))
    has = ((glyphs.empty, "dim", "read"), (glyphs.full, "", "received"), (glyphs.lost, "trouble", "missing"))
    made: list[Line] = []
    for text, signs in (("sent", sent), ("has", (*has, (glyphs.bar, "accent", "end of the window")))):
        line: Line = [(f"  {text:<6}", "dim")]
        for sign, role, meaning in signs:
            line += [(f"{sign} ", role), (f"{meaning}   ", "dim")]
        made.append(line)
    return made
