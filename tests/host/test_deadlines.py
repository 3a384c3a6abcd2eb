"""A deadline is exact: at it something happens, after it the next one is later, before it nothing does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.pair import B, Pair, X

from tcplab.host.machine import Machine
from tcplab.units import MS, NEVER, SEC, Nanos


def trace_of(pair: Pair) -> tuple[int, int, object]:
    """Whatever on_timer can leave behind: events, frames, what is still asked for."""
    return len(pair.events), len(pair.frames), {name: dict(pair.host(name).resolving) for name in "ab"}


def watch(pair: Pair, host: Machine) -> list[Nanos]:
    """From now on check each on_timer of `host`; the list of the deadlines that were met."""
    met: list[Nanos] = []
    run: Callable[[Nanos], None] = host.on_timer

    def on_timer(now: Nanos) -> None:
        due = host.deadline
        assert due == now, "called at another time than the deadline"
        before, said = trace_of(pair), host.next_timer()
        assert said, "the next deadline has no name"
        run(now)
        assert host.deadline > now, f"{said} is due again at once"
        assert trace_of(pair) != before or host.out, f"{said} did nothing"
        met.append(now)

    host.on_timer = on_timer  # type: ignore[method-assign]
    return met


def silent_syn(pair: Pair) -> None:
    pair.lose = lambda *_: True
    pair.connect()


def half_open(pair: Pair) -> None:
    pair.lose = lambda host, _: host == "b"
    pair.listen()
    pair.connect()


def nobody_there(pair: Pair) -> None:
    pair.call("a", "connect", pair.call("a", "socket"), X, 80)


def lost_data(pair: Pair) -> None:
    client, _ = pair.open()
    pair.lose = lambda *_: True
    pair.call("a", "send", client, b"x" * 5000)


def nobody_reads(pair: Pair) -> None:
    listener, client = pair.listen(), pair.call("a", "socket")
    pair.call("a", "setsockopt", client, "SO_RCVBUF", 10_000)
    pair.call("a", "connect", client, B, 80)
    pair.run(20 * MS)
    server, _ = pair.call("b", "accept", listener)
    pair.call("b", "send", server, b"x" * 50_000)


def keepalive(pair: Pair) -> None:
    client, server = pair.open()
    for fd, host in ((client, "a"), (server, "b")):
        pair.call(host, "setsockopt", fd, "SO_KEEPALIVE", 1)
    pair.run(10 * SEC)
    pair.call("a", "send", client, b"one")
    pair.run(7300 * SEC)
    pair.lose = lambda *_: True


def dialogue(pair: Pair) -> None:
    client, server = pair.open()
    for _ in range(40):
        pair.call("a", "send", client, b"question")
        pair.run(SEC)
        pair.call("b", "recv", server, 100)
        pair.call("b", "send", server, b"answer")
        pair.run(SEC)
        pair.call("a", "recv", client, 100)
    pair.call("a", "close", client)
    pair.run(SEC)
    pair.call("b", "close", server)


def orphan(pair: Pair) -> None:
    client, _ = pair.open()
    pair.call("a", "close", client)


def flood(pair: Pair) -> None:
    half_open(pair)
    for _ in range(10):
        pair.connect()
        pair.run(300 * MS)


@pytest.mark.parametrize(
    "story", [silent_syn, half_open, nobody_there, lost_data, nobody_reads, keepalive, dialogue, orphan, flood]
)
def test_every_deadline_does_something(story: Callable[[Pair], None]) -> None:
    pair = Pair()
    met_a, met_b = watch(pair, pair.a), watch(pair, pair.b)
    story(pair)
    pair.run(4000 * SEC)
    assert met_a or met_b
    assert pair.a.deadline > pair.now
    assert pair.b.deadline > pair.now


@pytest.mark.parametrize("story", [silent_syn, half_open, nobody_there, lost_data, orphan])
def test_nothing_happens_before_a_deadline(story: Callable[[Pair], None]) -> None:
    pair = Pair()
    story(pair)
    pair.run(50 * MS)
    for host in (pair.a, pair.b):
        if host.deadline != NEVER:
            before = trace_of(pair)
            host.on_timer(host.deadline - 1)
            assert trace_of(pair) == before
            assert host.out == []


def test_several_that_are_due_together_run_in_one_call() -> None:
    pair = Pair(lose=lambda *_: True)
    for _ in range(3):
        pair.connect()
    assert pair.a.deadline == SEC
    pair.a.on_timer(SEC)
    assert len(pair.a.out) == 3
    assert pair.a.deadline == 2 * SEC


def test_a_late_driver_runs_all_that_is_due() -> None:
    pair = Pair(lose=lambda *_: True)
    fd = pair.connect()
    pair.a.on_timer(10 * SEC)
    assert len(pair.a.out) == 1, "the next repeat counts from now"
    assert pair.a.deadline == 11 * SEC
    assert isinstance(pair.call("a", "connect", fd, B, 80), BlockingIOError)


def test_a_deadline_that_moves_away_is_not_met_at_its_old_time() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "send", client, b"x")
    old = pair.a.deadline
    pair.run(20 * MS)
    assert pair.a.deadline == NEVER
    pair.call("a", "send", client, b"y")
    assert pair.a.deadline > old


def test_no_timer_is_left_behind() -> None:
    pair = Pair()
    dialogue(pair)
    pair.run(61 * SEC)
    assert (pair.a.deadline, pair.b.deadline) == (NEVER, NEVER)
    assert pair.a._timers == pair.b._timers == []
    assert (pair.a.next_timer(), pair.b.next_timer()) == ("", "")
