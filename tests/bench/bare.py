"""The least that answers a SYN from Python: unpack, a cookie from hash(), a SYN,ACK with right checksums. No TCP."""

from __future__ import annotations

from struct import Struct

from tcplab.wire.tcp import ACK, SYN

_ADDRESSES = Struct("!II")
_TCP = Struct("!HHIIHHHH")
_IP = Struct("!BBHHHBBHII")
_MSS = b"\x02\x04\x05\xb4"
_SIZE = 24


def answer(frame: bytes) -> bytes:
    """The SYN,ACK to a frame with a SYN."""
    src, dst = _ADDRESSES.unpack_from(frame, 26)
    sport, dport, seq, *_ = _TCP.unpack_from(frame, 34)
    cookie = hash((src, dst, sport, dport)) & 0xFFFFFFFF
    head = (dport, sport, cookie, (seq + 1) & 0xFFFFFFFF, (_SIZE // 4) << 12 | SYN | ACK, 65535)
    total = int.from_bytes(_TCP.pack(*head, 0, 0) + _MSS, "big") + src + dst + 6 + _SIZE
    segment = _TCP.pack(*head, -total % 0xFFFF, 0) + _MSS
    header = _IP.pack(0x45, 0, 20 + _SIZE, 0, 0, 64, 6, 0, dst, src)
    checksum = -int.from_bytes(header, "big") % 0xFFFF
    return b"".join(
        (frame[6:12], frame[:6], b"\x08\x00", header[:10], checksum.to_bytes(2, "big"), header[12:], segment)
    )
