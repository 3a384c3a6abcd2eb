"""TCP segments (RFC 9293 section 3.1). The hot path of every lab: one unpack, plain integers."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from tcplab.wire import tcp_options
from tcplab.wire.checksum import residue
from tcplab.wire.errors import WireError

HEADER: Final = 20
FIN: Final = 1
SYN: Final = 2
RST: Final = 4
PSH: Final = 8
ACK: Final = 16
URG: Final = 32
ECE: Final = 64
CWR: Final = 128
PROTO: Final = 6

_HEADER: Final = Struct("!HHIIHHHH")
_TS_BLOCK: Final = Struct("!III")
_TS_HEAD: Final = 0x0101080A  # nop, nop, timestamps: what nearly every segment carries
_SYN_BLOCK: Final = Struct("!5I")  # mss, sackOK, TS, nop, wscale: what nearly every SYN carries
_MSS_HEAD, _SACK_TS_HEAD, _WSCALE_HEAD = 0x0204, 0x0402080A, 0x010303
_LETTERS: Final = ((SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (ACK, "A"), (URG, "U"), (ECE, "E"), (CWR, "W"))


class Segment(msgspec.Struct, gc=False):
    """A segment that was read. `flags` keeps the ninth bit too; options that are absent are None, False or empty."""

    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    payload: bytes
    raw_options: bytes
    ts: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()
    mss: int | None = None
    wscale: int | None = None
    sack_ok: bool = False
    fastopen: bytes | None = None
    ecn: int = 0
    """The two bits of its IP header; whoever read that sets them, and `tos`, the whole octet."""
    tos: int = 0


def parse(buf: bytes, start: int, end: int, src: int, dst: int, verify: bool = True) -> Segment:
    """Read the segment between `start` and `end` of `buf`; `src` and `dst` are of its IP header."""
    if end - start < HEADER or end > len(buf):
        raise WireError("a TCP header is cut off", "short TCP", "TcpInErrs")
    sport, dport, seq, ack, offset, window, _, urgent = _HEADER.unpack_from(buf, start)
    body = start + (offset >> 12 << 2)
    if body < start + HEADER or body > end:
        raise WireError("the data offset makes no sense", "TCP header", "TcpInErrs")
    if verify:
        total = residue(buf[start:end]) + src + dst + PROTO + end - start
        if total % 0xFFFF:  # of 32 bits the halves need no adding: 2**16 % 0xFFFF is 1
            raise WireError("the TCP checksum is wrong", "checksum", "TcpInCsumErrors")
    flags = offset & 0x1FF
    raw = buf[start + HEADER : body]
    if len(raw) == 12:
        head, val, ecr = _TS_BLOCK.unpack(raw)
        if head == _TS_HEAD:
            return Segment(sport, dport, seq, ack, flags, window, urgent, buf[body:end], raw, (val, ecr))
    elif len(raw) == 20:
        size, head, val, ecr, tail = _SYN_BLOCK.unpack(raw)
        if size >> 16 == _MSS_HEAD and head == _SACK_TS_HEAD and tail >> 8 == _WSCALE_HEAD:
            mss, scale = size & 0xFFFF, tail & 0xFF
            payload = buf[body:end]
            return Segment(
                sport, dport, seq, ack, flags, window, urgent, payload, raw, (val, ecr), (), mss, scale, True
            )
    said = tcp_options.parse(raw)
    return Segment(
        sport, dport, seq, ack, flags, window, urgent, buf[body:end], raw,
        said.ts, said.sack, said.mss, said.wscale, said.sack_ok, said.fastopen,
    )  # fmt: skip


def build(
    src: int,
    dst: int,
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes = b"",
    payload: bytes = b"",
    urgent: int = 0,
    checksum: int | None = None,
) -> bytes:
    """A segment; options are padded with EOL to whole words. `checksum=None` computes it, a number says it as it is.

    ValueError: the options are longer than 40 octets.
    """
    size = len(options)
    if size & 3:
        options += bytes(-size & 3)
        size = len(options)
    if size > 40:
        raise ValueError(f"{size} octets of options; 40 fit")
    offset = (HEADER + size) << 10 | flags
    tail = options + payload
    if checksum is None:
        length = HEADER + len(tail)
        total = residue(tail) + src + dst + PROTO + length + sport + dport + seq + ack + offset + window + urgent
        checksum = -total % 0xFFFF
    return _HEADER.pack(sport, dport, seq, ack, offset, window, checksum, urgent) + tail


def flag_names(flags: int) -> str:
    """The lab's notation: `S`, `SA`, `A`, `PA`, `FA`, `R`, `RA`; empty without any."""
    return "".join(letter for bit, letter in _LETTERS if flags & bit)
