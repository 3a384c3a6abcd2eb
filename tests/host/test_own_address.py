"""Connections of a host to its own address: nothing goes on the wire, and both ends are there (LINUX.md 16)."""

from __future__ import annotations

from errno import EALREADY, ECONNREFUSED, EINPROGRESS, EISCONN
from typing import Any

from support.pair import A, Pair

from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.world import World
from tcplab.units import MS, SEC


def local_pair(pair: Pair) -> tuple[Any, Any]:
    listener = pair.listen("a")
    client = pair.call("a", "socket")
    assert pair.errno("a", "connect", client, A, 80) == EINPROGRESS
    assert pair.call("a", "connect", client, A, 80) is None
    server, peer = pair.call("a", "accept", listener)
    assert peer == pair.call("a", "getsockname", client)
    return client, server


def test_a_listener_of_its_own() -> None:
    pair = Pair()
    client, server = local_pair(pair)
    assert pair.now == 0
    pair.call("a", "send", client, b"hello")
    assert pair.call("a", "recv", server, 99) == b"hello"
    pair.call("a", "send", server, b"x" * 100_000)
    got = 0
    while isinstance(data := pair.call("a", "recv", client, 99_999), bytes):
        got += len(data)
        pair.run(SEC)
    assert got == 100_000, "segments are great here, and so is the send buffer"
    assert pair.frames == []
    assert sorted(pair.conns("a")) == ["ESTABLISHED"] * 2


def test_segments_are_as_great_as_ip_allows() -> None:
    pair = Pair()
    client, server = local_pair(pair)
    notes = pair.notes("a")
    assert notes[:3] == ["loops S", "loops SA", "loops A"]
    a, b = (pair.call("a", "getsockopt", fd, "TCP_INFO") for fd in (client, server))
    names = ("tcpi_snd_mss", "tcpi_advmss", "tcpi_pmtu", "tcpi_rcv_ssthresh", "tcpi_snd_wnd")
    assert [a[name] for name in names] == [32741, 65483, 65535, 65495, 65483], "as Linux: half of the window"
    assert [b[name] for name in names] == [32768, 65483, 65535, 65483, 65536]


def test_both_ends_close() -> None:
    pair = Pair()
    client, server = local_pair(pair)
    pair.call("a", "close", client)
    assert pair.call("a", "recv", server, 1) == b""
    pair.call("a", "close", server)
    pair.run(SEC)
    assert pair.conns("a") == ["TIME_WAIT"]
    pair.run(60 * SEC)
    assert pair.conns("a") == []


def test_nobody_listens() -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.errno("a", "connect", fd, A, 81) == EINPROGRESS
    assert pair.errno("a", "connect", fd, A, 81) == ECONNREFUSED
    assert pair.notes("a") == ["loops S", "loops RA"]


def test_self_connect() -> None:
    """One port in the range: connect() to it reaches itself."""
    pair = Pair()
    pair.call("a", "sysctl", "ip_local_port_range", "40007 40007")
    fd = pair.call("a", "socket")
    assert pair.errno("a", "connect", fd, A, 40007) == EINPROGRESS
    assert pair.call("a", "connect", fd, A, 40007) is None
    assert pair.errno("a", "connect", fd, A, 40007) == EISCONN != EALREADY
    assert pair.notes("a") == ["loops S", "loops SA", "loops A"]
    assert pair.states("a") == ["SYN_SENT", "SYN_RECV", "ESTABLISHED"]
    assert pair.call("a", "getsockname", fd) == pair.call("a", "getpeername", fd) == (A, 40007)
    pair.call("a", "send", fd, b"echo")
    assert pair.call("a", "recv", fd, 99) == b"echo"
    assert [pair.counter("a", name) for name in ("TcpActiveOpens", "TcpPassiveOpens")] == [1, 0]
    pair.call("a", "close", fd)
    pair.run(100 * MS)
    assert pair.conns("a") == ["TIME_WAIT"], "one for both ends"


def test_programs_of_one_host() -> None:
    world = World(Plan(seed=1))
    world.apps.start("a", "server", apps.echo_server(80))

    def client() -> apps.Program:
        fd = yield from apps.connect(A, 80)
        yield from apps.send_all(fd, b"hello" * 1000)
        answer = yield from apps.recv_until_eof(fd, 5000)
        yield "close", fd
        return answer

    task = world.apps.start("a", "client", client())
    while not task.done and world.loop.step():
        pass
    assert task.result == b"hello" * 1000
    assert world.frames == 0
