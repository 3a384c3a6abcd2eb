"""TCP Fast Open: cookies, data in the SYN, connections before their third step. LINUX section 7."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from support.pair import A, B, Pair, X

from tcplab.tcp import fastopen
from tcplab.tcp.fastopen import MSG_FASTOPEN
from tcplab.units import MS, SEC
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment

KEY = "00112233-44556677-8899aabb-ccddeeff"
OTHER_KEY = "ffeeddcc-bbaa9988-77665544-33221100"


def pair_of(
    client: int = 1, server: int = 3, qlen: int = 5, **more: Callable[[str, Segment], bool]
) -> tuple[Pair, int]:
    """Two hosts and a listener on b; the sysctl tcp_fastopen of each."""
    pair = Pair(**more)  # type: ignore[arg-type]
    pair.set("a", tcp_fastopen=client)
    pair.set("b", tcp_fastopen=server)
    listener = pair.listen()
    assert pair.call("b", "setsockopt", listener, "TCP_FASTOPEN", qlen) is None
    return pair, listener


def sendto(pair: Pair, data: bytes = b"GET", fd: int | None = None) -> tuple[int, object]:
    """A socket of a, and what its sendto gave."""
    if fd is None:
        fd = pair.call("a", "socket")  # type: ignore[assignment]
    assert isinstance(fd, int)
    return fd, pair.call("a", "sendto", fd, data, MSG_FASTOPEN, B, 80)


def taught(**more: object) -> tuple[Pair, int]:
    """The same, and a has b's cookie already; what was sent for it is forgotten."""
    pair, listener = pair_of(**more)  # type: ignore[arg-type]
    fd, result = sendto(pair)
    assert isinstance(result, BlockingIOError)
    pair.run(50 * MS)
    pair.call("a", "abort", fd)
    pair.run(50 * MS)
    accepted = pair.call("b", "accept", listener)
    assert isinstance(accepted, tuple)
    pair.call("b", "close", accepted[0])
    forget(pair)
    return pair, listener


def forget(pair: Pair) -> None:
    pair.sent.clear()
    pair.events.clear()
    pair.a.counters.clear()
    pair.b.counters.clear()


def accepted(pair: Pair, listener: int) -> int:
    result = pair.call("b", "accept", listener)
    assert isinstance(result, tuple), result
    return int(result[0])


def words(seg: Segment) -> str:
    return opt.text(seg.raw_options)


# --- the cookie -------------------------------------------------------------------------------------------------------


def test_the_first_connection_asks_for_a_cookie() -> None:
    pair, _ = pair_of()
    _, result = sendto(pair)
    assert isinstance(result, OSError)
    assert result.errno == errno.EINPROGRESS
    pair.run(50 * MS)
    assert pair.flow() == ["a S", "b SA", "a A"]
    syn, synack = pair.sent[0].seg, pair.sent[1].seg
    assert words(syn).endswith(",nop,wscale 10,tfo cookiereq,nop,nop")
    cookie = synack.fastopen
    assert cookie is not None
    assert len(cookie) == 8
    assert words(synack).endswith(f",nop,wscale 10,tfo cookie {cookie.hex()},nop,nop")
    assert pair.a.fastopen.peers[B].cookie == cookie
    assert pair.a.fastopen.peers[B].mss == 1460
    assert pair.counter("b", "TcpExtTCPFastOpenCookieReqd") == 1
    assert pair.sent[0].ref == "RFC 7413 4.2.1"


def test_a_repeated_synack_carries_no_cookie() -> None:
    lost: list[int] = []

    def first_synack(host: str, seg: Segment) -> bool:
        return host == "b" and not lost and not lost.append(1)  # type: ignore[func-returns-value]

    pair, _ = pair_of(lose=first_synack)
    sendto(pair)
    pair.run(5 * SEC)
    synacks = [sent.seg for sent in pair.sent if sent.flags == "SA"]
    assert synacks[0].fastopen
    assert all(seg.fastopen is None for seg in synacks[1:])


