"""SO_LINGER with seconds: close() waits for the ACK of the FIN, and the connection goes on without it."""

from __future__ import annotations

from errno import EAGAIN, EBADF

from support.pair import Pair

from tcplab.api.events import Called
from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.world import World
from tcplab.link.match import Match
from tcplab.link.stages import Drop
from tcplab.units import MS, SEC


def closing(pair: Pair, client: int, seconds: int = 2) -> list[float]:
    """Begin to close with SO_LINGER; when the close is over is noted in the list."""
    pair.call("a", "setsockopt", client, "SO_LINGER", (1, seconds))
    assert pair.errno("a", "close", client) == EAGAIN
    told: list[float] = []
    pair.a.wait(client, True, lambda: told.append(pair.now / SEC))
    return told


def test_it_waits_for_the_ack_of_the_fin() -> None:
    pair = Pair()
    client, _ = pair.open()
    at = pair.now
    told = closing(pair, client)
    assert pair.errno("a", "recv", client, 1) == EBADF, "the descriptor can only be closed"
    assert pair.errno("a", "close", client) == EAGAIN, "not yet"
    pair.run(SEC)
    assert told == [(at + 10 * MS) / SEC], "one round trip: no data ever came, so the FIN's ACK is not delayed"
    assert pair.call("a", "close", client) is None
    assert pair.errno("a", "close", client) == EBADF
    assert pair.conns("a") == ["FIN_WAIT_2"]
    assert pair.conn("a").timers[0].name == "finwait2", "an orphan since the wait ended"


def test_it_gives_up_after_exactly_so_many_seconds() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.lose = lambda *_: True
    at = pair.now
    told = closing(pair, client)
    pair.run(10 * SEC)
    assert told == [at / SEC + 2]
    assert pair.call("a", "close", client) is None
    assert pair.conns("a") == ["FIN_WAIT_1"]
    pair.run(200 * SEC)
    assert pair.conns("a") == [], "the orphan gave up in its own time"
    assert len(pair.times("a", "FA")) > 5


def test_it_waits_for_data_too() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "send", client, b"x" * 40_000)
    at = pair.now
    told = closing(pair, client, 5)
    pair.run(SEC)
    assert told
    assert told[0] > at / SEC + 0.02
    assert pair.conns("a") == ["FIN_WAIT_2"]


def test_data_that_comes_meanwhile_is_no_reason_for_a_reset() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "send", server, b"late")
    closing(pair, client)
    pair.run(6 * MS)
    assert "RA" not in [sent.flags for sent in pair.sent]
    pair.call("b", "send", server, b"later")
    pair.run(SEC)
    assert [sent.flags for sent in pair.sent if sent.host == "a"][-1] == "R", "after the wait it is"


def test_nothing_to_wait_for() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "send", server, b"unread")
    pair.run(SEC)
    pair.call("a", "setsockopt", client, "SO_LINGER", (1, 5))
    assert pair.call("a", "close", client) is None, "unread data: RST at once"
    fd = pair.connect(port=81)
    pair.call("a", "setsockopt", fd, "SO_LINGER", (1, 5))
    assert pair.call("a", "close", fd) is None, "SYN_SENT"


def test_a_program_waits_in_close() -> None:
    world = World(Plan(seed=1))
    world.apps.start("b", "server", apps.echo_server(80))

    def client() -> apps.Program:
        fd = yield from apps.connect(world.hosts["b"].addr, 80)
        yield "setsockopt", fd, "SO_LINGER", (1, 3)
        world.link.add(Drop(Match(), "drop both"))
        yield "close", fd
        return world.loop.now

    task = world.apps.start("a", "client", client())
    while not task.done:
        world.loop.step()
    calls = [event for event in world.events if isinstance(event, Called) and event.app == "client"]
    opened = next(event.t for event in calls if event.op == "setsockopt")
    assert task.result == calls[-1].t == opened + 3 * SEC
