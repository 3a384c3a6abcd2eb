"""ICMP messages (RFC 792)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from tcplab.wire.checksum import checksum, residue
from tcplab.wire.errors import WireError

PROTO: Final = 1
ECHO_REPLY: Final = 0
UNREACHABLE: Final = 3
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12
FRAG_NEEDED: Final = 4
"""Code of `UNREACHABLE`; the low half of `rest` is the MTU of the next hop (RFC 1191)."""
_HEADER: Final = Struct("!BBHI")


class Icmp:
    """A message: `rest` is the second word of the header, `payload` what follows it."""

    __slots__ = ("type", "code", "rest", "payload")

    def __init__(self, type: int, code: int, rest: int, payload: bytes) -> None:
        self.type, self.code, self.rest, self.payload = type, code, rest, payload


def parse(buf: bytes, start: int, end: int, verify: bool = True) -> Icmp:
    """Read the message between `start` and `end`."""
    if end - start < _HEADER.size or end > len(buf):
        raise WireError("an ICMP message is cut off", "short ICMP", "IcmpInErrors")
    if verify and residue(buf[start:end]):
        raise WireError("the ICMP checksum is wrong", "ICMP checksum", "IcmpInCsumErrors")
    kind, code, _, rest = _HEADER.unpack_from(buf, start)
    return Icmp(kind, code, rest, buf[start + _HEADER.size : end])


def build(type: int, code: int, rest: int, payload: bytes) -> bytes:
    """A message with a right checksum."""
    message = _HEADER.pack(type, code, 0, rest) + payload
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