def test_the_cookie_depends_on_both_addresses_and_the_key() -> None:
    key = bytes(range(16))
    assert len({fastopen.cookie(key, A, B), fastopen.cookie(key, X, B), fastopen.cookie(key, A, X)}) == 3
    assert fastopen.cookie(key, A, B) != fastopen.cookie(bytes(16), A, B)


def test_the_key_is_made_from_the_seed_or_set() -> None:
    cookies = []
    for seed, key in ((1, None), (1, None), (2, None), (1, KEY), (2, KEY)):
        pair = Pair(seed=seed)
        if key is not None:
            pair.call("b", "sysctl", "tcp_fastopen_key", key)
        (own,) = fastopen.keys_of(pair.b, fastopen.Settings())
        cookies.append(fastopen.cookie(own, A, B))
    assert cookies[0] == cookies[1] != cookies[2]
    assert (
        cookies[3]
        == cookies[4]
        == fastopen.cookie(b"".join(bytes.fromhex(word)[::-1] for word in KEY.split("-")), A, B)
    )


@pytest.mark.parametrize("key", ["", "0", KEY[:-1], KEY.replace("-", " "), KEY.replace("a", "g"), f"{KEY},{KEY}"])
def test_what_is_no_key(key: str) -> None:
    assert Pair().errno("b", "sysctl", "tcp_fastopen_key", key) == errno.EINVAL


# --- data in the SYN --------------------------------------------------------------------------------------------------


def test_the_second_connection_carries_data() -> None:
    pair, listener = taught()
    client, taken = sendto(pair, b"GET")
    assert taken == 3
    pair.run(8 * MS)
    assert pair.flow() == ["a S 3", "b SA"]
    syn, synack = pair.sent[0].seg, pair.sent[1].seg
    assert syn.fastopen == pair.a.fastopen.peers[B].cookie
    assert words(syn).endswith(f"tfo cookie {syn.fastopen.hex()},nop,nop")
    assert synack.ack == syn.seq + 4
    assert synack.fastopen is None
    assert pair.conns("b") == ["SYN_RECV"]
    server = accepted(pair, listener)
    assert pair.call("b", "recv", server, 100) == b"GET"
    assert pair.call("b", "send", server, b"answer") == 6
    pair.run(MS)
    assert pair.flow()[2:] == ["b PA 6"], "before the third step"
    assert pair.sent[2].seg.seq == synack.seq + 1
    pair.run(50 * MS)
    assert pair.flow()[3:] == ["a A", "a A"]
    assert pair.call("a", "recv", client, 100) == b"answer"
    assert pair.conns("a") == pair.conns("b") == ["ESTABLISHED"]
    assert pair.counter("a", "TcpExtTCPFastOpenActive") == 1
    assert pair.counter("b", "TcpExtTCPFastOpenPassive") == pair.counter("b", "TcpPassiveOpens") == 1
    assert pair.states("b") == ["SYN_RECV", "ESTABLISHED"]


def test_the_third_step_carries_on_with_data_both_ways() -> None:
    pair, listener = taught()
    client, _ = sendto(pair, b"x" * 100)
    pair.run(50 * MS)
    server = accepted(pair, listener)
    assert pair.call("a", "send", client, b"y" * 5000) == 5000
    assert pair.call("b", "send", server, b"z" * 5000) == 5000
    pair.run(SEC)
    assert pair.call("b", "recv", server, 10_000) == b"x" * 100 + b"y" * 5000
    assert pair.call("a", "recv", client, 10_000) == b"z" * 5000
    for host, fd in (("a", client), ("b", server)):
        pair.call(host, "close", fd)
    pair.run(SEC)
    assert pair.conns("a") == pair.conns("b") == ["TIME_WAIT"]
    assert pair.counter("a", "TcpRetransSegs") == pair.counter("b", "TcpRetransSegs") == 0


def test_the_syn_takes_what_the_mss_leaves_beside_the_options() -> None:
    pair, _ = taught()
    _, taken = sendto(pair, b"x" * 3000)
    assert taken == 1420
    assert pair.sent[0].size == 1420


