"""What a connection and a half-open entry cost in memory: all that Python allocates for them, one host's share."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

from support.quick import Quick, flooded


def per_connection(count: int) -> float:
    """Octets of one idle established connection: its variables, its queues, its socket, its place in the tables."""
    lab = Quick()
    listener = lab.listen(backlog=16)
    lab.open(listener, 10)
    return _allocated(lambda: lab.open(listener, count)) / (2 * count)


def per_half_open(count: int) -> float:
    """Octets of one entry of the SYN queue, its timer and its place in the tables included."""
    host, syns = flooded(count)

    def fill() -> None:
        for syn in syns:
            host.on_frame(0, syn)
            host.out.clear()

    return _allocated(fill) / count


def _allocated(act: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        kept = act()
        del kept
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
