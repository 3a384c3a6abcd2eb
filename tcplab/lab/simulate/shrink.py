"""The least of a world that still fails in the same way: delta debugging over the plan's items (Zeller's ddmin)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcplab.lab.simulate import play
from tcplab.lab.simulate.plan import Plan

MOST_RUNS: Final = 2000


def shrink(plan: Plan, kind: str, judge: Callable[[Plan], play.Verdict] = play.play) -> int:
    """Which items of `plan` are needed for a violation of this kind, as a mask for `Plan.only`."""
    runs = 0

    def fails(items: list[int]) -> bool:
        nonlocal runs
        runs += 1
        return judge(plan.only(_mask(items))).kind == kind

    kept = list(range(len(plan.items)))
    size = max(len(kept) // 2, 1)
    while size and runs < MOST_RUNS:
        at, less = 0, False
        while at < len(kept) and runs < MOST_RUNS:
            rest = kept[:at] + kept[at + size :]
            if fails(rest):
                kept, less = rest, True
            else:
                at += size
        if not less or size > 1:
            size //= 2
    return _mask(kept)


def _mask(items: list[int]) -> int:
    return sum(1 << item for item in items)