def test_the_server_may_close_first() -> None:
    pair, listener = taught()
    client, _ = sendto(pair)
    pair.run(8 * MS)
    server = accepted(pair, listener)
    pair.call("b", "recv", server, 100)
    pair.call("b", "send", server, b"all")
    pair.call("b", "close", server)
    assert pair.conns("b") == ["FIN_WAIT_1"]
    assert pair.flow() == ["a S 3", "b SA", "b PA 3", "b FA"]
    pair.run(50 * MS)
    assert pair.states("b") == ["SYN_RECV", "FIN_WAIT_1", "FIN_WAIT_2"]
    assert pair.b.listeners[80][0].fastopen.qlen == 0
    assert pair.call("a", "recv", client, 100) == b"all"
    assert pair.call("a", "recv", client, 100) == b""
    pair.call("a", "close", client)
    pair.run(SEC)
    assert pair.conns("b") == ["TIME_WAIT"]


def test_shutdown_before_the_third_step_waits_for_it() -> None:
    pair, listener = taught()
    sendto(pair)
    pair.run(8 * MS)
    server = accepted(pair, listener)
    pair.call("b", "shutdown", server, "wr")
    assert pair.errno("b", "send", server, b"x") == errno.EPIPE
    assert pair.conns("b") == ["SYN_RECV"]
    pair.run(50 * MS)
    assert pair.states("b")[:3] == ["SYN_RECV", "ESTABLISHED", "FIN_WAIT_1"]
    assert pair.conns("a") == ["CLOSE_WAIT"]


def test_a_cookie_without_data_opens_early_too() -> None:
    pair, _ = taught()
    _, result = sendto(pair, b"")
    assert isinstance(result, BlockingIOError)
    pair.run(8 * MS)
    assert pair.flow() == ["a S", "b SA"]
    assert pair.conns("b") == ["SYN_RECV"]
    pair.run(50 * MS)
    assert pair.conns("a") == pair.conns("b") == ["ESTABLISHED"]


# --- when it does not work --------------------------------------------------------------------------------------------


def test_a_wrong_cookie_gets_a_new_one_and_the_data_goes_again() -> None:
    pair, listener = taught()
    old = pair.a.fastopen.peers[B].cookie
    pair.call("b", "sysctl", "tcp_fastopen_key", KEY)
    _, taken = sendto(pair, b"GET")
    assert taken == 3
    pair.run(50 * MS)
    assert pair.flow() == ["a S 3", "b SA", "a PA 3", "b A"]
    syn, synack, third = (sent.seg for sent in pair.sent[:3])
    assert (synack.ack, third.seq, third.ack) == (syn.seq + 1, syn.seq + 1, synack.seq + 1)
    assert synack.fastopen is not None
    assert pair.a.fastopen.peers[B].cookie == synack.fastopen != old
    assert pair.counter("a", "TcpExtTCPFastOpenActiveFail") == pair.counter("a", "TcpRetransSegs") == 1
    assert pair.counter("b", "TcpExtTCPFastOpenPassiveFail") == 1
    assert pair.counter("a", "TcpExtTCPFastOpenActive") == pair.counter("b", "TcpExtTCPFastOpenPassive") == 0
    assert pair.call("b", "recv", accepted(pair, listener), 100) == b"GET"
    view = pair.conn("a")
    assert (view.ca_state, view.cwnd, view.send_q, view.packets_out) == ("Open", 10, 0, 0)


def test_a_lost_syn_is_repeated_without_data_and_option() -> None:
    def data_in_syn(host: str, seg: Segment) -> bool:
        return bool(seg.flags & SYN and seg.payload)

    pair, listener = taught(lose=data_in_syn)
    sendto(pair, b"GET")
    pair.run(3 * SEC)
    assert pair.flow() == ["a S 3", "a S", "b SA", "a PA 3", "b A"]
    assert pair.times("a", "S") == [0.1, 1.1]
    assert pair.sent[1].seg.fastopen is None
    assert pair.sent[1].rtx
    assert pair.counter("a", "TcpExtTCPFastOpenActiveFail") == 1
    assert pair.counter("a", "TcpRetransSegs") == 2
    assert pair.call("b", "recv", accepted(pair, listener), 100) == b"GET"


