"""RFC 9293 sections 3.1, 3.2 and 3.7.1: the header, its options, and the size of segments."""

from __future__ import annotations

import pytest
from support.hand import Hand
from support.pair import Pair

from tcplab.units import MS
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN

UNKNOWN = b"\xfd\x06abcd"
"""An option that nobody knows, with its length."""


def test_a_window_above_32767_is_no_negative_number() -> None:
    hand = Hand(opt.mss(1460), window=0xFFFF)
    assert hand.pair.conn("a").snd_wnd == 0xFFFF
    assert [s.size for s in hand.send(4380)] == [1460] * 3


def test_a_scaled_window_needs_more_than_16_bits() -> None:
    hand = Hand(opt.mss(1460) + opt.nop() + opt.window_scale(14))
    hand.say(window=0xFFFF)
    assert hand.pair.conn("a").snd_wnd == 0xFFFF << 14


@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | FIN, RST])
def test_an_unknown_option_is_ignored_in_any_segment(flags: int) -> None:
    hand = Hand(UNKNOWN + opt.mss(1000))
    assert hand.pair.conn("a").mss == 1000
    payload = b"data" if flags & PSH else b""
    hand.say(flags, options=UNKNOWN, payload=payload)
    state = {FIN | ACK: ["CLOSE_WAIT"], RST: []}.get(flags, ["ESTABLISHED"])
    assert hand.pair.conns("a") == state
    assert not payload or hand.read() == payload


@pytest.mark.parametrize("length", [0, 1, 39])
def test_an_illegal_length_ends_the_options_and_nothing_else(length: int) -> None:
    hand = Hand(opt.mss(1000) + bytes((0xFD, length)))
    assert hand.pair.conn("a").mss == 1000
    hand.say(ACK | PSH, options=bytes((8, length)), payload=b"data")
    assert hand.read() == b"data"


def test_options_need_not_begin_on_a_word() -> None:
    hand = Hand(opt.nop() + opt.timestamps(7, 0) + opt.nop() + opt.mss(1000) + opt.window_scale(3))
    conn = hand.pair.conn("a")
    assert (conn.mss, conn.snd_wscale) == (988, 3)
    hand.say(ACK | PSH, options=opt.nop() + opt.timestamps(9, 0), payload=b"data")
    assert hand.send(1)[0].seg.ts[1] == 9  # type: ignore[index]


def test_the_header_behind_the_options_is_zeros() -> None:
    segment = wire_tcp.build(1, 2, 3, 4, 5, 6, SYN, 7, opt.window_scale(2))
    assert segment[20:] == opt.window_scale(2) + b"\x00"
    assert wire_tcp.build(1, 2, 3, 4, 5, 6, SYN, 7, opt.mss(1460) + b"\xfd")[25:] == bytes(3)


# --- the MSS ----------------------------------------------------------------------------------------------------------


def test_only_a_syn_carries_an_mss() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"x" * 20_000)
    pair.run(100 * MS)
    pair.call("b", "recv", server, 1 << 20)
    pair.call("a", "close", client)
    pair.call("b", "close", server)
    pair.run(100 * MS)
    assert len(pair.sent) > 10
    assert all((s.seg.mss is not None) == bool(s.seg.flags & SYN) for s in pair.sent)


def test_the_mss_is_what_fits_into_a_packet_that_ip_takes() -> None:
    """Fragments are not put together here, so the greatest message that IP hands up has 1480 octets."""
    pair = Pair()
    pair.open()
    assert [s.seg.mss for s in pair.sent[:2]] == [1480 - 20] * 2


def test_without_an_mss_segments_have_536_octets() -> None:
    hand = Hand()
    assert [s.size for s in hand.send(1072)] == [536, 536]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (opt.mss(1000), 1000),
        (opt.mss(9000), 1460),
        (opt.mss(1000) + opt.nop() * 2 + opt.timestamps(1, 0), 988),
        (opt.mss(9000) + opt.nop() * 2 + opt.timestamps(1, 0), 1448),
    ],
)
def test_the_smaller_of_both_limits_without_the_options(options: bytes, size: int) -> None:
    hand = Hand(options)
    assert [s.size for s in hand.send(2 * size)] == [size, size]


def test_sack_blocks_take_their_room_from_the_data() -> None:
    hand = Hand(opt.mss(1000) + opt.nop() * 2 + opt.sack_permitted())
    hand.say(ACK | PSH, at=100, payload=b"later")
    sent = hand.send(1976)
    assert [(s.size, len(s.seg.raw_options)) for s in sent] == [(988, 12)] * 2
