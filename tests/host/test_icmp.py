"""ICMP: ping is answered; an unreachable ends what is still being opened, and nothing else."""

from __future__ import annotations

import errno

import pytest
from support.pair import MAC_A, MAC_B, MAC_X, A, B, Pair, X

from tcplab.units import MS, SEC
from tcplab.wire import ethernet, frames, icmp, ipv4


def answers(pair: Pair, host: str) -> list[icmp.Icmp]:
    """The ICMP messages that wait in the host's `out`, which is emptied."""
    machine = pair.host(host)
    out, machine.out = machine.out, []
    found = []
    for outgoing in out:
        ip = ipv4.parse(outgoing.frame, ethernet.HEADER)
        assert (ip.proto, ip.src) == (icmp.PROTO, machine.addr)
        found.append(icmp.parse(outgoing.frame, ip.start, ip.end))
    return found


def ping(pair: Pair, payload: bytes = b"abcdefgh", code: int = 0) -> list[icmp.Icmp]:
    message = icmp.build(icmp.ECHO_REQUEST, code, 0x00070001, payload)
    pair.b.on_frame(pair.now, frames.ip_frame(MAC_A, MAC_B, A, B, icmp.PROTO, message))
    return answers(pair, "b")


@pytest.mark.parametrize("size", [0, 1, 56, 1472])
def test_echo(size: int) -> None:
    pair = Pair()
    payload = bytes(n & 255 for n in range(size))
    (reply,) = ping(pair, payload)
    assert (reply.type, reply.code, reply.rest, reply.payload) == (icmp.ECHO_REPLY, 0, 0x00070001, payload)
    assert pair.counter("b", "IcmpInMsgs") == pair.counter("b", "IcmpOutEchoReps") == 1


def test_echo_to_a_stranger_asks_for_it_first() -> None:
    pair = Pair(acquainted=False)
    message = icmp.build(icmp.ECHO_REQUEST, 0, 1, b"")
    pair.b.on_frame(0, frames.ip_frame(MAC_A, MAC_B, A, B, icmp.PROTO, message))
    assert [outgoing.why for outgoing in pair.b.out] == ["ARP: who has 10.77.0.1? Try 1 of 3"]


def test_icmp_echo_ignore_all() -> None:
    pair = Pair()
    pair.set("b", icmp_echo_ignore_all=1)
    assert ping(pair) == []
    assert pair.drops("b") == ["ping ignored"]


@pytest.mark.parametrize("kind", [0, 5, 11, 13])
def test_other_types_get_no_answer(kind: int) -> None:
    pair = Pair()
    pair.b.on_frame(0, frames.ip_frame(MAC_A, MAC_B, A, B, icmp.PROTO, icmp.build(kind, 0, 0, b"")))
    assert answers(pair, "b") == []
    assert pair.drops("b") == ["icmp"]


# --- destination unreachable ------------------------------------------------------------------------------------------


def unreachable(pair: Pair, code: int, quoted: bytes) -> None:
    """A router tells a that `quoted`, one of its packets, did not arrive."""
    message = icmp.build(icmp.UNREACHABLE, code, 0, quoted)
    pair.a.on_frame(pair.now, frames.ip_frame(MAC_X, MAC_A, X, A, icmp.PROTO, message))


def last_packet(pair: Pair, octets: int = 28) -> bytes:
    """The beginning of the last packet that a sent: a router quotes the header and 8 octets."""
    frame = [frame for host, frame, _ in pair.frames if host == "a"][-1]
    return frame[ethernet.HEADER : ethernet.HEADER + octets]


def calling() -> tuple[Pair, int]:
    """a calls b, whose answers are lost."""
    pair = Pair(lose=lambda *_: True)
    return pair, pair.connect()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0, errno.ENETUNREACH),
        (1, errno.EHOSTUNREACH),
        (2, errno.ENOPROTOOPT),
        (3, errno.ECONNREFUSED),
        (9, errno.ENETUNREACH),
        (10, errno.EHOSTUNREACH),
        (13, errno.EHOSTUNREACH),
    ],
)
def test_it_ends_a_connection_that_is_being_opened(code: int, error: int) -> None:
    pair, fd = calling()
    pair.run(MS)
    unreachable(pair, code, last_packet(pair))
    assert pair.conns("a") == []
    assert pair.a.deadline > 1000 * SEC, "the SYN is not repeated any more"
    failed = pair.call("a", "connect", fd, B, 80)
    assert isinstance(failed, OSError)
    assert failed.errno == error
    assert pair.counter("a", "TcpAttemptFails") == pair.counter("a", "IcmpInDestUnreachs") == 1
    assert f"code {code}" in pair.events[-1].why
    assert errno.errorcode[error] in pair.events[-1].why


def test_after_it_the_socket_can_try_again() -> None:
    pair, fd = calling()
    unreachable(pair, 3, last_packet(pair))
    assert pair.errno("a", "connect", fd, B, 80) == errno.ECONNREFUSED
    pair.lose = None
    pair.listen()
    assert pair.errno("a", "connect", fd, B, 80) == errno.EINPROGRESS
    pair.run(SEC)
    assert pair.call("a", "connect", fd, B, 80) is None


def test_fragmentation_needed_does_not_end_it() -> None:
    pair, _ = calling()
    unreachable(pair, 4, last_packet(pair))
    assert pair.conns("a") == ["SYN_SENT"]


@pytest.mark.parametrize("code", [0, 1, 3, 13])
def test_it_does_not_end_an_open_connection(code: int) -> None:
    pair = Pair()
    client, _ = pair.open()
    unreachable(pair, code, last_packet(pair))
    assert pair.conns("a") == ["ESTABLISHED"]
    assert pair.call("a", "send", client, b"still here") == 10


def test_a_quote_that_is_none_of_ours_changes_nothing() -> None:
    pair, fd = calling()
    mine = last_packet(pair)
    for quoted in (
        b"",
        mine[:19],
        mine[:20],
        mine[:23],
        mine[:12] + mine[16:20] + mine[12:16] + mine[20:],  # from b, not from us
        mine[:9] + b"\x11" + mine[10:],  # UDP
        mine[:22] + b"\x00\x51" + mine[24:],  # another port
        b"\x65" + mine[1:],
    ):
        unreachable(pair, 3, quoted)
    assert pair.conns("a") == ["SYN_SENT"]
    assert pair.errno("a", "connect", fd, B, 80) == errno.EALREADY