def test_part_of_the_data_acknowledged() -> None:
    pair, _ = taught()
    sendto(pair, b"0123456789")
    pair.lose = lambda host, seg: True
    syn = pair.sent[0].seg
    reply = wire_tcp.build(B, A, 80, syn.sport, 5000, syn.seq + 5, SYN | ACK, 65535, opt.mss(1460))
    pair.inject("a", reply, B)
    again = pair.sent[-1].seg
    assert (again.seq, again.payload) == (syn.seq + 5, b"456789")
    assert pair.counter("a", "TcpExtTCPFastOpenActiveFail") == 1
    pair.inject("a", wire_tcp.build(B, A, 80, syn.sport, 5001, syn.seq + 11, ACK, 65535), B)
    view = pair.conn("a")
    assert (view.send_q, view.packets_out, view.ca_state, view.bytes_acked) == (0, 0, "Loss", 11)


@pytest.mark.parametrize(("server", "qlen"), [(1, 5), (3, 0)])
def test_who_does_not_answer_is_asked_with_the_experimental_option(server: int, qlen: int) -> None:
    pair, _ = pair_of(server=server, qlen=qlen)
    seen = []
    for _ in range(4):
        fd, _ = sendto(pair)
        pair.run(50 * MS)
        seen.append(words(pair.sent[-3].seg).rsplit("wscale 10,", 1)[1])
        assert pair.sent[-2].seg.fastopen is None
        pair.call("a", "abort", fd)
    assert seen == ["tfo cookiereq,nop,nop", "exp-tfo cookiereq", "tfo cookiereq,nop,nop", "tfo cookiereq,nop,nop"]
    assert pair.counter("b", "TcpExtTCPFastOpenCookieReqd") == 4


def test_a_cookie_in_the_experimental_option_goes_back_in_one() -> None:
    pair, listener = pair_of(qlen=0)
    fd, _ = sendto(pair)
    pair.run(50 * MS)
    pair.call("a", "abort", fd)
    pair.call("b", "setsockopt", listener, "TCP_FASTOPEN", 5)
    forget(pair)
    sendto(pair)
    pair.run(50 * MS)
    cookie = pair.sent[1].seg.fastopen
    assert cookie is not None
    assert words(pair.sent[1].seg).endswith(f"wscale 10,exp-tfo cookie {cookie.hex()}")
    _, taken = sendto(pair)
    assert taken == 3
    pair.run(50 * MS)
    assert words(pair.sent[3].seg).endswith(f"wscale 10,exp-tfo cookie {cookie.hex()}")
    assert pair.counter("b", "TcpExtTCPFastOpenPassive") == 1


@pytest.mark.parametrize("size", [2, 3, 5, 7, 18])
def test_a_cookie_of_a_size_that_makes_no_sense_does_not_count(size: int) -> None:
    pair, _ = pair_of()
    options = opt.mss(1460) + opt.fastopen(bytes(size))
    pair.inject("b", wire_tcp.build(X, B, 5000, 80, 1000, 0, SYN, 65535, options, b"data"), X)
    assert pair.sent == []
    assert pair.listener().syn_len == 1
    assert pair.counter("b", "TcpExtTCPFastOpenPassiveFail") == 0


# --- settings ---------------------------------------------------------------------------------------------------------


def test_without_cookie_on_both_sides() -> None:
    pair, listener = pair_of(client=5, server=0x603, qlen=0)
    pair.call("b", "setsockopt", listener, "TCP_FASTOPEN", 5)
    _, taken = sendto(pair)
    assert taken == 3
    pair.run(8 * MS)
    assert pair.flow() == ["a S 3", "b SA"]
    assert pair.sent[0].seg.fastopen is None
    assert pair.call("b", "recv", accepted(pair, listener), 100) == b"GET"
    pair.run(50 * MS)
    assert pair.counter("a", "TcpExtTCPFastOpenActive") == pair.counter("b", "TcpExtTCPFastOpenPassive") == 1


