"""The wire: its own delay, and the rules that lose, delay, duplicate and mark frames.

A frame meets the rules in the order in which they were added, at the moment when it enters the wire. The first rule
that loses it ends its way; delays add up; each duplicate makes one copy more. A frame that a rule delayed lets later
ones overtake; all others keep their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from tcplab.link.match import Match
from tcplab.rng import Rng, Stream
from tcplab.units import Nanos
from tcplab.wire.text import Described, describe


@dataclass(frozen=True, slots=True)
class Drop:
    """Lose the frames that match. `text` is the command line that made the rule."""

    match: Match
    text: str


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the frames that match for `by`, plus or minus up to `jitter` (never less than 0), both in nanoseconds."""

    match: Match
    by: Nanos
    text: str
    jitter: Nanos = 0


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Send a copy right behind each frame that matches."""

    match: Match
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark the frames that match as a congested router would, if they may be marked (ECN)."""

    match: Match
    text: str


Rule: TypeAlias = Drop | Delay | Duplicate | Mark


class Fate(Enum):
    """What a verdict does with the frame."""

    LOST = "lost"
    DELAYED = "delayed"
    COPIED = "copied"
    MARKED = "marked"
    ARRIVES = "arrives"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """One thing that happens to a frame; `why` is the text of the rule. `at` is when the frame reaches the far end."""

    fate: Fate
    at: Nanos = 0
    why: str = ""


class _Active:
    """A rule at work: how many frames fitted it so far, and its dice."""

    __slots__ = ("chance", "jitter", "match", "rule", "seen")

    def __init__(self, rule: Rule, rng: Rng, serial: int) -> None:
        self.rule = rule
        self.match = rule.match
        self.seen = 0
        self.chance: Final[Stream] = rng.stream(f"link/{serial}")
        self.jitter: Final[Stream] = rng.stream(f"link/{serial}/jitter")

    @property
    def exhausted(self) -> bool:
        last = self.match.last
        return last is not None and self.seen >= last

    def takes(self, direction: str, segment: Described | None) -> bool:
        """Count the frame if it fits; True if the rule applies to it."""
        if not self.match.fits(direction, segment):
            return False
        self.seen += 1
        if self.seen < self.match.first or (self.match.last is not None and self.seen > self.match.last):
            return False
        return self.match.ppm is None or self.chance.chance(self.match.ppm)

    def hold(self, rule: Delay) -> Nanos:
        """How long this frame is held."""
        if not rule.jitter:
            return rule.by
        return max(0, rule.by - rule.jitter + self.jitter.below(2 * rule.jitter + 1))


class Link:
    """The wire between the hosts. Each rule has its own stream of chance, named by its serial number (`link/1`)."""

    def __init__(self, rng: Rng, delay: Nanos) -> None:
        self.delay = delay
        """One-way delay of the wire, each way."""
        self._rng = rng
        self._serial = 0
        self._active: list[_Active] = []
        self._looks_inside = False
        self._last: dict[str, Nanos] = {"a>b": 0, "b>a": 0}
        self.busy = False
        """There is something that `frame` must be asked for."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that still apply, oldest first."""
        return tuple(active.rule for active in self._active)

    def add(self, rule: Rule) -> None:
        """Append a rule; its count starts at 0."""
        self._serial += 1
        self._active.append(_Active(rule, self._rng, self._serial))
        self._looks_inside = any(active.match.looks_inside for active in self._active)
        self.busy = True

    def clear(self) -> None:
        """Take all rules off the wire; frames under way keep their fate."""
        self._active.clear()
        self._looks_inside = self.busy = False

    def frame(self, now: Nanos, direction: str, frame: bytes, segment: Described | None = None) -> list[Verdict]:
        """What happens to a frame that enters the wire now. `segment` spares describing the frame again.

        The verdicts are in order; ARRIVES comes once for the frame and once after each COPIED, or LOST is the last.
        """
        if not self._active:
            return [Verdict(Fate.ARRIVES, self.arrival(now, direction))]
        if segment is None and self._looks_inside:
            segment = describe(frame)
        verdicts: list[Verdict] = []
        held = 0
        copies: list[str] = []
        for active in self._active:
            if not active.takes(direction, segment):
                continue
            rule = active.rule
            if isinstance(rule, Drop):
                return self._retire([*verdicts, Verdict(Fate.LOST, why=rule.text)])
            if isinstance(rule, Delay):
                held += active.hold(rule)
                verdicts.append(Verdict(Fate.DELAYED, now + self.delay + held, rule.text))
            elif isinstance(rule, Mark):
                verdicts.append(Verdict(Fate.MARKED, why=rule.text))
            else:
                copies.append(rule.text)
        at = now + self.delay + held if held else self.arrival(now, direction)
        verdicts.append(Verdict(Fate.ARRIVES, at))
        for why in copies:
            verdicts += (Verdict(Fate.COPIED, why=why), Verdict(Fate.ARRIVES, at))
        return self._retire(verdicts)

    def arrival(self, now: Nanos, direction: str) -> Nanos:
        """When a frame that no rule touches reaches the far end: in order."""
        at = now + self.delay
        if at < self._last[direction]:
            return self._last[direction]
        self._last[direction] = at
        return at

    def _retire(self, verdicts: list[Verdict]) -> list[Verdict]:
        self._active = [active for active in self._active if not active.exhausted]
        self.busy = bool(self._active)
        return verdicts
