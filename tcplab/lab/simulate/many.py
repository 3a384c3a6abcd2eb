"""Seed after seed, in several processes, until there are enough of them or the time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from tcplab.lab.errors import LabError
from tcplab.lab.simulate import draw, shrink
from tcplab.lab.simulate.plan import Item, Plan
from tcplab.lab.simulate.play import Verdict, play

_BATCH: Final = 25


class Finding(msgspec.Struct, frozen=True):
    """A seed that failed, and the least of its world that still does."""

    verdict: Verdict
    items: int
    """How many items the whole plan had."""
    mask: int
    least: tuple[Item, ...]

    @property
    def replay(self) -> str:
        """What `tcplab simulate --replay` takes."""
        return f"{self.verdict.seed}:{self.mask:x}"


class Total(msgspec.Struct):
    """What all worlds together did."""

    seeds: int = 0
    frames: int = 0
    octets: int = 0
    strict: int = 0
    failed: int = 0

    def add(self, verdict: Verdict) -> None:
        """One more."""
        self.seeds += 1
        self.frames += verdict.frames
        self.octets += verdict.octets
        self.strict += verdict.strict
        self.failed += bool(verdict.kind)


def named(text: str) -> Plan:
    """The plan of `SEED` or `SEED:MASK`. ValueError: it is neither."""
    seed, colon, mask = text.partition(":")
    plan = draw.plan(int(seed))
    return plan.only(int(mask, 16)) if colon else plan


def load(text: str) -> Plan:
    """The plan that `text` names: a seed, SEED:MASK, or a file. LabError: it is none of them."""
    try:
        if Path(text).is_file():
            return msgspec.json.decode(Path(text).read_bytes(), type=Plan)
        return named(text)
    except (OSError, ValueError, msgspec.MsgspecError) as wrong:
        raise LabError("", f"{text}: neither a seed, nor SEED:MASK, nor a plan ({wrong})") from None


def find(verdict: Verdict) -> Finding:
    """Shrink the world of a seed that failed."""
    plan = draw.plan(verdict.seed)
    mask = shrink.shrink(plan, verdict.kind)
    return Finding(verdict, len(plan.items), mask, plan.only(mask).items)


def _batch(seeds: list[int]) -> list[Verdict]:
    return [play(draw.plan(seed)) for seed in seeds]


def run(first: int, seeds: int | None, minutes: float | None, jobs: int) -> Iterator[Verdict]:
    """The verdicts of the seeds from `first` on, in order. `seeds` and `minutes`: how many at most, None: no limit."""
    until = time.monotonic() + minutes * 60 if minutes is not None else None
    end = None if seeds is None else first + seeds
    batches = _batches(first, end)
    if jobs == 1:
        for batch in batches:
            for seed in batch:
                if until is not None and time.monotonic() >= until:
                    return
                yield play(draw.plan(seed))
        return
    with ProcessPoolExecutor(jobs) as pool:
        while work := list(islice(batches, 4 * jobs)):
            for verdicts in pool.map(_batch, work):
                yield from verdicts
            if until is not None and time.monotonic() >= until:
                return


def _batches(first: int, end: int | None) -> Iterator[list[int]]:
    while end is None or first < end:
        last = first + _BATCH if end is None else min(first + _BATCH, end)
        yield list(range(first, last))
        first = last