def test_no_cookie_as_a_socket_option() -> None:
    pair, listener = pair_of()
    pair.call("b", "setsockopt", listener, "TCP_FASTOPEN_NO_COOKIE", 1)
    fd = pair.call("a", "socket")
    assert isinstance(fd, int)
    pair.call("a", "setsockopt", fd, "TCP_FASTOPEN_NO_COOKIE", 1)
    assert sendto(pair, b"GET", fd)[1] == 3
    pair.run(50 * MS)
    assert pair.call("b", "recv", accepted(pair, listener), 100) == b"GET"


def test_all_listeners_without_the_option() -> None:
    pair = Pair()
    pair.set("b", tcp_fastopen=0x403)
    listener = pair.listen(backlog=7)
    assert pair.call("b", "getsockopt", listener, "TCP_FASTOPEN") == 7
    sendto(pair)
    pair.run(50 * MS)
    assert pair.sent[1].seg.fastopen


def test_no_client_bit() -> None:
    pair, _ = pair_of(client=2)
    _, result = sendto(pair)
    assert isinstance(result, OSError)
    assert result.errno == errno.EOPNOTSUPP
    fd = pair.call("a", "socket")
    assert pair.errno("a", "setsockopt", fd, "TCP_FASTOPEN_CONNECT", 1) == errno.EOPNOTSUPP


def test_a_backup_key_still_counts_and_its_cookie_is_replaced() -> None:
    pair, listener = taught()
    new, old = (bytes.fromhex(key.replace("-", "")) for key in (KEY, OTHER_KEY))
    pair.call("b", "setsockopt", listener, "TCP_FASTOPEN_KEY", old)
    sendto(pair)
    pair.run(50 * MS)
    assert pair.a.fastopen.peers[B].cookie == fastopen.cookie(old, A, B)
    pair.call("b", "setsockopt", listener, "TCP_FASTOPEN_KEY", new + old)
    forget(pair)
    sendto(pair)
    pair.run(50 * MS)
    assert pair.flow() == ["a S 3", "b SA", "a A"]
    assert pair.sent[1].seg.fastopen == fastopen.cookie(new, A, B)
    assert pair.a.fastopen.peers[B].cookie == fastopen.cookie(new, A, B)
    assert pair.counter("b", "TcpExtTCPFastOpenPassiveAltKey") == pair.counter("b", "TcpExtTCPFastOpenPassive") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("TCP_FASTOPEN", -1), ("TCP_FASTOPEN", (1, 2)), ("TCP_FASTOPEN_CONNECT", 2), ("TCP_FASTOPEN_NO_COOKIE", -1),
     ("TCP_FASTOPEN_KEY", bytes(15)), ("TCP_FASTOPEN_KEY", 3), ("TCP_FASTOPEN_KEY", (256,) * 16)],
)  # fmt: skip
def test_options_that_are_refused(name: str, value: object) -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.errno("a", "setsockopt", fd, name, value) == errno.EINVAL


def test_options_of_an_open_connection_are_refused() -> None:
    pair = Pair()
    client, _ = pair.open()
    for name in ("TCP_FASTOPEN", "TCP_FASTOPEN_CONNECT", "TCP_FASTOPEN_NO_COOKIE"):
        assert pair.errno("a", "setsockopt", client, name, 1) == errno.EINVAL
        assert pair.call("a", "getsockopt", client, name) == 0


# --- the client's calls -----------------------------------------------------------------------------------------------


def test_sendto_again() -> None:
    pair, listener = pair_of()
    fd, _ = sendto(pair)
    assert pair.errno("a", "sendto", fd, b"x", MSG_FASTOPEN, B, 80) == errno.EALREADY
    pair.run(50 * MS)
    assert pair.call("a", "sendto", fd, b"GET", MSG_FASTOPEN, B, 80) == 3, "now the connection is there"
    assert pair.errno("a", "sendto", fd, b"GET", MSG_FASTOPEN, B, 80) == errno.EISCONN
    assert pair.call("a", "sendto", fd, b"more", 0, 0, 0) == 4, "without the flag it is send()"
    pair.run(50 * MS)
    assert pair.call("b", "recv", accepted(pair, listener), 100) == b"GETmore"
    assert pair.errno("b", "sendto", listener, b"x", MSG_FASTOPEN, A, 80) in (errno.EISCONN, errno.EOPNOTSUPP)


