"""Messages as bytes on a stream: a 4-byte big-endian length, then one msgpack object. See api/messages.py."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec

from tcplab.api.messages import Down, Up

LONGEST_DOWN: Final = 64 << 10
"""Octets of the longest message that an engine reads."""
LONGEST_UP: Final = 256 << 20
"""Octets of the longest message that a screen reads."""

_HEADER: Final = 4
_ENCODER: Final = msgspec.msgpack.Encoder()

Message = TypeVar("Message")


class FramingError(Exception):
    """What came is not a message, or too long; nothing after it can be trusted."""


def pack(message: Any) -> bytes:
    """The octets of one message, length first."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_HEADER, "big") + body


class Unpacker(Generic[Message]):
    """Octets in, messages out, at most `longest` octets each."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[Message], longest: int) -> None:
        self._decoder = decoder
        self._longest = longest
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> None:
        """Take what came, in any portions."""
        self._buffer += octets

    def next(self) -> Message | None:
        """The next whole message; None: more must come first. Raises FramingError."""
        if len(self._buffer) < _HEADER:
            return None
        length = int.from_bytes(self._buffer[:_HEADER], "big")
        if length > self._longest:
            raise FramingError(f"a message of {length} octets; at most {self._longest} are read")
        if len(self._buffer) < _HEADER + length:
            return None
        body = bytes(self._buffer[_HEADER : _HEADER + length])
        del self._buffer[: _HEADER + length]
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FramingError(f"not a message: {error}") from error


def down() -> Unpacker[Down]:
    """For the engine's end."""
    return Unpacker(msgspec.msgpack.Decoder(Down), LONGEST_DOWN)


def up() -> Unpacker[Up]:
    """For the end of a screen or a second terminal."""
    return Unpacker(msgspec.msgpack.Decoder(Up), LONGEST_UP)
