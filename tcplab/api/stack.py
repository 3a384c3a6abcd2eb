"""What an engine needs of a host: a pure state machine that is told the time (sans I/O)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from tcplab.api.events import AnyEvent
from tcplab.api.views import HostView
from tcplab.units import Nanos

Emit = Callable[[AnyEvent], None]
"""Takes an event of the stack tier. A host emits only while its `tracing` is true."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A frame to put on the wire and the reason why; `why` is never empty."""

    frame: bytes
    why: str
    ref: str = ""
    rtx: bool = False


class Host(Protocol):
    """One machine on the lab's wire.

    After each call whoever drives empties `out` and looks at `deadline`. `call` runs one socket call and raises
    OSError with Linux's errno; BlockingIOError (EAGAIN, EINPROGRESS) means that it would block: `wait` then
    names the callback to run, once, when it is worth trying again.
    """

    name: str
    addr: int
    mac: bytes
    out: list[Outgoing]
    tracing: bool
    frame: int
    """Serial number of the frame being delivered, set by the driver before on_frame; for Dropped and Noted."""

    @property
    def deadline(self) -> Nanos:
        """Call on_timer no later than this; NEVER when nothing is armed. Exact: something is due then."""
        ...

    def on_frame(self, now: Nanos, frame: bytes) -> None:
        """A frame arrives at `now`."""
        ...

    def on_timer(self, now: Nanos) -> None:
        """A deadline has come: run all that is due at `now`."""
        ...

    def call(self, now: Nanos, op: str, *args: Any) -> Any:
        """One socket call."""
        ...

    def wait(self, fd: int, writable: bool, wake: Callable[[], None]) -> None:
        """Run `wake` once when trying again on `fd` makes sense."""
        ...

    def view(self, now: Nanos) -> HostView:
        """A snapshot at `now`."""
        ...

    def next_timer(self) -> str:
        """What the earliest deadline is, in words: `RTO a:40001`. Empty: nothing is armed."""
        ...