def test_sendto_to_a_closed_port() -> None:
    pair, listener = taught()
    pair.call("b", "close", listener)
    fd, taken = sendto(pair)
    assert taken == 3
    pair.run(50 * MS)
    assert pair.errno("a", "sendto", fd, b"x", MSG_FASTOPEN, B, 80) == errno.ECONNREFUSED
    assert pair.flow() == ["a S 3", "b RA"]
    assert pair.sent[1].seg.ack == pair.sent[0].seg.seq + 4


def fastopen_connect(pair: Pair) -> tuple[int, object]:
    fd = pair.call("a", "socket")
    assert isinstance(fd, int)
    assert pair.call("a", "setsockopt", fd, "TCP_FASTOPEN_CONNECT", 1) is None
    return fd, pair.call("a", "connect", fd, B, 80)


def test_connect_that_waits_for_data() -> None:
    pair, listener = taught()
    fd, result = fastopen_connect(pair)
    assert result is None
    assert pair.sent == []
    assert pair.conns("a") == ["SYN_SENT"]
    assert pair.errno("a", "connect", fd, B, 80) == errno.EISCONN
    pair.run(SEC)
    assert pair.sent == []
    assert pair.call("a", "send", fd, b"GET") == 3
    assert pair.errno("a", "send", fd, b"more") == errno.EAGAIN
    assert pair.errno("a", "connect", fd, B, 80) == errno.EALREADY
    pair.run(50 * MS)
    assert pair.flow() == ["a S 3", "b SA", "a A"]
    assert pair.call("a", "connect", fd, B, 80) is None
    assert pair.call("a", "send", fd, b"more") == 4
    pair.run(50 * MS)
    assert pair.call("b", "recv", accepted(pair, listener), 100) == b"GETmore"


def test_connect_without_a_cookie_asks_for_one() -> None:
    pair, _ = pair_of()
    _, result = fastopen_connect(pair)
    assert isinstance(result, OSError)
    assert result.errno == errno.EINPROGRESS
    pair.run(50 * MS)
    assert pair.sent[0].seg.fastopen == b""
    assert pair.a.fastopen.peers[B].cookie


def test_close_of_a_connect_that_waits_sends_nothing() -> None:
    pair, _ = taught()
    fd, _ = fastopen_connect(pair)
    pair.call("a", "close", fd)
    pair.run(10 * SEC)
    assert pair.sent == []
    assert pair.conns("a") == []


def test_black_holes_let_fast_open_rest() -> None:
    pair, _ = taught()
    pair.set("a", tcp_fastopen_blackhole_timeout_sec=100)
    pair.lose = lambda host, seg: True
    fd, _ = sendto(pair)
    pair.run(10 * SEC)
    assert pair.counter("a", "TcpExtTCPFastOpenBlackhole") == 1
    pair.call("a", "close", fd)
    pair.lose = None
    forget(pair)
    fd, result = sendto(pair)
    assert isinstance(result, BlockingIOError)
    pair.run(50 * MS)
    assert pair.sent[0].seg.fastopen is None
    assert pair.sent[0].size == 0
    pair.run(100 * SEC)
    assert sendto(pair)[1] == 3
    pair.run(50 * MS)
    assert pair.a.fastopen.rests == 0


# --- the server before the third step ---------------------------------------------------------------------------------


def early(pair: Pair, sport: int = 5000, payload: bytes = b"GET", src: int = X) -> None:
    """A SYN with a good cookie and data, from the third party."""
    (key,) = fastopen.keys_of(pair.b, fastopen.Settings())
    options = opt.mss(1460) + opt.fastopen(fastopen.cookie(key, src, B)) + opt.nop() * 2
    pair.inject("b", wire_tcp.build(src, B, sport, 80, 1000, 0, SYN, 65535, options, payload), src)


