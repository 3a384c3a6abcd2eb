"""Real time kept as well as a busy machine can: a scheduling class above that of ordinary programs (sched(7))."""

from __future__ import annotations

import os


def hurry() -> tuple[int, int] | None:
    """Let this thread, the threads that it starts and its children run as soon as they can; what to go back to.

    Times on a wire are milliseconds, and other programs may keep every processor busy. Only root may.
    """
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return None
    return before


def calm(before: tuple[int, int] | None) -> None:
    """The end of the hurry."""
    if before is not None:
        os.sched_setscheduler(0, before[0], os.sched_param(before[1]))
