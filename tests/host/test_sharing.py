"""SO_REUSEADDR and SO_REUSEPORT, ports that the host picks, and sockets that are used again: as Linux 6.18 did it."""

from __future__ import annotations

from collections import Counter
from errno import EADDRINUSE, EADDRNOTAVAIL, ECONNREFUSED, ECONNRESET, EINPROGRESS, EINVAL, ENOTCONN, EPIPE
from typing import Any

import pytest
from support.pair import B, Pair

from tcplab.units import MS, SEC


def sock(pair: Pair, reuse: int = 0, reuseport: int = 0, host: str = "a") -> Any:
    fd = pair.call(host, "socket")
    pair.call(host, "setsockopt", fd, "SO_REUSEADDR", reuse)
    pair.call(host, "setsockopt", fd, "SO_REUSEPORT", reuseport)
    return fd


def outcome(pair: Pair, op: str, *args: object, host: str = "a") -> int:
    """errno, or 0."""
    result = pair.call(host, op, *args)
    return (result.errno or 0) if isinstance(result, OSError) else 0


PLAIN, ADDR, PORT, BOTH = (0, 0), (1, 0), (0, 1), (1, 1)


@pytest.mark.parametrize(
    ("first", "second", "bound", "both_listen", "second_listens"),
    [
        (PLAIN, PLAIN, EADDRINUSE, 0, 0),
        (ADDR, PLAIN, EADDRINUSE, 0, 0),
        (ADDR, ADDR, 0, EADDRINUSE, 0),
        (PORT, PLAIN, EADDRINUSE, 0, 0),
        (PORT, ADDR, EADDRINUSE, 0, 0),
        (PORT, PORT, 0, 0, 0),
        (BOTH, PORT, 0, 0, 0),
        (BOTH, ADDR, 0, EADDRINUSE, 0),
    ],
)
def test_two_sockets_on_a_port(
    first: tuple[int, int], second: tuple[int, int], bound: int, both_listen: int, second_listens: int
) -> None:
    pair = Pair()
    one, two = sock(pair, *first), sock(pair, *second)
    assert outcome(pair, "bind", one, 0, 80) == 0
    assert outcome(pair, "bind", two, 0, 80) == bound
    if not bound:
        assert outcome(pair, "listen", two, 1) == second_listens
        assert outcome(pair, "listen", one, 1) == both_listen


def test_a_hash_spreads_connections_over_the_listeners() -> None:
    pair = Pair()
    listeners = [sock(pair, 0, 1, "b") for _ in range(4)]
    for fd in listeners:
        assert outcome(pair, "bind", fd, 0, 80, host="b") == 0
        assert outcome(pair, "listen", fd, 100, host="b") == 0
    for _ in range(100):
        pair.connect()
    pair.run(SEC)
    shares = Counter({view.fd: view.accept_len for view in pair.b.view(pair.now).listeners})
    assert sum(shares.values()) == 100
    assert min(shares.values()) > 10
    accepted, _ = pair.call("b", "accept", listeners[0])
    assert pair.call("b", "getsockopt", accepted, "SO_REUSEPORT") == 1
    pair.call("b", "close", listeners[0])
    assert outcome(pair, "accept", listeners[1], host="b") == 0, "the others are not touched"
    fd = pair.connect()
    pair.run(SEC)
    assert pair.call("a", "connect", fd, B, 80) is None


def few(pair: Pair, count: int) -> Pair:
    pair.call("a", "sysctl", "ip_local_port_range", f"40000 {40000 + count - 1}")
    return pair


def test_bind_takes_odd_ports_first_until_none_is_left() -> None:
    pair = few(Pair(), 10)
    fds = [sock(pair) for _ in range(11)]
    errors = [outcome(pair, "bind", fd, 0, 0) for fd in fds]
    taken = [pair.call("a", "getsockname", fd)[1] for fd in fds]
    assert errors == [0] * 10 + [EADDRINUSE]
    assert [port % 2 for port in taken[:10]] == [1] * 5 + [0] * 5
    assert outcome(pair, "listen", fds[10], 1) == EADDRINUSE
    assert outcome(pair, "connect", fds[10], B, 80) == EADDRNOTAVAIL


def test_bind_with_so_reuseaddr_takes_the_lower_half_first() -> None:
    pair = few(Pair(), 10)
    fds = [sock(pair, 1) for _ in range(11)]
    errors = [outcome(pair, "bind", fd, 0, 0) for fd in fds]
    taken = [pair.call("a", "getsockname", fd)[1] for fd in fds]
    assert errors[-1] == EADDRINUSE
    assert [port < 40004 for port in taken[:10]] == [True] * 4 + [False] * 6


def test_an_odd_number_of_ports_loses_its_last() -> None:
    pair = few(Pair(lose=lambda *_: True), 3)
    assert [outcome(pair, "bind", sock(pair), 0, 0) for _ in range(3)] == [0, 0, EADDRINUSE]
    pair = few(Pair(lose=lambda *_: True), 3)
    assert [outcome(pair, "connect", sock(pair), B, 80) for _ in range(3)] == [EINPROGRESS, EINPROGRESS, EADDRNOTAVAIL]


