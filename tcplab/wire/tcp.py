"""TCP segments (RFC 9293 section 3.1). The hot path of every lab: one unpack, plain integers."""

from __future__ import annotations

from struct import Struct
from typing import Final

from tcplab.wire import tcp_options
from tcplab.wire.errors import WireError

HEADER: Final = 20
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
PROTO: Final = 6

_HEADER: Final = Struct("!HHIIHHHH")
_TS_BLOCK: Final = Struct("!III")
_TS_HEAD: Final = 0x0101080A  # nop, nop, timestamps: what nearly every segment carries
_SYN_BLOCK: Final = Struct("!5I")  # mss, sackOK, TS, nop, wscale: what nearly every SYN carries
_MSS_HEAD, _SACK_TS_HEAD, _WSCALE_HEAD = 0x0204, 0x0402080A, 0x010303
_LETTERS: Final = ((SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (ACK, "A"), (URG, "U"), (ECE, "E"), (CWR, "W"))


class Segment:
    """A segment that was read. `flags` keeps the ninth bit too; options that are absent are None, False or empty."""

    __slots__ = ("sport", "dport", "seq", "ack", "flags", "window", "urgent", "payload", "raw_options", "mss", "wscale",
                 "sack_ok", "ts", "sack", "fastopen", "ecn")  # fmt: skip

    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    payload: bytes
    raw_options: bytes
    mss: int | None
    wscale: int | None
    sack_ok: bool
    ts: tuple[int, int] | None
    sack: tuple[tuple[int, int], ...]
    fastopen: bytes | None
    ecn: int
    """The two bits of its IP header; whoever read that sets them."""


def parse(buf: bytes, start: int, end: int, src: int, dst: int, verify: bool = True) -> Segment:
    """Read the segment between `start` and `end` of `buf`; `src` and `dst` are of its IP header."""
    if end - start < HEADER or end > len(buf):
        raise WireError("a TCP header is cut off", "short TCP", "TcpInErrs")
    seg = Segment()
    seg.sport, seg.dport, seg.seq, seg.ack, offset, seg.window, _, seg.urgent = _HEADER.unpack_from(buf, start)
    body = start + (offset >> 12 << 2)
    if body < start + HEADER or body > end:
        raise WireError("the data offset makes no sense", "TCP header", "TcpInErrs")
    if verify:
        length = end - start
        total = int.from_bytes(buf[start:end], "big")  # as long as the segment: each operation on it copies that much
        if length & 1:
            total <<= 8
        if (total % 0xFFFF + src + dst + PROTO + length) % 0xFFFF:  # 32 bits at once: 2**16 % 0xFFFF is 1
            raise WireError("the TCP checksum is wrong", "checksum", "TcpInCsumErrors")
    seg.flags = offset & 0x1FF
    seg.ecn = 0
    seg.payload = buf[body:end]
    raw = seg.raw_options = buf[start + HEADER : body]
    if len(raw) == 12:
        head, val, ecr = _TS_BLOCK.unpack(raw)
        if head == _TS_HEAD:
            seg.ts = (val, ecr)
            seg.mss = seg.wscale = seg.fastopen = None
            seg.sack_ok = False
            seg.sack = ()
            return seg
    elif len(raw) == 20:
        size, head, val, ecr, tail = _SYN_BLOCK.unpack(raw)
        if size >> 16 == _MSS_HEAD and head == _SACK_TS_HEAD and tail >> 8 == _WSCALE_HEAD:
            seg.mss, seg.wscale = size & 0xFFFF, tail & 0xFF
            seg.ts = (val, ecr)
            seg.sack_ok = True
            seg.sack, seg.fastopen = (), None
            return seg
    options = tcp_options.parse(raw)
    seg.mss, seg.wscale, seg.sack_ok = options.mss, options.wscale, options.sack_ok
    seg.ts, seg.sack, seg.fastopen = options.ts, options.sack, options.fastopen
    return seg


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
        rest = int.from_bytes(tail, "big")
        if length & 1:
            rest <<= 8
        total = rest % 0xFFFF + src + dst + PROTO + length + sport + dport + seq + ack + offset + window + urgent
        checksum = -total % 0xFFFF
    return _HEADER.pack(sport, dport, seq, ack, offset, window, checksum, urgent) + tail


def flag_names(flags: int) -> str:
    """The lab's notation: `S`, `SA`, `A`, `PA`, `FA`, `R`, `RA`; empty without any."""
    return "".join(letter for bit, letter in _LETTERS if flags & bit)
