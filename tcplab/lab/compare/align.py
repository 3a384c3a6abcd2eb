"""Two timelines side by side, and every difference between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from tcplab.api.counters import COUNTERS
from tcplab.lab.compare.rows import CALL, Row, Run
from tcplab.units import MS, Nanos, clock

PERCENT: Final = 12
LEAST: Final = 10 * MS
"""The kernel's timers are late by so much of what they wait: they round up, by HZ and by the levels of its wheel."""
_RECENT: Final = 8
"""So many events of a connection back may lie what an event waited for."""
_OF_TCP: Final = ("Tcp*", "TcpExt*")


class Difference(msgspec.Struct):
    """One thing in which the two runs are not the same. `id`: of the entry of the fidelity table that explains it."""

    kind: str
    """`only ours`, `only linux`, `field`, `time`, `counter`, `variable` or `script`."""
    name: str
    """What: a row, a field, a counter."""
    ours: str
    linux: str
    where: str = ""
    id: str = ""
    reason: str = ""


class Pair(msgspec.Struct):
    """A row of ours beside the kernel's; one of them may be missing."""

    ours: Row | None
    linux: Row | None
    differences: list[Difference] = []

    @property
    def row(self) -> Row:
        """Either of them."""
        row = self.ours or self.linux
        assert row is not None, "a pair has at least one row"
        return row


class Comparison(msgspec.Struct):
    """All of it."""

    pairs: list[Pair]
    others: list[Difference]
    """Counters, variables, and how the script ended."""

    def differences(self) -> Iterator[Difference]:
        """Every difference."""
        for pair in self.pairs:
            yield from pair.differences
        yield from self.others


class Tolerance(msgspec.Struct, frozen=True):
    """How late the kernel's timers may be: a part of the time waited, but at least `least`."""

    percent: int = PERCENT
    least: Nanos = LEAST

    def of(self, span: Nanos) -> Nanos:
        """For something that waited `span`."""
        return max(self.least, span * self.percent // 100)


def compare(ours: Run, linux: Run, tolerance: Tolerance) -> Comparison:
    """Lay the two runs side by side."""
    pairs = _pairs(ours, linux)
    end = min(ours.end, linux.end)
    _judge_rows(pairs, end - tolerance.of(0))
    _judge_times(pairs, tolerance)
    others = [*_counters(ours, linux), *_variables(ours, linux)]
    if ours.error != linux.error:
        others.insert(0, Difference("script", "how the script ends", ours.error or "well", linux.error or "well"))
    return Comparison(pairs, others)


# --- rows -------------------------------------------------------------------------------------------------------------


def _pairs(ours: Run, linux: Run) -> list[Pair]:
    """Aligned within each track; in the order of our time, the kernel's own rows at theirs."""
    tracks: dict[tuple[str, str, str], tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, run in enumerate((ours, linux)):
        for row in run.rows:
            tracks[row.track][side].append(row)
    pairs = [pair for left, right in tracks.values() for pair in _aligned(left, right)]
    return sorted(pairs, key=lambda pair: pair.row.t)


def _aligned(left: list[Row], right: list[Row]) -> Iterator[Pair]:
    matcher = SequenceMatcher(None, [row.key for row in left], [row.key for row in right], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from (Pair(one, other) for one, other in zip(left[a:b], right[c:d], strict=True))
        else:
            yield from (Pair(one, None) for one in left[a:b])
            yield from (Pair(None, other) for other in right[c:d])


def _judge_rows(pairs: list[Pair], until: Nanos) -> None:
    """What only one of them has; what the end of the run cut off does not count."""
    for pair in pairs:
        if pair.ours is None or pair.linux is None:
            row = pair.row
            if row.t <= until:
                kind = "only ours" if pair.ours is not None else "only linux"
                text = f"{row.who} {row.key}"
                said = (text, "") if pair.ours is not None else ("", text)
                pair.differences = [Difference(kind, f"{row.kind} {text}", *said, _where(row))]
            continue
        one, other = pair.ours, pair.linux
        names = sorted(one.fields.keys() | other.fields.keys())
        pair.differences = [
            Difference("field", name, one.fields.get(name, ""), other.fields.get(name, ""), _where(one))
            for name in names
            if one.fields.get(name, "") != other.fields.get(name, "")
        ]


def _where(row: Row) -> str:
    return f"{clock(row.t)} {row.who} {row.flow} {row.key}"


def _judge_times(pairs: list[Pair], tolerance: Tolerance) -> None:
    """The kernel may be late by its part of the time since an event of the same connection that was late itself."""
    recent: dict[str, list[tuple[Nanos, Nanos]]] = defaultdict(lambda: [(0, 0)])
    called: Nanos = 0
    for pair in pairs:
        if pair.ours is None or pair.linux is None:
            continue
        at, late = pair.ours.t, pair.linux.t - pair.ours.t
        before = [*recent[pair.ours.flow], *recent[""]] if pair.ours.flow else recent[""]
        most = max(lateness + tolerance.of(at - then) for then, lateness in before)
        least = min(0, called, *(lateness for _, lateness in before)) - tolerance.least
        if not least <= late <= most:
            times = (f"{clock(pair.ours.t)} s", f"{clock(pair.linux.t)} s")
            pair.differences.append(Difference("time", pair.ours.key, *times, _where(pair.ours)))
        recent[pair.ours.flow] = [*recent[pair.ours.flow][1 - _RECENT :], (at, late)]
        if pair.ours.kind == CALL:
            called = late


# --- the rest ---------------------------------------------------------------------------------------------------------


def _counters(ours: Run, linux: Run) -> Iterator[Difference]:
    """Those that we keep, and of TCP's those that only Linux has."""
    for host in ("a", "b"):
        one, other = ours.counters.get(host, {}), linux.counters.get(host, {})
        for name in sorted(one.keys() | other.keys()):
            count, theirs = one.get(name, 0), other.get(name, 0)
            told = name in COUNTERS or any(fnmatchcase(name, pattern) for pattern in _OF_TCP)
            if told and count != theirs:
                yield Difference("counter", name, str(count), str(theirs), f"on {host}")


def _variables(ours: Run, linux: Run) -> Iterator[Difference]:
    for mark in ours.variables.keys() | linux.variables.keys():
        one, other = ours.variables.get(mark, {}), linux.variables.get(mark, {})
        for name in sorted(one.keys() | other.keys()):
            if one.get(name, "") != other.get(name, ""):
                where = f"at {mark or 'the end'}"
                yield Difference("variable", name, one.get(name, "none"), other.get(name, "none"), where)
