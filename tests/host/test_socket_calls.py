"""Socket calls give the errno that Linux gives, on each kind of socket."""

from __future__ import annotations

from errno import (
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAGAIN,
    EALREADY,
    EBADF,
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENOPROTOOPT,
    ENOSYS,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
)
from typing import Any

import pytest
from support.pair import A, B, Pair, X

from tcplab.units import MS, SEC
from tcplab.wire import tcp as wire_tcp

CALLS: dict[str, tuple[Any, ...]] = {
    "bind": (0, 81), "listen": (1,), "accept": (), "connect": (B, 80), "send": (b"x",), "recv": (1,),
    "shutdown": ("wr",), "setsockopt": ("SO_REUSEADDR", 1), "getsockopt": ("SO_ERROR",), "getsockname": (),
    "getpeername": (), "conn": (), "abort": (), "close": (),
}  # fmt: skip


@pytest.mark.parametrize("op", CALLS)
def test_no_such_descriptor(op: str) -> None:
    pair = Pair()
    assert pair.errno("a", op, 3, *CALLS[op]) == EBADF
    fd = pair.call("a", "socket")
    pair.call("a", "close", fd)
    assert pair.errno("a", op, fd, *CALLS[op]) == EBADF


def test_no_such_call() -> None:
    assert Pair().errno("a", "fork", 3) == ENOSYS


def test_descriptors_begin_at_three_and_are_not_used_twice() -> None:
    pair = Pair()
    assert [pair.call("a", "socket") for _ in range(3)] == [3, 4, 5]
    pair.call("a", "close", 4)
    assert pair.call("a", "socket") == 6, "a new name keeps a trace readable"


# --- by the kind of socket --------------------------------------------------------------------------------------------

FRESH = {"accept": EINVAL, "send": EPIPE, "recv": ENOTCONN, "shutdown": ENOTCONN, "getpeername": ENOTCONN}
LISTENING = {"bind": EINVAL, "connect": EISCONN, "accept": EAGAIN, "send": EPIPE, "recv": ENOTCONN,
             "getpeername": ENOTCONN}  # fmt: skip
CALLING = {"bind": EINVAL, "listen": EINVAL, "accept": EINVAL, "connect": EALREADY, "send": EAGAIN, "recv": EAGAIN,
           "getpeername": ENOTCONN}  # fmt: skip
CONNECTED = {"bind": EINVAL, "listen": EINVAL, "accept": EINVAL, "connect": EISCONN, "recv": EAGAIN}


def fresh(pair: Pair) -> int:
    fd = pair.call("a", "socket")
    assert isinstance(fd, int)
    return fd


def calling(pair: Pair) -> int:
    pair.lose = lambda *_: True
    return pair.connect()


def connected(pair: Pair) -> int:
    client, _ = pair.open()
    assert pair.call("a", "connect", client, B, 80) is None, "the outcome is told once"
    return client


@pytest.mark.parametrize(
    ("make", "op", "error"),
    [
        (make, op, error)
        for make, table in (
            (fresh, FRESH),
            (lambda pair: pair.listen("a"), LISTENING),
            (calling, CALLING),
            (connected, CONNECTED),
        )
        for op, error in table.items()
    ],
)
def test_calls_that_make_no_sense(make: Any, op: str, error: int) -> None:
    pair = Pair()
    fd = make(pair)
    assert pair.errno("a", op, fd, *CALLS[op]) == error
    blocking = error in (EAGAIN, EALREADY, EINPROGRESS)
    assert isinstance(pair.call("a", op, fd, *CALLS[op]), BlockingIOError) == blocking


def test_shutdown_takes_three_words() -> None:
    pair = Pair()
    client, _ = pair.open()
    assert pair.errno("a", "shutdown", client, "both") == EINVAL
    for how in ("rd", "wr", "rdwr"):
        assert pair.call("a", "shutdown", client, how) is None


# --- connect ----------------------------------------------------------------------------------------------------------


def test_connect_from_the_first_call_to_the_last() -> None:
    pair = Pair()
    pair.listen()
    fd = pair.call("a", "socket")
    told = [pair.errno("a", "connect", fd, B, 80), pair.errno("a", "connect", fd, B, 80)]
    pair.run(20 * MS)
    assert told == [EINPROGRESS, EALREADY]
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == 0
    assert pair.call("a", "connect", fd, B, 80) is None
    assert pair.errno("a", "connect", fd, B, 80) == EISCONN


def test_a_refused_connect_is_told_once_by_connect_or_by_so_error() -> None:
    pair = Pair()
    first, second = pair.connect(), pair.connect()
    pair.run(20 * MS)
    assert pair.errno("a", "connect", first, B, 80) == ECONNREFUSED
    assert pair.errno("a", "connect", first, B, 80) == EINPROGRESS, "the socket can try again"
    assert pair.call("a", "getsockopt", second, "SO_ERROR") == ECONNREFUSED
    assert pair.call("a", "getsockopt", second, "SO_ERROR") == 0
    assert pair.errno("a", "connect", second, B, 80) == ECONNABORTED


