"""The fabric of the `sim` engine: frames cross in memory, no privileges, any system."""

from __future__ import annotations

from collections.abc import Sequence


class MemoryFabric:
    """What goes in is out: the frames are the same octets on both sides. Nothing comes from outside."""

    def carry(self, port: str, frames: Sequence[bytes]) -> None:
        """There is nothing to wait for."""

    def foreign(self) -> list[tuple[str, bytes]]:
        return []

    def filenos(self) -> list[int]:
        return []

    def close(self) -> None:
        """Nothing is held."""
