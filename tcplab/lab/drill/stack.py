"""What a script is played against: a TCP, and a clock. `ours` and `kernel` are the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tcplab.lab.drill.shell import Deed

LOCAL = "192.168.0.1"
REMOTE = "192.0.2.1"
PORT = 8080
UNSPECIFIED = ("unspec", 0)
"""packetdrill's defaults: the host under test, its peer, and the port that bind() and connect() take for `...`.
UNSPECIFIED is an address of the family AF_UNSPEC, which dissolves the association."""


@dataclass(slots=True)
class Sniffed:
    """An IP packet that the host sent; `at` in microseconds from the start; `why`: its reason, where it is known."""

    at: int
    packet: bytes
    why: str = ""


@dataclass(slots=True)
class Outcome:
    """What a call gave: its result or its errno; `out`: what it wrote into its arguments, by their names."""

    value: int = 0
    errno: int = 0
    out: dict[str, Any] = field(default_factory=dict)


class Pending(Protocol):
    """A call on its way."""

    outcome: Outcome | None
    """None: it has not ended."""
    at: int
    """When it ended, microseconds from the start."""


class Stack(Protocol):
    """A host with one address, seen from its wire. Times are microseconds from the script's start."""

    exact: bool
    """Its clock is virtual: nothing is late by accident."""
    local: str
    remote: str

    def now(self) -> int:
        """The time."""
        ...

    def advance(self, until: int) -> None:
        """Let time pass; nothing happens if `until` is over."""
        ...

    def inject(self, packet: bytes) -> None:
        """An IP packet arrives at the host."""
        ...

    def sniff(self, until: int) -> Sniffed | None:
        """The next packet that the host sent, oldest first; None when none comes before `until`."""
        ...

    def start(self, name: str, args: dict[str, Any]) -> Pending:
        """Begin a system call. NotImplementedError: there is no such call here."""
        ...

    def finish(self, pending: Pending, until: int) -> None:
        """Let time pass until the call ends, but not beyond `until`."""
        ...

    def info(self, fd: int) -> dict[str, int]:
        """TCP_INFO of a socket; empty when it has none."""
        ...

    def configure(self, deed: Deed) -> str:
        """Do what a command asks for; a note about what it could not mean here, or empty."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


Make = Callable[[dict[str, str]], Stack]
"""A fresh host for one script, with the script's options."""