def test_send_and_recv_tell_a_refused_connect_too() -> None:
    pair = Pair()
    first, second = pair.connect(), pair.connect()
    pair.run(20 * MS)
    assert pair.errno("a", "recv", first, 1) == ECONNREFUSED
    assert pair.call("a", "recv", first, 1) == b""
    assert pair.errno("a", "send", second, b"x") == ECONNREFUSED
    assert pair.errno("a", "send", second, b"x") == EPIPE


def test_connect_times_out() -> None:
    pair = Pair()
    fd = calling(pair)
    pair.run(200 * SEC)
    assert pair.errno("a", "connect", fd, B, 80) == ETIMEDOUT


# --- names ------------------------------------------------------------------------------------------------------------


def test_bind() -> None:
    pair = Pair()
    first, second = fresh(pair), fresh(pair)
    assert pair.call("a", "getsockname", first) == (0, 0)
    assert pair.errno("a", "bind", first, X, 80) == EADDRNOTAVAIL
    assert pair.call("a", "bind", first, A, 80) is None
    assert pair.errno("a", "bind", first, 0, 81) == EINVAL
    assert pair.errno("a", "bind", second, 0, 80) == EADDRINUSE
    assert pair.call("a", "getsockname", first) == (A, 80)
    pair.call("a", "close", first)
    assert pair.call("a", "bind", second, 0, 80) is None


def test_two_may_bind_but_only_one_may_listen() -> None:
    pair = Pair()
    first, second, third = fresh(pair), fresh(pair), fresh(pair)
    for fd in (first, second):
        pair.call("a", "setsockopt", fd, "SO_REUSEADDR", 1)
        assert pair.call("a", "bind", fd, 0, 80) is None
    assert pair.errno("a", "bind", third, 0, 80) == EADDRINUSE, "the third did not set SO_REUSEADDR"
    assert pair.call("a", "listen", first, 1) is None
    assert pair.errno("a", "listen", second, 1) == EADDRINUSE
    pair.call("a", "setsockopt", third, "SO_REUSEADDR", 1)
    assert pair.errno("a", "bind", third, 0, 80) == EADDRINUSE, "somebody listens"


def test_a_server_that_starts_again_needs_so_reuseaddr() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "close", server)
    pair.run(SEC)
    pair.call("a", "close", client)
    pair.run(SEC)
    assert pair.conns("b") == ["TIME_WAIT"]
    listener = pair.listener().fd
    pair.call("b", "close", listener)
    fd = pair.call("b", "socket")
    refused = pair.call("b", "bind", fd, 0, 80)
    assert isinstance(refused, OSError)
    assert refused.errno == EADDRINUSE
    assert "TIME_WAIT" in str(refused)
    pair.call("b", "setsockopt", fd, "SO_REUSEADDR", 1)
    assert pair.call("b", "bind", fd, 0, 80) is None
    assert pair.call("b", "listen", fd, 1) is None


def test_names_of_both_sides() -> None:
    pair = Pair()
    listener = pair.listen()
    client = pair.connect()
    pair.run(20 * MS)
    server, peer = pair.call("b", "accept", listener)
    _, port = pair.call("a", "getsockname", client)
    assert pair.call("a", "getsockname", client) == pair.call("b", "getpeername", server) == peer == (A, port)
    assert pair.call("b", "getsockname", server) == pair.call("a", "getpeername", client) == (B, 80)
    assert pair.call("a", "conn", client) == f"10.77.0.1:{port}>10.77.0.2:80"
    assert pair.call("b", "conn", server) == f"10.77.0.2:80>10.77.0.1:{port}"
    assert pair.call("b", "conn", listener) == ""


def test_listen_takes_a_port_of_its_own_when_none_was_bound_and_a_new_backlog_later() -> None:
    pair = Pair()
    fd = fresh(pair)
    assert pair.call("a", "listen", fd, 3) is None
    address, port = pair.call("a", "getsockname", fd)
    assert address == A
    assert 32768 <= port <= 60999
    assert pair.listener("a").max_ack_backlog == 3
    assert pair.call("a", "listen", fd, 9) is None
    assert pair.listener("a").max_ack_backlog == 9


# --- data -------------------------------------------------------------------------------------------------------------


def test_send_until_the_buffer_is_full() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "setsockopt", client, "SO_SNDBUF", 4000)
    pair.lose = lambda *_: True
    assert pair.call("a", "send", client, b"x" * 10_000) == 10_000, "one sk_buff may be larger than the buffer"
    assert pair.errno("a", "send", client, b"x") == EAGAIN


def test_recv_gives_data_then_the_end() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"hello")
    pair.call("a", "shutdown", client, "wr")
    assert pair.errno("a", "send", client, b"more") == EPIPE
    pair.run(20 * MS)
    assert [pair.call("b", "recv", server, most) for most in (2, 100, 100, 100)] == [b"he", b"llo", b"", b""]
    assert pair.call("b", "send", server, b"the other way is open") == 21


