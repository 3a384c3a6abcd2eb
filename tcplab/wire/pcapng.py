"""Captures in pcapng (draft-ietf-opsawg-pcapng), for Wireshark and tshark. The same frames give the same octets."""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

from tcplab.units import Nanos

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
_LINKTYPE_ETHERNET: Final = 1
_SNAPLEN: Final = 262144
_OPT_END, _OPT_COMMENT, _IF_NAME, _IF_TSRESOL = 0, 1, 2, 9
_NANOSECONDS: Final = b"\x09"  # 10^-9

_WORD: Final = Struct("<I")
_OPTION: Final = Struct("<HH")
_SECTION_BODY: Final = Struct("<IHHq")
_INTERFACE_BODY: Final = Struct("<HHI")
_PACKET_BODY: Final = Struct("<IIIII")


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Writer:
    """Writes one section to a binary file: interfaces as they are named, packets as they come."""

    def __init__(self, file: _Sink) -> None:
        self._file = file
        self._interfaces = 0
        self._block(_SECTION, _SECTION_BODY.pack(_BYTE_ORDER_MAGIC, 1, 0, -1))

    def interface(self, name: str) -> int:
        """Describe one point of capture; the number to give to `packet`."""
        options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, _NANOSECONDS) + _option(_OPT_END, b"")
        self._block(_INTERFACE, _INTERFACE_BODY.pack(_LINKTYPE_ETHERNET, 0, _SNAPLEN) + options)
        self._interfaces += 1
        return self._interfaces - 1

    def packet(self, interface: int, t: Nanos, frame: bytes, comment: str = "") -> None:
        """One frame at lab time `t`; a comment is cut to the 65,535 octets of UTF-8 that an option holds."""
        head = _PACKET_BODY.pack(interface, t >> 32, t & 0xFFFFFFFF, len(frame), len(frame))
        options = _option(_OPT_COMMENT, _cut(comment)) + _option(_OPT_END, b"") if comment else b""
        self._block(_ENHANCED, head + _padded(frame) + options)

    def _block(self, kind: int, body: bytes) -> None:
        size = _WORD.pack(len(body) + 12)
        self._file.write(_WORD.pack(kind) + size + body + size)


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + _padded(value)


def _cut(text: str) -> bytes:
    octets = text.encode()
    return octets if len(octets) <= 0xFFFF else octets[:0xFFFF].decode(errors="ignore").encode()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) & 3)
