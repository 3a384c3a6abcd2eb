"""What the applications say to each other, and that each octet of it arrives once, in order, and unaltered.

Each direction of each connection has octets of its own, known beforehand, so that whatever is heard, or seen on the
wire, can be compared at once.
"""

from __future__ import annotations

import errno
from functools import lru_cache
from typing import Final

from tcplab.lab.simulate.plan import CALLER, SIDES, Call
from tcplab.rng import Rng

_PERIOD: Final = 65_521
"""A prime: no power of two, and no segment size, divides it."""

_COOKIE_SLACK: Final = 4


class Violation(Exception):
    """Something happened that must not. `kind` is what it is, in a few words that do not vary."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@lru_cache(maxsize=64)
def _pattern(call: int, side: str) -> bytes:
    octets = Rng(call).stream(side).octets(_PERIOD)
    return octets + octets + octets


def octets(call: int, side: str, at: int, count: int) -> bytes:
    """What that side says from its `at`-th octet on."""
    first = at % _PERIOD
    pattern = _pattern(call, side)
    if first + count <= len(pattern):
        return pattern[first : first + count]
    return (pattern * (2 + count // _PERIOD))[first : first + count]


class Side:
    """One end of a connection, as its application knows it."""

    __slots__ = (
        "call", "closed", "cookie", "deaf", "eof", "errors", "fd", "heard", "host", "mute", "opened", "parts", "peer",
        "said", "shut", "side", "tainted",
    )  # fmt: skip

    def __init__(self, call: Call, side: str) -> None:
        self.call = call
        self.side = side
        self.host = call.host if side == CALLER else call.target
        self.fd = -1
        self.opened = False
        self.said = self.heard = 0
        """Octets that send() took, and that recv() gave."""
        self.shut = False
        """It says no more, and told so (or will, when it is closed)."""
        self.eof = False
        self.errors: list[tuple[str, int]] = []
        self.closed = False
        self.deaf = False
        """It shut down reading, so the end means nothing."""
        self.mute = False
        """It ended with a reset of its own."""
        self.tainted = False
        """A forger may have said something in its peer's name."""
        self.parts = 0
        """How many of its programs run."""
        self.cookie = False
        """A SYN cookie may have opened it: such a one forgives a first number that is up to 3 too high."""
        self.peer: Side | None = None

    @property
    def name(self) -> str:
        """`call 3 caller (a)`"""
        return f"call {self.call.id} {self.side} ({self.host})"

    def next(self, count: int) -> bytes:
        """What it says next."""
        return octets(self.call.id, self.side, self.said, count)

    def hears(self, data: bytes, peek: bool) -> None:
        """recv() gave `data`."""
        if not self.tainted:
            other = SIDES[1 - SIDES.index(self.side)]
            if self.cookie and not self.heard:
                self.heard = self._missed(other, data)
            if data != octets(self.call.id, other, self.heard, len(data)):
                raise Violation("wrong octets", f"{self.name} read {len(data)} octets from {self.heard} on")
            peer = self.peer
            if peer is not None and self.heard + len(data) > peer.said:
                raise Violation("octets from nowhere", f"{self.name} read more than the {peer.said} that were sent")
        if not peek:
            self.heard += len(data)

    def _missed(self, other: str, data: bytes) -> int:
        """How many octets a cookie lost: the number is in it as a sum with the MSS index (Linux cookie_v4_check)."""
        for lost in range(1, _COOKIE_SLACK):
            if data == octets(self.call.id, other, lost, len(data)):
                return lost
        return 0

    def ends(self) -> None:
        """recv() gave the end of the stream."""
        if self.deaf or self.errors or self.tainted or self.mute:
            return
        self.eof = True
        peer = self.peer
        if peer is None:
            return
        if not peer.shut:
            raise Violation("end from nowhere", f"{self.name} read the end, but its peer did not close")
        if self.heard != peer.said and not (self.cookie and not self.heard and peer.said < _COOKIE_SLACK):
            raise Violation("lost octets", f"{self.name} read the end after {self.heard} of {peer.said} octets")

    def fails(self, op: str, number: int) -> None:
        """A call gave an error."""
        self.errors.append((op, number))

    def told(self) -> str:
        """Its errors, in words."""
        return ", ".join(f"{op}: {errno.errorcode.get(number, number)}" for op, number in self.errors)
