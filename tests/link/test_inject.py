"""What the third party forges is a segment that a host must take seriously."""

from __future__ import annotations

import pytest

from tcplab.link.inject import FORGED_NET, X_MAC, Victim, rst, syn_flood
from tcplab.rng import Rng
from tcplab.wire import ethernet, ipv4, tcp

A, B = ipv4.address("10.77.0.1"), ipv4.address("10.77.0.2")
MAC_B = bytes.fromhex("02000a4d0002")


def read(frame):
    """(IPv4 header, segment), with every checksum verified."""
    assert ethernet.parse(frame) == (MAC_B, X_MAC, ethernet.ETH_IP)
    packet = ipv4.parse(frame, ethernet.HEADER)
    return packet, tcp.parse(frame, packet.start, packet.end, packet.src, packet.dst)


def test_a_flood_is_of_syns_from_addresses_that_nobody_has():
    read_frames = [read(frame) for frame in syn_flood(Rng(1).stream("x/flood"), B, 80, MAC_B, 300)]
    assert len(read_frames) == 300
    for packet, segment in read_frames:
        assert 1 <= packet.src - FORGED_NET <= 254
        assert (packet.dst, segment.dport, segment.flags, segment.payload) == (B, 80, tcp.SYN, b"")
        assert (segment.mss, segment.sack_ok, segment.wscale) == (1460, True, 7)
    assert len({(packet.src, segment.sport) for packet, segment in read_frames}) > 290


def test_the_same_seed_gives_the_same_flood():
    first, again, other = (list(syn_flood(Rng(seed).stream("x/flood"), B, 80, MAC_B, 10)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("which", "rcv_nxt", "seq"),
    [
        ("exact", 1000, 1000),
        ("in-window", 1000, 1000 + 32768),
        ("outside", 1000, 1000 + 65536 + 1),
        ("in-window", 0xFFFFFFFF, 32767),
    ],
)
def test_a_reset_is_forged_by_place_in_the_window(which, rcv_nxt, seq):
    packet, segment = read(rst(Victim(MAC_B, (A, 40001, B, 80), rcv_nxt, 65536), which))
    assert (packet.src, packet.dst, segment.sport, segment.dport) == (A, B, 40001, 80)
    assert (segment.flags, segment.seq) == (tcp.RST, seq)


def test_there_are_three_places():
    with pytest.raises(ValueError, match="exact, in-window, outside"):
        rst(Victim(MAC_B, (A, 40001, B, 80), 1, 1), "somewhere")
