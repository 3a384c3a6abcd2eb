"""The fabric of the `sim` engine: frames cross in memory, no privileges, any system."""

from __future__ import annotations

from tcplab.engines.fabric import PEER


class MemoryFabric:
    """Frames come out as they went in, in the same order; nothing comes from outside."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, bytes]] = []

    def send(self, port: str, frame: bytes) -> None:
        self._sent.append((PEER[port], frame))

    def drain(self) -> list[tuple[str, bytes]]:
        sent, self._sent = self._sent, []
        return sent

    def foreign(self) -> list[tuple[str, bytes]]:
        return []

    def filenos(self) -> list[int]:
        return []

    def close(self) -> None:
        self._sent.clear()
