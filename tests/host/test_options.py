"""Socket options give and take what Linux 6.18 gives and takes, and TCP obeys them."""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP
from typing import Any

import pytest
from support.pair import Pair, Sent

from tcplab.host.options import OPTIONS
from tcplab.units import MS, SEC

MORE, EOR, PEEK, TRUNC, OOB = 0x8000, 0x80, 2, 0x20, 1

# Measured on Linux 6.18: what getsockopt() gives for a new socket, and after setsockopt() with each value.
LINUX: dict[str, tuple[int, dict[int, int]]] = {
    "SO_REUSEADDR": (0, {0: 0, 1: 1, 7: 1, -1: 1}),
    "SO_REUSEPORT": (0, {0: 0, 1: 1, 7: 1, -1: 1}),
    "SO_KEEPALIVE": (0, {0: 0, 1: 1, -5: 1}),
    "SO_RCVBUF": (131072, {0: 2304, 1: 2304, 2000: 4000, 32767: 65534, 10**7: 8388608, -1: 8388608}),
    "SO_SNDBUF": (16384, {0: 4608, 2000: 4608, 32767: 65534, 10**7: 8388608, -1: 8388608}),
    "SO_TYPE": (1, {}),
    "SO_PROTOCOL": (6, {}),
    "SO_DOMAIN": (2, {}),
    "SO_ACCEPTCONN": (0, {}),
    "SO_ERROR": (0, {}),
    "TCP_NODELAY": (0, {0: 0, 1: 1, -1: 1}),
    "TCP_CORK": (0, {0: 0, 1: 1, 2: 1}),
    "TCP_MAXSEG": (536, {0: 536, 88: 88, 2000: 2000, 32767: 32767}),
    "TCP_KEEPIDLE": (7200, {1: 1, 32767: 32767}),
    "TCP_KEEPINTVL": (75, {1: 1, 32767: 32767}),
    "TCP_KEEPCNT": (9, {1: 1, 127: 127}),
    "TCP_SYNCNT": (6, {1: 1, 127: 127}),
    "TCP_LINGER2": (60, {0: 60, 1: 1, 120: 120, 121: 120, 2**31 - 1: 120, -1: -1, -5: -1}),
    "TCP_DEFER_ACCEPT": (0, {0: 0, 1: 1, 2: 3, 7: 7, 48: 63, 127: 127, 128: 247, 255: 367, 10**7: 29887, -5: 0}),
    "TCP_WINDOW_CLAMP": (0, {0: 0, 1: 1152, 255: 1152, 2000: 2000, 10**7: 10**7, -1: 1152}),
    "TCP_QUICKACK": (1, {0: 0, 1: 1, 2: 1, -5: 1}),
    "TCP_USER_TIMEOUT": (0, {0: 0, 1: 1, 2**31 - 1: 2**31 - 1}),
    "TCP_NOTSENT_LOWAT": (0, {0: 0, 1: 1, 2**31 - 1: 2**31 - 1, -1: -1}),
    "SO_MAX_PACING_RATE": (-1, {0: 0, 1: 1, 2**31 - 1: 2**31 - 1, -2: -2, -1: -1}),
    "TCP_INQ": (0, {0: 0, 1: 1}),
    "TCP_THIN_LINEAR_TIMEOUTS": (0, {0: 0, 1: 1}),
    "SO_ZEROCOPY": (0, {0: 0, 1: 1}),
    "SO_TIMESTAMPING": (0, {0: 0, 2: 2, 0x212: 0x212, 0x40000: 0x40000, 0x7FF7F - 0x10000: 0x7FF7F - 0x10000}),
    "IP_TOS": (0, {0: 0, 3: 0, 4: 4, 16: 16, 255: 252, 256: 0, -1: 252, 2**31 - 1: 252}),
    "IP_MTU_DISCOVER": (1, {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5}),
    "IP_BIND_ADDRESS_NO_PORT": (0, {0: 0, 1: 1, 7: 1, -1: 1}),
    "IP_LOCAL_PORT_RANGE": (0, {0: 0, 40_000: 40_000, (40_000 << 16) + 40_000 - 2**32: -1_673_487_296, -1: -1, 5: 5}),
}  # fmt: skip

