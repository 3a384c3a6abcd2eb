"""A connection as the host's tables hold it: the variables with their two entrances."""

from __future__ import annotations

from tcplab.tcp import input as segment_input
from tcplab.tcp import timeouts
from tcplab.tcp.tcb import Tcb
from tcplab.wire.tcp import Segment


class Connection(Tcb):
    """A Tcb that the demultiplexer and the timer heap can call (`tcplab.tcp.env.Endpoint`)."""

    __slots__ = ()

    def on_segment(self, seg: Segment) -> None:
        segment_input.segment_arrives(self, seg)

    def on_timer(self) -> None:
        timeouts.on_timer(self)
