"""Whole frames, for injection and for tests."""

from __future__ import annotations

from tcplab.wire import arp, ethernet, ipv4


def ip_frame(src_mac: bytes, dst_mac: bytes, src: int, dst: int, proto: int, payload: bytes, ident: int = 0) -> bytes:
    """`payload` in an IPv4 packet in an Ethernet frame."""
    header = ethernet.header(dst_mac, src_mac, ethernet.ETH_IP)
    return header + ipv4.build(src, dst, proto, payload, ident)


def tcp_frame(src_mac: bytes, dst_mac: bytes, src: int, dst: int, ident: int, segment: bytes) -> bytes:
    """A TCP segment in a frame."""
    return ip_frame(src_mac, dst_mac, src, dst, ipv4.PROTO_TCP, segment, ident)


def arp_frame(src_mac: bytes, dst_mac: bytes, op: int, spa: int, tha: bytes, tpa: int) -> bytes:
    """An ARP packet in a frame; the sender's hardware address is the frame's source."""
    return ethernet.header(dst_mac, src_mac, ethernet.ETH_ARP) + arp.build(op, src_mac, spa, tha, tpa)