def time_wait(pair: Pair, client: int, server: int) -> None:
    """The client's side ends in TIME_WAIT."""
    pair.call("a", "close", client)
    pair.run(10 * MS)
    pair.call("b", "close", server)
    pair.run(10 * MS)
    assert pair.conns("a") == ["TIME_WAIT"]


@pytest.mark.parametrize(
    ("old", "new", "timestamps", "bound", "connected"),
    [
        (1, 1, 1, 0, EINPROGRESS),
        (1, 1, 0, 0, EADDRNOTAVAIL),
        (0, 1, 1, EADDRINUSE, 0),
        (1, 0, 1, EADDRINUSE, 0),
    ],
)
def test_the_same_port_again_while_it_is_in_time_wait(
    old: int, new: int, timestamps: int, bound: int, connected: int
) -> None:
    """An explicit bind() does not even need tcp_tw_reuse (LINUX.md section 9)."""
    pair = Pair()
    pair.set("a", tcp_timestamps=timestamps)
    listener = pair.listen()
    client = sock(pair, old)
    pair.call("a", "bind", client, 0, 4000)
    pair.call("a", "connect", client, B, 80)
    pair.run(20 * MS)
    server, _ = pair.call("b", "accept", listener)
    time_wait(pair, client, server)
    pair.run(200 * MS)
    fd = sock(pair, new)
    assert outcome(pair, "bind", fd, 0, 4000) == bound
    if not bound:
        assert outcome(pair, "connect", fd, B, 80) == connected
        assert pair.counter("a", "TcpExtTWRecycled") == timestamps


# --- sockets that are used again --------------------------------------------------------------------------------------


def test_shutdown_of_a_listener() -> None:
    pair = Pair()
    listener = pair.listen()
    waiting, client = pair.connect(), pair.connect()
    pair.run(20 * MS)
    pair.call("b", "accept", listener)
    woken: list[int] = []
    pair.b.wait(listener, False, lambda: woken.append(1))
    assert pair.call("b", "shutdown", listener, "wr") is None
    assert (pair.call("b", "getsockopt", listener, "SO_ACCEPTCONN"), woken) == (1, []), "wr does nothing"
    assert pair.call("b", "shutdown", listener, "rd") is None
    assert (pair.call("b", "getsockopt", listener, "SO_ACCEPTCONN"), woken) == (0, [1])
    assert pair.errno("b", "accept", listener) == EINVAL
    assert pair.errno("b", "shutdown", listener, "rdwr") == ENOTCONN
    pair.run(20 * MS)
    assert pair.call("a", "getsockopt", client, "SO_ERROR") == ECONNRESET, "nobody had accepted it"
    assert pair.call("a", "getsockopt", waiting, "SO_ERROR") == 0
    fd = pair.connect()
    pair.run(20 * MS)
    assert pair.errno("a", "connect", fd, B, 80) == ECONNREFUSED
    assert pair.call("b", "listen", listener, 3) is None, "the port is still its own"
    fd = pair.connect()
    pair.run(20 * MS)
    assert pair.call("a", "connect", fd, B, 80) is None


def test_listening_again_is_a_bind_again() -> None:
    pair = Pair()
    listener = sock(pair, host="b")
    pair.call("b", "bind", listener, 0, 80)
    pair.call("b", "listen", listener, 1)
    pair.connect()
    pair.run(20 * MS)
    pair.call("b", "accept", listener)
    pair.call("b", "shutdown", listener, "rd")
    assert pair.errno("b", "listen", listener, 1) == EADDRINUSE, "a child has the port, without SO_REUSEADDR"


def test_a_failed_connect_frees_its_port() -> None:
    pair = Pair()
    fd = pair.connect()
    port = pair.call("a", "getsockname", fd)[1]
    other = sock(pair)
    assert pair.errno("a", "bind", fd, 0, 81) == EINVAL
    assert pair.errno("a", "bind", other, 0, port) == EADDRINUSE
    pair.run(20 * MS)
    assert pair.call("a", "bind", other, 0, port) is None, "a RST came: nobody has the port"
    assert pair.call("a", "bind", fd, 0, 81) is None
    assert pair.errno("a", "listen", fd, 1) == EINVAL, "the outcome was not told"
    assert pair.errno("a", "connect", fd, B, 80) == ECONNREFUSED
    assert pair.call("a", "listen", fd, 1) is None


def test_shutdown_ends_an_attempt_to_connect() -> None:
    pair = Pair(lose=lambda *_: True)
    fd = pair.connect()
    assert pair.call("a", "shutdown", fd, "wr") is None
    assert pair.conns("a") == []
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == ECONNRESET
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == 0
    assert pair.errno("a", "send", fd, b"x") == EPIPE
    assert pair.errno("a", "connect", fd, B, 80) == EINPROGRESS
    pair.call("a", "shutdown", fd, "rd")
    assert pair.errno("a", "recv", fd, 1) == ECONNRESET
    assert pair.errno("a", "recv", fd, 1) == ENOTCONN
    assert pair.errno("a", "connect", fd, B, 80) == EINPROGRESS
    pair.call("a", "shutdown", fd, "rdwr")
    assert [pair.errno("a", "send", fd, b"x") for _ in range(2)] == [ECONNRESET, EPIPE]