def answer(pair: Pair, flags: int, seq: int, ack: int = 0, payload: bytes = b"", sport: int = 5000) -> None:
    pair.inject("b", wire_tcp.build(X, B, sport, 80, seq, ack, flags, 65535, b"", payload), X)


def with_stranger(**more: int) -> tuple[Pair, int]:
    pair, listener = pair_of(**more)  # type: ignore[arg-type]
    pair.b.learn(X, bytes.fromhex("02000a4d0009"))
    pair.lose = lambda host, seg: host == "b"
    return pair, listener


def iss(pair: Pair) -> int:
    return next(flow.iss for flow in pair.b.flows.values())  # type: ignore[attr-defined]


def test_more_than_the_limit_open_the_slow_way() -> None:
    pair, _ = with_stranger(qlen=2)
    for port in range(5000, 5003):
        early(pair, port)
    assert pair.conns("b") == ["SYN_RECV", "SYN_RECV"]
    assert pair.listener().syn_len == 1
    assert pair.counter("b", "TcpExtTCPFastOpenListenOverflow") == 1
    assert pair.sent[2].seg.ack == 1001
    assert pair.sent[2].seg.fastopen is None
    answer(pair, ACK, 1004, iss(pair) + 1)
    early(pair, 5003)
    assert pair.sent[3].seg.ack == 1004, "the third step of one makes room for another"


def test_the_synack_ladder_has_one_step_more() -> None:
    pair, _ = with_stranger()
    early(pair)
    pair.run(200 * SEC)
    assert pair.times("b", "SA") == [0, 1, 3, 7, 15, 31, 63]
    assert all(sent.seg.fastopen is None and sent.seg.ack == 1004 for sent in pair.sent)
    assert pair.conns("b") == []
    assert pair.b.listeners[80][0].fastopen.qlen == 0
    assert pair.counter("b", "TcpExtTCPTimeouts") == 7
    assert pair.counter("b", "TcpAttemptFails") == 1


def test_data_waits_for_the_third_step_before_it_is_repeated() -> None:
    pair, listener = with_stranger()
    early(pair)
    server = accepted(pair, listener)
    pair.call("b", "send", server, b"answer")
    pair.run(4 * SEC)
    assert pair.flow() == ["b SA", "b PA 6", "b SA", "b SA"]
    assert pair.conn("b").cwnd == 1, "after the second repeat"
    answer(pair, ACK, 1004, iss(pair) + 7)
    view = pair.conn("b")
    assert (view.state, view.packets_out, view.send_q) == ("ESTABLISHED", 0, 0)
    assert view.ca_state == "Loss", "without SACK it is over when something above high_seq is acknowledged"


def test_lost_third_steps_do_not_make_the_window_small() -> None:
    pair, listener = taught()
    sendto(pair)
    pair.run(8 * MS)
    pair.lose = lambda host, seg: host == "a"
    pair.call("b", "send", accepted(pair, listener), b"answer")
    pair.run(4 * SEC)
    assert (pair.conn("b").cwnd, pair.conn("b").ssthresh) == (1, 7)
    pair.lose = None
    pair.run(5 * SEC)
    view = pair.conn("b")
    assert (view.state, view.cwnd, view.ssthresh, view.ca_state) == ("ESTABLISHED", 10, 0x7FFFFFFF, "Open")
    assert pair.counter("b", "TcpExtTCPLossUndo") == 1
    assert pair.flow().count("b PA 6") == 1


def test_the_third_step_may_not_acknowledge_the_data_yet() -> None:
    pair, listener = with_stranger()
    early(pair)
    server = accepted(pair, listener)
    pair.call("b", "send", server, b"answer")
    answer(pair, ACK | PSH, 1004, iss(pair) + 1, b"more")
    assert pair.conn("b").state == "ESTABLISHED"
    assert pair.call("b", "recv", server, 100) == b"GETmore"
    pair.run(SEC)
    assert [sent.flags for sent in pair.sent].count("PA") >= 2, "now the data is repeated"


