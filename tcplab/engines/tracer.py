"""The trace of a run: frames become Sent events, events become a list, a capture, and news for those who subscribed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial

from tcplab.api.events import AnyEvent, Lost, Sent
from tcplab.api.stack import Outgoing
from tcplab.units import Nanos
from tcplab.wire import ipv4
from tcplab.wire.pcapng import Writer
from tcplab.wire.text import Described, describe

Direction = tuple[int, int, int, int]
"""Source address and port, destination address and port."""


class Tracer:
    """Collects the events of a run, in the order in which they happened."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self._listeners: list[Callable[[AnyEvent], None]] = []
        self._isn: dict[Direction, int] = {}
        """The initial sequence number of each direction whose SYN was seen."""

    def subscribe(self, listener: Callable[[AnyEvent], None]) -> None:
        """Call `listener` with each event as it is appended."""
        self._listeners.append(listener)

    def emit(self, event: AnyEvent) -> None:
        """Append an event."""
        self.events.append(event)
        for listener in self._listeners:
            listener(event)

    def sent(self, now: Nanos, number: int, src: str, dst: str, out: Outgoing) -> Described:
        """Frame `number` was put on the wire: read its headers, and append a Sent event. Returns what was read."""
        frame = out.frame
        segment = describe(frame, partial(self._bases, src))
        if segment.proto != "tcp":
            self.emit(Sent(now, number, src, dst, frame, segment.proto, segment.text, out.why, out.ref, out.rtx))
            return segment
        self.emit(
            Sent(
                now,
                number,
                src,
                dst,
                frame,
                segment.proto,
                segment.text,
                out.why,
                out.ref,
                out.rtx,
                conn=f"{ipv4.text(segment.saddr)}:{segment.sport}>{ipv4.text(segment.daddr)}:{segment.dport}",
                flags=segment.flags,
                seq=segment.seq,
                ack=segment.ack,
                rseq=segment.rseq,
                rack=segment.rack,
                win=segment.win,
                len=segment.len,
                opts=segment.opts,
            )
        )
        return segment

    def _bases(
        self, src: str, saddr: int, sport: int, daddr: int, dport: int, flags: str, number: int
    ) -> tuple[int, int]:
        """The initial sequence numbers of this direction and of the other; 0 where no SYN was seen.

        A SYN of the third party gives a base only to a direction that has none: a forged one does not renumber the
        connection that it attacks.
        """
        there = (saddr, sport, daddr, dport)
        if "S" in flags and (src != "x" or there not in self._isn):
            self._isn[there] = number
        return self._isn.get(there, 0), self._isn.get((daddr, dport, saddr, sport), 0)


def capture(events: Iterable[AnyEvent]) -> bytes:
    """A pcapng of all frames: when each was sent, on an interface named after its sender, the reason as comment."""
    lost = {event.n: event.why for event in events if isinstance(event, Lost)}
    file = io.BytesIO()
    writer = Writer(file)
    interfaces = {name: writer.interface(name) for name in ("a", "b", "x")}
    for event in events:
        if isinstance(event, Sent):
            comment = f"{event.why}; lost: {lost[event.n]}" if event.n in lost else event.why
            writer.packet(interfaces[event.src], event.t, event.frame, comment)
    return file.getvalue()
