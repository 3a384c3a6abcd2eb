"""A flood answered, many connections idle, and what one of them holds: each beside what it can be compared with.

Nothing here asserts a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from bare import answer
from support.memory import per_connection, per_half_open
from support.pair import MAC_B, B
from support.quick import PORT, Quick, flooded

from tcplab.link.inject import syn_flood
from tcplab.rng import Rng
from tcplab.units import MS

Report = Callable[[str, str, float, str], None]
Best = Callable[[Callable[[], float]], float]
FLOOD = 60_000
SEGMENTS = 10_000


def spent(act: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def bare_answers() -> float:
    frames = list(syn_flood(Rng(1), B, PORT, MAC_B, FLOOD))

    def run() -> None:
        for frame in frames:
            answer(frame)

    return FLOOD / spent(run)


def our_answers(cookies: int) -> float:
    host, frames = flooded(FLOOD)
    host.sysctl.set("tcp_syncookies", cookies)

    def run() -> None:
        for frame in frames:
            host.on_frame(0, frame)
            host.out.clear()

    rate = FLOOD / spent(run)
    assert host.counters["TcpOutSegs"] == FLOOD
    return rate


def segments_beside(idle: int) -> float:
    """Segments a second for one connection, while `idle` others, each with a keepalive timer, do nothing."""
    lab = Quick()
    listener = lab.listen(128)
    lab.open(listener, idle, keepalive=True)
    [(client, server)] = lab.open(listener, 1)
    before = lab.a.counters["TcpOutSegs"] + lab.b.counters["TcpOutSegs"]

    def run() -> None:
        for _ in range(SEGMENTS // 2):
            lab.call(lab.a, "send", client, b"x" * 100)
            lab.call(lab.b, "recv", server, 1000)
            lab.run(lab.now + MS)

    seconds = spent(run)
    return (lab.a.counters["TcpOutSegs"] + lab.b.counters["TcpOutSegs"] - before) / seconds


@pytest.mark.parametrize("who", ["bare Python, no TCP", "SYN cookies", "SYN queue"])
def test_syn_flood(who: str, best: Best, report: Report) -> None:
    measure = {
        "bare Python, no TCP": bare_answers,
        "SYN cookies": lambda: our_answers(2),
        "SYN queue": lambda: our_answers(0),
    }[who]
    report("answers to a SYN flood", who, best(measure), "SYN/s")


@pytest.mark.parametrize("idle", [10, 1_000, 10_000])
def test_idle_connections_cost_no_time(idle: int, best: Best, report: Report) -> None:
    report("one busy connection", f"beside {idle:,} idle ones", best(lambda: segments_beside(idle)), "segments/s")


@pytest.mark.parametrize("what", ["half-open entry", "idle connection"])
def test_memory(what: str, benchmark: Callable[..., float], report: Report) -> None:
    measure = per_half_open if what == "half-open entry" else per_connection
    octets = benchmark.pedantic(measure, args=(10_000,), rounds=1)  # type: ignore[attr-defined]
    report("memory of one of 10,000", what, octets, "octets")