def test_the_same_syn_again() -> None:
    pair, _ = with_stranger()
    early(pair)
    pair.run(600 * MS)
    early(pair)
    assert pair.flow() == ["b SA", "b SA"]
    assert pair.conns("b") == ["SYN_RECV"]
    assert pair.conn("b").recv_q == 3


@pytest.mark.parametrize("first", [True, False])
def test_a_rst_before_the_third_step(first: bool) -> None:
    """One that was accepted counts for 60 s more."""
    pair, listener = with_stranger(qlen=1)
    early(pair)
    server = accepted(pair, listener) if first else -1
    answer(pair, RST, 1004)
    assert pair.conns("b") == []
    if not first:
        server = accepted(pair, listener)
    assert pair.call("b", "recv", server, 100) == b"GET"
    assert pair.errno("b", "recv", server, 100) == errno.ECONNRESET
    early(pair, 5001)
    pair.run(SEC)
    assert pair.conns("b") == ([] if first else ["SYN_RECV"])
    assert pair.counter("b", "TcpExtTCPFastOpenListenOverflow") == int(first)
    pair.run(61 * SEC)
    early(pair, 5002)
    assert pair.conns("b") == ["SYN_RECV"], "only the newest, or only the second"


@pytest.mark.parametrize("cookie", [True, False])
def test_an_inexact_rst_is_challenged_once(cookie: bool) -> None:
    pair, _ = with_stranger(qlen=int(cookie))
    early(pair)
    for _ in range(2):
        answer(pair, RST, 1005)
    answer(pair, ACK, 200_000, iss(pair) + 1)
    assert pair.flow() == ["b SA", "b A"]
    names = "TCPChallengeACK", "TCPACKSkippedChallenge", "TCPACKSkippedSynRecv"
    assert [pair.counter("b", f"TcpExt{name}") for name in names] == [1, 1, 1]


@pytest.mark.parametrize(
    ("flags", "seq", "ack", "drop"),
    [
        (RST, 1005, 0, "RST inexact"),
        (RST, 999, 0, "outside"),
        (ACK, 200_000, 1, "outside"),
        (FIN, 1004, 0, "no ACK"),
    ],
)
def test_what_does_not_end_or_complete_it(flags: int, seq: int, ack: int, drop: str) -> None:
    pair, _ = with_stranger()
    early(pair)
    answer(pair, flags, seq, iss(pair) + ack if ack else 0)
    assert pair.drops("b") == [drop]
    assert pair.conns("b") == ["SYN_RECV"]


def test_strange_segments_get_a_rst_and_the_connection_stays() -> None:
    pair, _ = with_stranger()
    early(pair)
    answer(pair, ACK, 1004, iss(pair) + 500)
    answer(pair, SYN, 1100)
    assert pair.flow() == ["b SA", "b R", "b RA"]
    assert pair.conns("b") == ["SYN_RECV"]


def test_close_with_unread_data_resets() -> None:
    pair, listener = taught()
    sendto(pair)
    pair.run(8 * MS)
    pair.call("b", "close", accepted(pair, listener))
    pair.run(50 * MS)
    assert "b RA" in pair.flow()
    assert pair.conns("a") == pair.conns("b") == []
    assert pair.b.listeners[80][0].fastopen.qlen == 0


def test_the_listener_closes_before_accept() -> None:
    pair, listener = taught()
    sendto(pair)
    pair.run(8 * MS)
    pair.call("b", "close", listener)
    pair.run(50 * MS)
    assert pair.conns("a") == pair.conns("b") == []


def test_off_data_in_a_syn_is_ignored() -> None:
    pair = Pair()
    pair.listen()
    pair.b.learn(X, bytes.fromhex("02000a4d0009"))
    early(pair)
    assert pair.sent[0].seg.ack == 1001
    assert pair.listener().syn_len == 1


def test_syn_cookies_come_first() -> None:
    pair, _ = pair_of()
    pair.set("b", tcp_syncookies=2)
    sendto(pair)
    pair.run(50 * MS)
    assert pair.sent[1].seg.fastopen is None
    assert pair.counter("b", "TcpExtTCPFastOpenCookieReqd") == 0
