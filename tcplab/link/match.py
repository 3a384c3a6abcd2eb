"""Which frames a rule means: "the first SYN,ACK from b to a", "5 % of everything", "the third data segment"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tcplab.wire.text import Described

BOTH: Final = "both"
DIRECTIONS: Final = ("a>b", "b>a", BOTH)

Flow = tuple[int, int, int, int]
"""Source address and port, destination address and port, as numbers."""


@dataclass(frozen=True, slots=True)
class Match:
    """A predicate on frames. What is left out matches everything, ARP and ICMP included.

    `flags`, `data`, `flow` and `port` look into the TCP header, so a rule that names one of them means TCP segments
    only. Among the frames that fit, `nth` (from 1) and `count` choose a run of them: `nth` alone is that one frame,
    `count` alone is the first so many. `ppm` then leaves it to (seeded) chance.
    """

    direction: str = BOTH
    flags: str | None = None
    """Exactly these flags, in lab notation: `SA`."""
    data: bool = False
    """Only segments that carry data."""
    nth: int | None = None
    count: int | None = None
    ppm: int | None = None
    flow: Flow | None = None
    """Only segments of this connection, in either direction."""
    port: int | None = None
    """Only segments from or to this TCP port."""

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ValueError(f"{self.direction!r} is not a direction; expected a>b, b>a or both")
        for name, value in (("nth", self.nth), ("count", self.count)):
            if value is not None and value < 1:
                raise ValueError(f"{name} counts from 1, not {value}")
        if self.ppm is not None and not 0 <= self.ppm <= 1_000_000:
            raise ValueError(f"a chance of {self.ppm} in a million does not exist")

    @property
    def first(self) -> int:
        """The first of the fitting frames that is meant, from 1."""
        return self.nth or 1

    @property
    def last(self) -> int | None:
        """The last of the fitting frames that is meant; None: no end."""
        if self.count is not None:
            return self.first + self.count - 1
        return self.nth

    @property
    def looks_inside(self) -> bool:
        """Whether `fits` needs the headers of the frame."""
        return self.flags is not None or self.data or self.flow is not None or self.port is not None

    def fits(self, direction: str, segment: Described | None) -> bool:
        """Whether a frame in this direction is of the kind meant; `segment` may be None unless `looks_inside`."""
        if self.direction not in (BOTH, direction):
            return False
        if not self.looks_inside:
            return True
        return segment is not None and segment.proto == "tcp" and self._fits_segment(segment)

    def _fits_segment(self, segment: Described) -> bool:
        if self.flags is not None and segment.flags != self.flags:
            return False
        if self.data and not segment.len:
            return False
        if self.port is not None and self.port not in (segment.sport, segment.dport):
            return False
        if self.flow is None:
            return True
        there = (segment.saddr, segment.sport, segment.daddr, segment.dport)
        back = (segment.daddr, segment.dport, segment.saddr, segment.sport)
        return self.flow in (there, back)
