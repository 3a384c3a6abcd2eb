"""A flood answered, many connections idle or busy, and what one holds: each beside what it can be compared with.

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

from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.addresses import ADDRESS
from tcplab.engines.world import World
from tcplab.link.inject import syn_flood
from tcplab.rng import Rng
from tcplab.units import MS, SEC

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
    frames = list(syn_flood(Rng(1).stream("x/flood"), B, PORT, MAC_B, FLOOD))

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


def opened(count: int) -> tuple[World, list[tuple[int, int]]]:
    """A sim with so many connections: descriptors of a and of b."""
    lab = World(Plan(seed=1, delay=50_000), "sim", trace=False)
    listener = lab.apps.start("b", "server", apps.listen(PORT, count)).result
    pairs = []
    for _ in range(count):
        accepted = lab.apps.start("b", "server", apps.accept_one(listener))
        client = lab.apps.start("a", "client", apps.connect(ADDRESS["b"], PORT))
        lab.loop.run_until(lab.loop.now + MS)
        pairs.append((client.result, accepted.result[0]))
    return lab, pairs


def segments_of(count: int) -> float:
    """Segments a second when so many connections have a dialogue at the same time, as much in all as one would."""
    lab, pairs = opened(count)
    rounds = SEGMENTS // count

    def talk(mine: int, first: bool) -> apps.Program:
        for _ in range(rounds):
            if first:
                yield "send", mine, b"x" * 100
            yield "recv", mine, 1000
            if not first:
                yield "send", mine, b"x" * 100

    tasks = [
        lab.apps.start(host, "talk", talk(fd, first))
        for pair in pairs
        for host, fd, first in (("b", pair[1], False), ("a", pair[0], True))
    ]
    before = sent(lab)
    seconds = spent(lambda: lab.loop.run_until(1000 * SEC, unless=lambda: tasks[-1].done))
    return (sent(lab) - before) / seconds


def idle_hour(count: int) -> float:
    """Seconds that an hour of lab time takes while connections do nothing but find out whether their peer lives."""
    lab, pairs = opened(count)
    for _, server in pairs:
        lab.call("b", "setsockopt", server, "TCP_KEEPIDLE", 60)
        lab.call("b", "setsockopt", server, "SO_KEEPALIVE", 1)
    seconds = spent(lambda: lab.loop.run_until(lab.loop.now + 3600 * SEC))
    assert lab.hosts["b"].counters["TcpExtTCPKeepAlive"] >= 48 * count
    return seconds


def sent(lab: World) -> int:
    """Segments of both hosts so far."""
    return sum(host.counters["TcpOutSegs"] for host in lab.hosts.values())


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


@pytest.mark.parametrize("count", [1, 1_000])
def test_a_segment_costs_the_same_among_many(count: int, best: Best, report: Report) -> None:
    report("connections that talk at once", f"{count:,}", best(lambda: segments_of(count)), "segments/s")


def test_an_idle_hour(benchmark: Callable[..., float], report: Report) -> None:
    spent = benchmark.pedantic(idle_hour, args=(1_000,), rounds=1)  # type: ignore[attr-defined]
    report("an hour, a keepalive in 75 s", "1,000 connections", spent, "s")


@pytest.mark.parametrize("what", ["half-open entry", "idle connection"])
def test_memory(what: str, benchmark: Callable[..., float], report: Report) -> None:
    measure = per_half_open if what == "half-open entry" else per_connection
    octets = benchmark.pedantic(measure, args=(10_000,), rounds=1)  # type: ignore[attr-defined]
    report("memory of one of 10,000", what, octets, "octets")
