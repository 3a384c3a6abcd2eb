"""TCP options: encoding, and reading them with Linux's leniency (RFC 9293 section 3.2, tcp_parse_options)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from struct import Struct, iter_unpack
from typing import Final

EOL, NOP, MSS, WSCALE, SACK_PERMITTED, SACK, TS, FASTOPEN, EXPERIMENT = 0, 1, 2, 3, 4, 5, 8, 34, 254
FASTOPEN_MAGIC: Final = b"\xf9\x89"  # RFC 7413: the experimental option's identifier
_PAIR: Final = Struct("!II")
_OF_SYN: Final = Struct("!5I")


def mss(size: int) -> bytes:
    """Maximum segment size (RFC 9293 section 3.7.1)."""
    return b"\x02\x04" + size.to_bytes(2, "big")


def window_scale(shift: int) -> bytes:
    """Window scale (RFC 7323 section 2.2)."""
    return bytes((WSCALE, 3, shift))


def sack_permitted() -> bytes:
    """SACK permitted (RFC 2018 section 2)."""
    return b"\x04\x02"


def timestamps(val: int, ecr: int) -> bytes:
    """Timestamps (RFC 7323 section 3.2)."""
    return b"\x08\x0a" + _PAIR.pack(val, ecr)


def of_syn(size: int, val: int, ecr: int, shift: int) -> bytes:
    """All that Linux's SYN offers, in its order and with its padding: `mss,sackOK,TS,nop,wscale`."""
    return _OF_SYN.pack(0x02040000 | size, 0x0402080A, val, ecr, 0x01030300 | shift)


def sack(blocks: Iterable[tuple[int, int]]) -> bytes:
    """SACK blocks (RFC 2018 section 3)."""
    body = b"".join(_PAIR.pack(left, right) for left, right in blocks)
    return bytes((SACK, 2 + len(body))) + body


def fastopen(cookie: bytes = b"") -> bytes:
    """Fast Open; without a cookie it asks for one (RFC 7413 section 4.1.1)."""
    return bytes((FASTOPEN, 2 + len(cookie))) + cookie


def nop() -> bytes:
    """One octet of padding."""
    return b"\x01"


def walk(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each option. It ends at EOL and, like Linux, at a length that makes no sense."""
    at, end = 0, len(raw)
    while at < end:
        kind = raw[at]
        if kind == EOL:
            return
        if kind == NOP:
            yield NOP, b""
            at += 1
            continue
        size = raw[at + 1] if at + 1 < end else 0
        if size < 2 or at + size > end:
            return
        yield kind, raw[at + 2 : at + size]
        at += size


class Options:
    """What the well-formed options of a segment say; None and empty: not there. Shared by all that say the same."""

    __slots__ = ("mss", "wscale", "sack_ok", "ts", "sack", "fastopen")

    def __init__(self) -> None:
        self.mss: int | None = None
        self.wscale: int | None = None
        self.sack_ok = False
        self.ts: tuple[int, int] | None = None
        self.sack: tuple[tuple[int, int], ...] = ()
        self.fastopen: bytes | None = None


@lru_cache(maxsize=64)
def parse(raw: bytes) -> Options:
    """Read a whole option block; unknown kinds and wrong sizes are skipped. The SYNs of a flood all say the same."""
    found = Options()
    for kind, body in walk(raw):
        size = len(body)
        if kind == MSS and size == 2:
            found.mss = body[0] << 8 | body[1]
        elif kind == WSCALE and size == 1:
            found.wscale = body[0]
        elif kind == SACK_PERMITTED and size == 0:
            found.sack_ok = True
        elif kind == TS and size == 8:
            found.ts = _PAIR.unpack(body)
        elif kind == SACK and size >= 8 and size % 8 == 0:
            found.sack = tuple(iter_unpack("!II", body))
        elif kind == FASTOPEN:
            found.fastopen = body
        elif kind == EXPERIMENT and body[:2] == FASTOPEN_MAGIC:
            found.fastopen = body[2:]
    return found


def text(raw: bytes, sack_base: int = 0) -> str:
    """In tcpdump's words: `mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 10`; SACK edges relative to `sack_base`."""
    return ",".join(_word(kind, body, sack_base) for kind, body in walk(raw))


def _word(kind: int, body: bytes, base: int) -> str:
    size = len(body)
    if kind == NOP:
        return "nop"
    if kind == MSS and size == 2:
        return f"mss {body[0] << 8 | body[1]}"
    if kind == WSCALE and size == 1:
        return f"wscale {body[0]}"
    if kind == SACK_PERMITTED and size == 0:
        return "sackOK"
    if kind == TS and size == 8:
        val, ecr = _PAIR.unpack(body)
        return f"TS val {val} ecr {ecr}"
    if kind == SACK and size >= 8 and size % 8 == 0:
        edges = ((left - base & 0xFFFFFFFF, right - base & 0xFFFFFFFF) for left, right in iter_unpack("!II", body))
        return f"sack {size // 8} " + " ".join(f"{{{left}:{right}}}" for left, right in edges)
    if kind == FASTOPEN:
        return f"tfo cookie {body.hex()}" if body else "tfo cookiereq"
    if kind == EXPERIMENT and body[:2] == FASTOPEN_MAGIC:
        return f"exp-tfo cookie {body[2:].hex()}" if size > 2 else "exp-tfo cookiereq"
    return f"unknown-{kind} {body.hex()}".rstrip()
