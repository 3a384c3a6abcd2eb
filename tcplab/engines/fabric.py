"""What carries frames between the hosts and the wire: four ports, two hops, `a - wire:a` and `wire:b - b`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tcplab.engines.errors import EngineError

PORTS: Final = ("a", "wire:a", "wire:b", "b")
PEER: Final = {"a": "wire:a", "wire:a": "a", "b": "wire:b", "wire:b": "b"}
"""The other end of each port's hop."""

LONGEST: Final = 1514
"""Octets of a frame: MTU 1500 and an Ethernet header."""
SHORTEST: Final = 14
_VLAN: Final = (b"\x81\x00", b"\x88\xa8")


class Fabric(Protocol):
    """Four ports. The clock may move when `carry` has returned, not before."""

    def carry(self, port: str, frames: Sequence[bytes]) -> None:
        """Put frames into a port: all of them are out at its peer, as they went in, when this returns."""
        ...

    def foreign(self) -> list[tuple[str, bytes]]:
        """Frames that came out at the wire's ports and were sent by nobody in the lab, in the order of arrival."""
        ...

    def filenos(self) -> list[int]:
        """Descriptors that become readable when foreign frames wait."""
        ...

    def close(self) -> None: ...


def check_frame(frame: bytes) -> None:
    """Refuse with EngineError what not every fabric can carry as it is, so that all carry the same."""
    if not SHORTEST <= len(frame) <= LONGEST:
        raise EngineError(f"a frame of {len(frame)} octets does not fit the wire: {SHORTEST} to {LONGEST} do")
    if frame[12:14] in _VLAN:
        raise EngineError("the wire carries no VLAN tags: Linux takes them off before a packet socket sees the frame")
