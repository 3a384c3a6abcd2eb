"""Ephemeral ports: in Linux's range, even first, never one that is taken, EADDRNOTAVAIL at the end."""

from __future__ import annotations

import errno

import pytest
from support.pair import B, Pair, X

from tcplab.units import MS, SEC


def local(pair: Pair, fd: int) -> int:
    _, port = pair.call("a", "getsockname", fd)
    return port


def test_connect_takes_even_ports_of_the_range() -> None:
    pair = Pair()
    taken = [local(pair, pair.connect()) for _ in range(50)]
    low, high = pair.a.sysctl.ip_local_port_range
    assert all(low <= port <= high and port % 2 == 0 for port in taken)
    assert len(set(taken)) == 50


def test_the_seed_decides() -> None:
    def chosen(seed: int) -> list[int]:
        pair = Pair(seed=seed)
        return [local(pair, pair.connect()) for _ in range(5)]

    assert chosen(1) == chosen(1) != chosen(2)


def few(pair: Pair, count: int = 4) -> Pair:
    pair.call("a", "sysctl", "ip_local_port_range", f"40000 {40000 + count - 1}")
    return pair


def test_even_ones_first_then_odd_ones_then_none() -> None:
    pair = few(Pair(lose=lambda *_: True))
    taken = [local(pair, pair.connect()) for _ in range(4)]
    assert {port % 2 for port in taken[:2]} == {0}
    assert set(taken) == {40000, 40001, 40002, 40003}
    fd = pair.call("a", "socket")
    assert pair.errno("a", "connect", fd, B, 80) == errno.EADDRNOTAVAIL
    assert pair.errno("a", "connect", fd, B, 81) == errno.EINPROGRESS, "another peer, another four-tuple"


def test_listening_and_bound_ports_are_not_taken() -> None:
    pair = few(Pair())
    pair.listen("a", 40000)
    bound = pair.call("a", "socket")
    pair.call("a", "bind", bound, 0, 40002)
    assert {local(pair, pair.connect()) for _ in range(2)} == {40001, 40003}


def test_bind_to_port_zero() -> None:
    pair = few(Pair())
    fds = [pair.call("a", "socket") for _ in range(5)]
    assert [pair.call("a", "bind", fd, 0, 0) for fd in fds[:4]] == [None] * 4
    assert {local(pair, fd) for fd in fds[:4]} == {40000, 40001, 40002, 40003}
    refused = pair.call("a", "bind", fds[4], 0, 0)
    assert isinstance(refused, OSError)


def test_a_bound_port_in_use_towards_the_same_peer() -> None:
    pair = Pair(lose=lambda *_: True)
    pair.connect(local=4000)
    fd = pair.call("a", "socket")
    pair.call("a", "setsockopt", fd, "SO_REUSEADDR", 1)
    assert pair.call("a", "bind", fd, 0, 4000) is None
    assert pair.errno("a", "connect", fd, B, 80) == errno.EADDRNOTAVAIL
    assert pair.errno("a", "connect", fd, X, 80) == errno.EINPROGRESS


def test_a_failed_connect_gives_its_port_back() -> None:
    pair = Pair()
    fd = pair.connect()
    pair.run(20 * MS)
    assert pair.errno("a", "connect", fd, B, 80) == errno.ECONNREFUSED
    assert pair.call("a", "getsockname", fd) == (0, 0)


@pytest.mark.parametrize(
    ("reuse", "timestamps", "waited", "error"),
    [
        (1, 1, 2 * SEC, errno.EINPROGRESS),
        (1, 1, 500 * MS, errno.EADDRNOTAVAIL),
        (1, 0, 2 * SEC, errno.EADDRNOTAVAIL),
        (0, 1, 2 * SEC, errno.EADDRNOTAVAIL),
        (2, 1, 2 * SEC, errno.EADDRNOTAVAIL),
        (0, 1, 61 * SEC, errno.EINPROGRESS),
    ],
)
def test_a_port_pair_in_time_wait(reuse: int, timestamps: int, waited: int, error: int) -> None:
    pair = few(Pair(), 1)
    pair.set("a", tcp_tw_reuse=reuse, tcp_timestamps=timestamps)
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(10 * MS)
    pair.call("b", "close", server)
    pair.run(10 * MS)
    assert pair.conns("a") == ["TIME_WAIT"]
    pair.run(waited)
    assert pair.errno("a", "connect", pair.call("a", "socket"), B, 80) == error