REFUSED = {
    "TCP_MAXSEG": (1, 87, 32768, -1), "TCP_KEEPIDLE": (0, 32768, -1), "TCP_KEEPINTVL": (0, 32768),
    "TCP_KEEPCNT": (0, 128), "TCP_SYNCNT": (0, 128), "TCP_USER_TIMEOUT": (-1,), "TCP_INQ": (2, -1),
    "TCP_THIN_LINEAR_TIMEOUTS": (2, -1),
    "SO_ZEROCOPY": (2, -1), "SO_TIMESTAMPING": (0x80, 0x10000, 0x10080, 0x80000, -1),
    "IP_MTU_DISCOVER": (-1, 6, 255), "IP_LOCAL_PORT_RANGE": ((40_000 << 16) + 50_000 - 2**32,),
}  # fmt: skip


ELSEWHERE = {
    "SO_LINGER", "TCP_CONGESTION", "TCP_INFO", "TCP_FASTOPEN", "TCP_FASTOPEN_CONNECT", "TCP_FASTOPEN_KEY",
    "TCP_FASTOPEN_NO_COOKIE", "SO_MEMINFO", "IP_MTU", "TCP_CC_INFO",
}  # fmt: skip
"""Not one number, or only in some states: they have tests of their own."""


def test_all_options_are_measured() -> None:
    assert set(OPTIONS) == {*LINUX, *ELSEWHERE}


@pytest.mark.parametrize("name", LINUX)
def test_what_linux_makes_of_a_number(name: str) -> None:
    pair = Pair()
    default, taken = LINUX[name]
    assert pair.call("a", "getsockopt", pair.call("a", "socket"), name) == default
    for value, read in taken.items():
        fd = pair.call("a", "socket")
        assert pair.call("a", "setsockopt", fd, name, value) is None
        assert pair.call("a", "getsockopt", fd, name) == read, value
    for value in REFUSED.get(name, ()):
        assert pair.errno("a", "setsockopt", pair.call("a", "socket"), name, value) == EINVAL
    if not taken:
        assert pair.errno("a", "setsockopt", pair.call("a", "socket"), name, 1) == ENOPROTOOPT


def test_linger_keeps_its_seconds() -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    read = []
    for value in ((1, 5), (5, 7), (0, 9), (-1, 3)):
        pair.call("a", "setsockopt", fd, "SO_LINGER", value)
        read.append(pair.call("a", "getsockopt", fd, "SO_LINGER"))
    assert read == [(1, 5), (1, 7), (0, 7), (1, 3)]


def test_congestion_control_by_name() -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.call("a", "setsockopt", fd, "TCP_CONGESTION", "reno") is None
    assert pair.call("a", "getsockopt", fd, "TCP_CONGESTION") == "reno"
    assert pair.errno("a", "setsockopt", fd, "TCP_CONGESTION", "nonesuch") == ENOENT
    assert pair.errno("a", "setsockopt", fd, "TCP_CONGESTION", "") == EINVAL
    assert pair.errno("a", "setsockopt", fd, "TCP_NODELAY", "yes") == EINVAL


def test_children_inherit_before_accept() -> None:
    pair = Pair()
    listener = pair.listen()
    for name, value in (("TCP_NODELAY", 1), ("TCP_MAXSEG", 700), ("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 5)):
        pair.call("b", "setsockopt", listener, name, value)
    pair.connect()
    pair.run(20 * MS)
    assert [timer.name for timer in pair.conn("b").timers] == ["keepalive"]
    assert pair.conn("b").timers[0].expires - pair.conn("b").timers[0].armed == 5 * SEC
    server, _ = pair.call("b", "accept", listener)
    assert pair.call("b", "getsockopt", server, "TCP_NODELAY") == 1
    assert pair.call("b", "getsockopt", server, "TCP_MAXSEG") == 688


# --- MSS --------------------------------------------------------------------------------------------------------------


def test_maxseg_before_connect_and_before_listen() -> None:
    pair = Pair()
    listener = pair.listen()
    pair.call("b", "setsockopt", listener, "TCP_MAXSEG", 1000)
    fd = pair.call("a", "socket")
    pair.call("a", "setsockopt", fd, "TCP_MAXSEG", 900)
    pair.call("a", "connect", fd, pair.b.addr, 80)
    pair.run(20 * MS)
    assert [sent.seg.mss for sent in pair.sent[:2]] == [900, 1000]
    assert pair.conn("a").mss == pair.conn("b").mss == 888, "the smaller one, less the timestamps"
    pair.call("a", "setsockopt", fd, "TCP_MAXSEG", 500)
    assert pair.call("a", "getsockopt", fd, "TCP_MAXSEG") == 888, "too late"


# --- holding back and letting go --------------------------------------------------------------------------------------


def data(pair: Pair, host: str = "a") -> list[Sent]:
    return [sent for sent in pair.sent if sent.host == host and (sent.size or "F" in sent.flags)]


def shown(pair: Pair) -> list[tuple[str, int]]:
    return [(sent.flags, sent.size) for sent in data(pair)]


def test_cork_holds_a_part_of_a_segment_until_it_is_out() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "setsockopt", client, "TCP_CORK", 1)
    pair.call("a", "send", client, b"x" * 300)
    pair.call("a", "send", client, b"x" * 1200)
    pair.run(20 * MS)
    assert shown(pair) == [("A", 1448)], "only the whole segment"
    pair.call("a", "setsockopt", client, "TCP_CORK", 0)
    assert shown(pair)[1:] == [("PA", 52)]


def test_cork_holds_no_longer_than_an_rto() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "setsockopt", client, "TCP_CORK", 1)
    at = pair.now
    pair.call("a", "send", client, b"x" * 300)
    pair.run(SEC)
    (sent,) = data(pair)
    assert (sent.flags, sent.size, sent.rtx) == ("PA", 300, False)
    assert round(sent.t * SEC) - at == 210 * MS, "RTO: 200 ms and the RTT"


