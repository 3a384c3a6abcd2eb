"""What TCP needs of the machine it runs on. `tcplab.host.machine.Machine` is the one that provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tcplab.api.events import AnyEvent
from tcplab.rng import Stream
from tcplab.tcp.isn import IsnSource
from tcplab.tcp.sysctl import Sysctl
from tcplab.units import Nanos, Seq
from tcplab.wire.tcp import Segment

if TYPE_CHECKING:
    from tcplab.tcp.fastopen import Memory
    from tcplab.tcp.pmtu import Learned

FlowKey: TypeAlias = tuple[int, int, int]
"""(remote address, remote port, local port): a host has one address of its own."""


Entry: TypeAlias = list[Any]
"""In the host's timer heap: [when, serial number, Timed]; None instead of the last: nothing happens then any more."""


class Timed(Protocol):
    """Something with a deadline, as the host's timer heap sees it."""

    deadline: Nanos
    entry: Entry | None
    """Where the heap holds it now."""

    def on_timer(self) -> None:
        """The deadline has come."""
        ...


class Endpoint(Timed, Protocol):
    """What the demultiplexer finds under a flow key: a connection, a half-open request, a TIME_WAIT bucket."""

    @property
    def label(self) -> str:
        """`10.77.0.1:40001>10.77.0.2:80`"""
        ...

    def on_segment(self, seg: Segment) -> None:
        """A segment for this flow."""
        ...


class Env(Protocol):
    """The machine's side. `now` is set before TCP is entered and does not move while it runs."""

    name: str
    now: Nanos
    addr: int
    mtu: int
    path_mtus: dict[int, Learned]
    routes: int
    gso_size: int
    frame: int
    tracing: bool
    sysctl: Sysctl
    isn: IsnSource
    chance: Stream
    fastopen: Memory
    counters: dict[str, int]
    flows: dict[FlowKey, Endpoint]

    def emit(self, event: AnyEvent) -> None:
        """Tell of a decision."""
        ...

    def listens(self, port: int) -> bool:
        """Whether anybody listens there."""
        ...

    def reopen(self, seg: Segment, src: int, isn: Seq) -> None:
        """A SYN took the place of a TIME_WAIT bucket: give it to the listener, with the ISN to answer with."""
        ...

    def schedule(self, item: Timed) -> None:
        """Tell the heap that `item.deadline` may have become earlier."""
        ...

    def unschedule(self, item: Timed) -> None:
        """`item` is over: the heap lets it go, so that its memory is free at once."""
        ...

    def send_tcp(
        self,
        dst: int,
        segment: bytes,
        ident: int,
        why: str,
        ref: str = "",
        rtx: bool = False,
        tos: int = 0,
        df: bool = True,
    ) -> None:
        """Put one TCP segment into an IP packet, with type of service and DF, and send it."""
        ...

    def reply_rst(self, seg: Segment, src: int, why: str, ref: str = "") -> None:
        """RFC 9293 3.10.7.1: the RST that answers `seg`, which came from address `src`."""
        ...

    def dropped(self, label: str, reason: str, counter: str = "", why: str = "", ref: str = "") -> None:
        """The segment at hand is ignored: count it and say why."""
        ...
