"""The fabric of the `veth` engine: packet sockets on the four ends of two veth pairs.

A frame written to one end of a veth pair is as a rule readable at the other end when `send` returns: the receiving
softirq runs on the way out of the system call. This is relied upon for speed, never for truth: every frame that was
sent is recognised when it comes out, octet for octet, and `carry` does not return before all of them have. What comes
out and was not sent here is foreign: it is the kernel's, on behalf of a real program in that namespace.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from tcplab.engines.errors import EngineError
from tcplab.engines.fabric import PEER

PATIENCE: Final = 2.0
"""Seconds of wall time to wait for a frame that has not come out."""
BURST: Final = 64
"""Frames sent before the far ends are read, so that no receive buffer overflows (the smallest default holds ~90)."""
HELD: Final = 4096
"""Foreign frames kept at most; the oldest is lost, as in any full queue."""

_ROOM: Final = 65536  # more than a frame: a program's frame may be longer than ours if it turns an offload on


class VethFabric:
    """`sockets`: port -> non-blocking packet socket bound to that end. The fabric owns and closes them."""

    def __init__(self, sockets: dict[str, socket.socket]) -> None:
        self._sockets = sockets
        self._expected: dict[str, deque[bytes]] = {port: deque() for port in sockets}
        self._foreign: deque[tuple[str, bytes]] = deque(maxlen=HELD)

    def carry(self, port: str, frames: Sequence[bytes]) -> None:
        send, expected = self._sockets[port].send, self._expected[PEER[port]]
        for frame in frames:
            try:
                send(frame)
            except OSError as error:
                raise EngineError(f"the veth fabric cannot send at {port}: {error.strerror}") from error
            expected.append(frame)
            if len(expected) >= BURST:
                self._receive(PEER[port], expected)
        self._receive(PEER[port], expected)

    def foreign(self) -> list[tuple[str, bytes]]:
        for port in ("wire:a", "wire:b"):
            while (frame := self._read(port)) is not None:
                self._foreign.append((port, frame))
        frames = list(self._foreign)
        self._foreign.clear()
        return frames

    def filenos(self) -> list[int]:
        return [self._sockets[port].fileno() for port in ("wire:a", "wire:b")]

    def close(self) -> None:
        for end in self._sockets.values():
            end.close()

    def _receive(self, port: str, expected: deque[bytes]) -> None:
        """Read until every frame that was sent has come out."""
        while expected:
            frame = self._read(port)
            if frame is None:
                self._await(port, len(expected))
            elif frame == expected[0]:
                expected.popleft()
            elif frame in expected:  # two processors may hand over neighbours in the other order
                expected.remove(frame)
            elif port.startswith("wire:"):
                self._foreign.append((port, frame))

    def _read(self, port: str) -> bytes | None:
        try:
            return self._sockets[port].recv(_ROOM)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EngineError(f"the veth fabric cannot receive at {port}: {error.strerror}") from error

    def _await(self, port: str, missing: int) -> None:
        """Wait until the port is readable; EngineError after PATIENCE."""
        poller = select.poll()
        poller.register(self._sockets[port], select.POLLIN)
        if not poller.poll(PATIENCE * 1000):
            raise EngineError(
                f"the veth fabric lost {missing} frame(s) between {PEER[port]} and {port}: "
                f"they were sent {PATIENCE:g} s ago and have not come out"
            )