def test_nodelay_overrides_a_cork_once() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "setsockopt", client, "TCP_CORK", 1)
    pair.call("a", "send", client, b"x" * 300)
    pair.call("a", "setsockopt", client, "TCP_NODELAY", 1)
    assert shown(pair) == [("PA", 300)]
    pair.call("a", "send", client, b"x" * 100)
    assert len(data(pair)) == 1, "the cork is in still"


def test_nodelay_sends_what_nagle_held() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "send", client, b"x" * 100)
    pair.call("a", "send", client, b"x" * 200)
    assert len(data(pair)) == 1
    pair.call("a", "setsockopt", client, "TCP_NODELAY", 1)
    assert shown(pair) == [("PA", 100), ("PA", 200)]


def test_msg_more_holds_until_the_next_send() -> None:
    pair = Pair()
    client, _ = pair.open()
    assert pair.call("a", "send", client, b"x" * 300, MORE) == 300
    pair.run(20 * MS)
    assert shown(pair) == []
    pair.call("a", "send", client, b"y" * 100)
    assert shown(pair) == [("PA", 400)]


@pytest.mark.parametrize(("cork", "flags", "fin"), [(0, MORE, "FA"), (1, 0, "FPA")])
def test_close_lets_go_and_only_msg_more_goes_without_push(cork: int, flags: int, fin: str) -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "setsockopt", client, "TCP_CORK", cork)
    pair.call("a", "send", client, b"x" * 300, flags)
    pair.call("a", "close", client)
    assert [(sorted(flags), size) for flags, size in shown(pair)] == [(sorted(fin), 300)]


def test_no_segment_goes_on_behind_msg_eor() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.call("a", "send", client, b"x" * 300, EOR | MORE)
    pair.call("a", "send", client, b"y" * 100, EOR | MORE)
    pair.call("a", "send", client, b"z" * 100)
    pair.run(20 * MS)
    assert shown(pair) == [("A", 300), ("A", 100), ("PA", 100)], "in the middle of the queue nothing is held back"


def test_no_urgent_data() -> None:
    pair = Pair()
    client, _ = pair.open()
    assert pair.errno("a", "send", client, b"!", OOB) == EOPNOTSUPP


def test_notsent_lowat_limits_what_is_taken() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.lose = lambda *_: True
    pair.call("a", "setsockopt", client, "TCP_NOTSENT_LOWAT", 4000)
    pair.call("a", "setsockopt", client, "SO_SNDBUF", 100_000)
    taken = 0
    while isinstance(count := pair.call("a", "send", client, b"x" * 100_000), int):
        taken += count
    assert isinstance(count, BlockingIOError)
    assert taken == 10 * 1448 + 22 * 1448, "cwnd, and one sk_buff: half of the window in whole segments"
    pair.call("a", "setsockopt", client, "TCP_NOTSENT_LOWAT", 0)
    assert pair.call("a", "send", client, b"x") == 1


# --- reading ----------------------------------------------------------------------------------------------------------


def test_peek_leaves_and_trunc_throws_away() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"hello world")
    pair.run(10 * MS)
    assert pair.call("b", "recv", server, 5, PEEK) == b"hello"
    assert pair.call("b", "recv", server, 5, PEEK) == b"hello"
    assert len(pair.call("b", "recv", server, 6, TRUNC)) == 6
    assert pair.call("b", "recv", server, 99) == b"world"
    assert pair.errno("b", "recv", server, 1, PEEK) == EAGAIN