def test_a_reset_is_told_once_then_recv_gives_the_end_and_send_epipe() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "send", server, b"last words")
    pair.call("b", "abort", server)
    pair.run(20 * MS)
    assert pair.call("a", "recv", client, 4) == b"last"
    assert pair.call("a", "recv", client, 100) == b" words", "what arrived before can be read"
    assert pair.errno("a", "recv", client, 100) == ECONNRESET
    assert pair.call("a", "recv", client, 100) == b""
    assert pair.errno("a", "send", client, b"x") == EPIPE
    assert pair.errno("a", "shutdown", client, "wr") == ENOTCONN
    assert pair.errno("a", "getpeername", client) == ENOTCONN


def test_a_reset_after_the_peers_fin_is_epipe() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "shutdown", server, "wr")
    pair.run(SEC)
    view = pair.conn("a")
    assert view.state == "CLOSE_WAIT"
    local, peer = (int(end.split(":")[1]) for end in (view.local, view.peer))
    pair.inject("a", wire_tcp.build(B, A, peer, local, view.rcv_nxt, 0, wire_tcp.RST, 0), B)
    assert pair.call("a", "getsockopt", client, "SO_ERROR") == EPIPE


def test_shutdown_rd_gives_the_end_at_once() -> None:
    pair = Pair()
    client, _ = pair.open()
    assert pair.errno("a", "recv", client, 1) == EAGAIN
    pair.call("a", "shutdown", client, "rd")
    assert pair.call("a", "recv", client, 1) == b""


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "default", "value", "read"),
    [
        ("SO_REUSEADDR", 0, 1, 1),
        ("SO_REUSEADDR", 0, 7, 1),
        ("SO_KEEPALIVE", 0, 1, 1),
        ("SO_RCVBUF", 131072, 10_000, 20_000),
        ("SO_RCVBUF", 131072, 1, 2304),
        ("SO_SNDBUF", 16384, 10_000, 20_000),
        ("SO_SNDBUF", 16384, 1, 4608),
        ("TCP_NODELAY", 0, 1, 1),
        ("TCP_KEEPIDLE", 7200, 10, 10),
        ("TCP_KEEPINTVL", 75, 10, 10),
        ("TCP_KEEPCNT", 9, 3, 3),
        ("TCP_SYNCNT", 6, 2, 2),
        ("TCP_USER_TIMEOUT", 0, 30_000, 30_000),
    ],
)
def test_options(name: str, default: int, value: int, read: int) -> None:
    pair = Pair()
    fd = fresh(pair)
    assert pair.call("a", "getsockopt", fd, name) == default
    assert pair.call("a", "setsockopt", fd, name, value) is None
    assert pair.call("a", "getsockopt", fd, name) == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TCP_KEEPIDLE", 0), ("TCP_KEEPIDLE", 32768), ("TCP_KEEPINTVL", 0), ("TCP_KEEPINTVL", 32768),
        ("TCP_KEEPCNT", 0), ("TCP_KEEPCNT", 128), ("TCP_SYNCNT", 0), ("TCP_SYNCNT", 128), ("TCP_USER_TIMEOUT", -1),
        ("SO_LINGER", 1), ("SO_LINGER", (1,)), ("TCP_NODELAY", (1, 0)),
    ],
)  # fmt: skip
def test_options_out_of_range(name: str, value: Any) -> None:
    pair = Pair()
    assert pair.errno("a", "setsockopt", fresh(pair), name, value) == EINVAL


def test_options_that_are_not_there() -> None:
    pair = Pair()
    fd = fresh(pair)
    for name in ("SO_BROADCAST", "so_reuseaddr", ""):
        assert pair.errno("a", "setsockopt", fd, name, 1) == ENOPROTOOPT
        assert pair.errno("a", "getsockopt", fd, name) == ENOPROTOOPT
    for name in ("SO_ERROR", "SO_ACCEPTCONN"):
        assert pair.errno("a", "setsockopt", fd, name, 1) == ENOPROTOOPT, f"{name} can only be read"


def test_options_of_a_listener_and_its_children() -> None:
    pair = Pair()
    listener = pair.listen()
    assert pair.call("b", "getsockopt", listener, "SO_ACCEPTCONN") == 1
    client = pair.connect()
    pair.run(20 * MS)
    server, _ = pair.call("b", "accept", listener)
    assert pair.call("b", "getsockopt", server, "SO_ACCEPTCONN") == 0
    assert pair.call("b", "getsockopt", server, "SO_REUSEADDR") == 1
    assert pair.call("a", "getsockopt", client, "TCP_MAXSEG") == 1448, "what the timestamps leave of 1460"


@pytest.mark.parametrize("linger", [(1, 0), (0, 0)])
def test_so_linger(linger: tuple[int, int]) -> None:
    pair = Pair()
    client, _ = pair.open()
    assert pair.call("a", "setsockopt", client, "SO_LINGER", linger) is None
    pair.call("a", "close", client)
    assert pair.flow()[-1] == ("a RA" if linger[0] else "a FA")
