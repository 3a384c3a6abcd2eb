"""What the application asked to be told of octets that it sent: MSG_ZEROCOPY's completions, SO_TIMESTAMPING's times.

Both come by the error queue (Linux sk_error_queue). A connection whose socket asked for neither has none of this.
"""

from __future__ import annotations

from collections import deque
from errno import ENOMSG
from typing import TYPE_CHECKING, Final, NamedTuple

from tcplab.tcp import seq
from tcplab.units import Nanos, Seq
from tcplab.wire import ipv4

if TYPE_CHECKING:
    from tcplab.tcp.tcb import Tcb

MSG_ZEROCOPY: Final = 0x4000000
TX_SOFTWARE, RX_SOFTWARE, SOFTWARE, OPT_ID, TX_SCHED, TX_ACK = 2, 8, 16, 0x80, 0x100, 0x200
OPT_TSONLY, OPT_ID_TCP, ALL_STAMPS = 0x800, 0x10000, 0x7FFFF
"""The flags of SO_TIMESTAMPING that count here, without SOF_TIMESTAMPING_, and the mask of those that Linux has."""
ORIGIN_TIMESTAMPING, ORIGIN_ZEROCOPY, COPIED = 4, 5, 1
SND, SCHED, ACK = 0, 1, 2
"""When: the segment left, it was handed down, it was acknowledged (SCM_TSTAMP_)."""
_RECORDED: Final = TX_SOFTWARE | TX_SCHED | TX_ACK
_MOST_PINNED: Final = 1 << 19
_OVERHEAD: Final = 832


class Notice(NamedTuple):
    """An entry of the error queue: struct sock_extended_err, the time if it has one, the octets that come back."""

    errno: int
    origin: int
    code: int
    info: int
    data: int
    at: Nanos | None = None
    octets: bytes = b""


class Buffer:
    """What one or several send() calls with MSG_ZEROCOPY lent: done when all before `end` is acknowledged."""

    __slots__ = ("end", "high", "low", "size")

    def __init__(self, end: Seq, number: int, size: int) -> None:
        self.end = end
        self.low = self.high = number
        self.size = size


class Stamp:
    """The last octet of a send() whose times are wanted: `kinds` are flags of SO_TIMESTAMPING."""

    __slots__ = ("key", "kinds", "octets")

    def __init__(self, key: Seq, kinds: int) -> None:
        self.key = key
        self.kinds = kinds
        self.octets = b""


class Notices:
    """The error queue of a socket, and what will come to it."""

    __slots__ = ("base", "buffers", "flags", "next_id", "queue", "stamps", "zerocopy")

    def __init__(self, zerocopy: bool = False, flags: int = 0) -> None:
        self.zerocopy = zerocopy
        self.flags = flags
        """SO_TIMESTAMPING."""
        self.base: Seq = 0
        """OPT_ID counts octets from here (sk_tskey)."""
        self.next_id = 0
        """The number of the next send() with MSG_ZEROCOPY (sk_zckey)."""
        self.buffers: list[Buffer] = []
        self.stamps: list[Stamp] = []
        self.queue: deque[Notice] = deque()

    # --- what TCP tells ---

    def written(self, tcb: Tcb, size: int, flags: int) -> None:
        """send() took `size` octets, the last of them just before `tcb.data_end`."""
        self.lent(tcb, size, flags)
        kinds = self.flags & _RECORDED
        if not kinds:
            return
        key = seq.add(tcb.data_end, -1)
        last = self.stamps[-1] if self.stamps else None
        if last is not None and tcb.skbs and not seq.before(last.key, tcb.skbs[-1]):
            last.key, last.kinds = key, last.kinds | kinds  # an sk_buff has one stamp
        else:
            last = Stamp(key, kinds)
            self.stamps.append(last)
        if not tcb.skbs:  # it left while it was written: only its ACK is still to come
            last.octets = bytes(tcb.sndq[-min(size, tcb.mss) :])

    def lent(self, tcb: Tcb, size: int, flags: int) -> None:
        """The last `size` octets may have been lent. While those before are unsent, one entry does for both.

        Linux msg_zerocopy_realloc.
        """
        if not flags & MSG_ZEROCOPY or not self.zerocopy:
            return
        end = tcb.data_end
        last = self.buffers[-1] if self.buffers else None
        joined = last is not None and tcb.skbs and seq.add(last.end, size) == end and seq.after(last.end, tcb.skbs[-1])
        if last is not None and joined and last.size + size <= _MOST_PINNED:
            last.end, last.high, last.size = end, self.next_id, last.size + size
        else:
            self.buffers.append(Buffer(end, self.next_id, size))
        self.next_id = (self.next_id + 1) & 0xFFFFFFFF

    def sent(self, tcb: Tcb, first: Seq, payload: bytes, segment: bytes) -> None:
        """`payload`, from `first` on, leaves in `segment`, the first time or again."""
        end = seq.add(first, len(payload))
        for stamp in self.stamps:
            if not seq.before(stamp.key, end):
                return
            if seq.before(stamp.key, first):
                continue
            stamp.octets = payload
            packet = ipv4.build(
                tcb.laddr, tcb.raddr, ipv4.PROTO_TCP, segment, tcb.ident, tcb.host.sysctl.ip_default_ttl
            )
            if stamp.kinds & TX_SCHED:
                self._tell_time(tcb, stamp, SCHED, packet)
            if stamp.kinds & TX_SOFTWARE:
                self._tell_time(tcb, stamp, SND, packet)

    def acked(self, tcb: Tcb) -> None:
        """The peer acknowledged up to snd_una."""
        while self.stamps and seq.before(self.stamps[0].key, tcb.snd_una):
            stamp = self.stamps.pop(0)
            if stamp.kinds & TX_ACK:
                self._tell_time(tcb, stamp, ACK, stamp.octets)
        while self.buffers and not seq.after(self.buffers[0].end, tcb.snd_una):
            self._give_back(tcb, self.buffers.pop(0))

    def purge(self, tcb: Tcb) -> None:
        """The connection is over: lent buffers come back all the same (tcp_write_queue_purge)."""
        self.stamps.clear()
        while self.buffers:
            self._give_back(tcb, self.buffers.pop(0))

    # --- the queue ---

    def _tell_time(self, tcb: Tcb, stamp: Stamp, kind: int, octets: bytes) -> None:
        if self.flags & OPT_TSONLY:
            octets = b""
        if sum(_OVERHEAD + len(notice.octets) for notice in self.queue) + _OVERHEAD + len(octets) >= tcb.rcvbuf:
            return  # sock_queue_err_skb: it counts as received
        key = seq.diff(stamp.key, self.base) & 0xFFFFFFFF if self.flags & OPT_ID else 0
        self._queue(tcb, Notice(ENOMSG, ORIGIN_TIMESTAMPING, 0, kind, key, tcb.host.now, octets))

    def _give_back(self, tcb: Tcb, buffer: Buffer) -> None:
        """Completions in a row are one entry (skb_zerocopy_notify_extend); octets are always copied here."""
        if self.queue:
            last = self.queue[-1]
            if last.origin == ORIGIN_ZEROCOPY and (last.data + 1) & 0xFFFFFFFF == buffer.low:
                buffer.low = self.queue.pop().info
        self._queue(tcb, Notice(0, ORIGIN_ZEROCOPY, COPIED, buffer.low, buffer.high))

    def _queue(self, tcb: Tcb, notice: Notice) -> None:
        self.queue.append(notice)
        if tcb.owner is not None:
            tcb.owner.noticed()