def test_inq_and_the_ioctls() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "setsockopt", server, "TCP_INQ", 1)
    pair.call("a", "send", client, b"hello world")
    pair.call("a", "send", client, b"more")
    assert pair.call("a", "ioctl", client, "SIOCOUTQ") == 15
    assert pair.call("a", "ioctl", client, "SIOCOUTQNSD") == 4
    pair.call("a", "shutdown", client, "wr")
    pair.run(SEC)
    assert pair.call("a", "ioctl", client, "SIOCOUTQ") == 0
    assert pair.call("b", "ioctl", server, "SIOCINQ") == 15
    assert pair.call("b", "recvmsg", server, 5) == (b"hello", {"TCP_INQ": 10})
    assert pair.call("b", "recvmsg", server, 99)[1] == {"TCP_INQ": 1}, "the end is there to be read"
    assert pair.errno("b", "ioctl", pair.listener().fd, "SIOCINQ") == EINVAL


# --- the receiver -----------------------------------------------------------------------------------------------------


def test_window_clamp() -> None:
    pair = Pair()
    listener = pair.listen()
    pair.call("b", "setsockopt", listener, "TCP_WINDOW_CLAMP", 20_000)
    client = pair.connect()
    pair.run(20 * MS)
    server, _ = pair.call("b", "accept", listener)
    assert pair.sent[1].seg.window == 20_000 // 1448 * 1448
    assert pair.call("b", "getsockopt", server, "TCP_WINDOW_CLAMP") == 20_000
    pair.call("a", "send", client, b"x" * 536)
    pair.run(50 * MS)
    assert pair.call("b", "getsockopt", server, "TCP_WINDOW_CLAMP") == 20_000
    pair.call("a", "send", client, b"x" * 537)  # larger than any before: from here on the buffer counts
    pair.run(50 * MS)
    assert pair.call("b", "getsockopt", server, "TCP_WINDOW_CLAMP") > 20_000
    pair.call("b", "setsockopt", server, "TCP_WINDOW_CLAMP", 10_000)
    info = pair.call("b", "getsockopt", server, "TCP_INFO")
    assert pair.call("b", "getsockopt", server, "TCP_WINDOW_CLAMP") == info["tcpi_rcv_ssthresh"] == 10_000
    assert pair.errno("b", "setsockopt", server, "TCP_WINDOW_CLAMP", 0) == EINVAL


def acks(pair: Pair) -> list[float]:
    return pair.times("b", "A")


def test_quickack_zero_delays_and_one_sends_what_is_owed() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "setsockopt", server, "TCP_QUICKACK", 0)
    assert pair.call("b", "getsockopt", server, "TCP_QUICKACK") == 0
    pair.call("a", "send", client, b"x" * 100)
    pair.run(15 * MS)
    assert acks(pair) == []
    pair.call("b", "recv", server, 100)
    assert acks(pair) == [], "ping-pong: the ACK waits for an answer to ride on"
    pair.call("b", "setsockopt", server, "TCP_QUICKACK", 1)
    assert len(acks(pair)) == 1
    assert pair.call("b", "getsockopt", server, "TCP_QUICKACK") == 1


@pytest.mark.parametrize(("name", "value"), [("TCP_QUICKACK", 0), ("TCP_DEFER_ACCEPT", 3)])
def test_the_third_step_may_wait_for_data(name: str, value: int) -> None:
    """tcp_rcv_synsent_state_process: at most 200 ms."""
    pair = Pair()
    pair.listen()
    fd = pair.call("a", "socket")
    pair.call("a", "setsockopt", fd, name, value)
    pair.call("a", "connect", fd, pair.b.addr, 80)
    pair.run(SEC)
    assert pair.times("a", "A") == [0.21]


def test_the_third_step_rides_on_data() -> None:
    pair = Pair()
    pair.listen()
    fd = pair.call("a", "socket")
    pair.call("a", "setsockopt", fd, "TCP_QUICKACK", 0)
    pair.call("a", "connect", fd, pair.b.addr, 80)
    pair.run(50 * MS)
    pair.call("a", "send", fd, b"hello")
    assert pair.flow() == ["a S", "b SA", "a PA 5"]


def test_keepalive_clock_starts_when_it_is_set() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.run(3 * SEC)
    pair.call("a", "setsockopt", client, "SO_KEEPALIVE", 1)
    pair.call("a", "setsockopt", client, "TCP_KEEPIDLE", 5)
    (timer,) = pair.conn("a").timers
    last: Any = pair.times("b", "SA")[0]
    assert timer.expires == round(last * SEC) + pair.delay + 5 * SEC, "counted from the last segment that came"
