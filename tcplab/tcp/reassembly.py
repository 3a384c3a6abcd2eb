"""Segments out of order: RFC 9293 3.10.7.4 step 7 (Linux tcp_data_queue_ofo, tcp_ofo_queue)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcplab.tcp import rcvbuf, sack, seq
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq

SACKS: Final = 4
"""Linux TCP_NUM_SACKS."""
_EXPECTED: Final = 2
"""Linux TCP_SACK_BLOCKS_EXPECTED."""


class Waiting:
    """A segment that came too early (an sk_buff in Linux's out_of_order_queue)."""

    __slots__ = ("end", "fin", "memory", "octets", "room", "seq")

    def __init__(self, first: Seq, octets: bytes, fin: bool, memory: int, room: int) -> None:
        self.seq = first
        self.end = seq.add(first, len(octets) + fin)
        self.octets = octets
        self.fin = fin
        self.memory = memory
        self.room = room
        """So much of its memory is free: what follows it may be copied there."""


def insert(tcb: Tcb, first: Seq, octets: bytes, fin: bool, header: int = rcvbuf.HEADERS) -> None:
    """Keep a segment beyond rcv_nxt, and tell of what came twice (tcp_data_queue_ofo).

    It may overlap those before and behind it; only what it covers is thrown away.
    """
    new = Waiting(first, octets, fin, *rcvbuf.truesize(len(octets) + header))
    queue = tcb.ooo = list(tcb.ooo)
    at = len(queue)
    while at and seq.after(queue[at - 1].seq, first):
        at -= 1
    if at:
        old = queue[at - 1]
        if seq.before(first, old.end):
            if not seq.after(new.end, old.end):
                tcb.host.counters["TcpExtTCPOFOMerge"] += 1
                sack.duplicate(tcb, first, new.end, old=False)
                return
            if old.seq == first:
                at -= 1  # it is one of those that the new one covers
            else:
                sack.duplicate(tcb, first, old.end, old=False)
        elif old.end == first and len(octets) <= old.room:
            _coalesce(tcb, old, new)
            return
    covered = at
    while covered < len(queue) and seq.after(new.end, queue[covered].seq):
        old = queue[covered]
        if seq.before(new.end, old.end):
            sack.extend(tcb, old.seq, new.end)
            break
        sack.extend(tcb, old.seq, old.end)
        tcb.host.counters["TcpExtTCPOFOMerge"] += 1
        tcb.rmem_alloc -= old.memory
        covered += 1
    queue[at:covered] = [new]
    if tcb.sack_ok:
        rcvbuf.grow(tcb, len(octets))
    tcb.rmem_alloc += new.memory


def _coalesce(tcb: Tcb, old: Waiting, new: Waiting) -> None:
    """A short segment fits into the room that the one before it left (tcp_ooo_try_coalesce)."""
    old.octets += new.octets
    old.end = new.end
    old.fin = old.fin or new.fin
    old.room -= len(new.octets)
    if tcb.sack_ok:
        rcvbuf.grow(tcb, len(new.octets))
    tcb.host.counters["TcpExtTCPRcvCoalesce"] += 1


def advance(tcb: Tcb) -> bool:
    """Move to the receive queue what is in order now, and tell of what of it came again in order (tcp_ofo_queue).

    True when the peer's FIN came in order with it.
    """
    fin = False
    reached = tcb.rcv_nxt
    done = 0
    for held in tcb.ooo:
        if seq.after(held.seq, tcb.rcv_nxt):
            break
        if seq.before(held.seq, reached):
            sack.extend(tcb, held.seq, held.end if seq.before(held.end, reached) else reached)
        done += 1
        if not seq.after(held.end, tcb.rcv_nxt):
            tcb.rmem_alloc -= held.memory
            continue
        old = seq.diff(tcb.rcv_nxt, held.seq)
        rcvbuf.moved(tcb, held.octets[old:] if old else held.octets, held.memory, held.room, not old)
        tcb.rcv_nxt = seq.add(held.end, -held.fin)  # whoever takes the FIN counts it
        fin = held.fin
        if fin:
            break
    tcb.ooo = tcb.ooo[done:]
    return fin


def purge(tcb: Tcb) -> None:
    """Nothing waits any more."""
    tcb.rmem_alloc -= sum(held.memory for held in tcb.ooo)
    tcb.ooo = ()


def report(tcb: Tcb, first: Seq, end: Seq, flush: Callable[[], None]) -> None:
    """Keep the SACK blocks, the one that grew last first (RFC 2018 section 4, tcp_sack_new_ofo_skb).

    Only `SACKS` are kept: of what fell out, the peer hears again when it grows. `flush`: an ACK that waits must leave.
    """
    sacks = tcb.sacks = list(tcb.sacks)
    at = 0
    for left, right in sacks:
        if not seq.after(first, right) and not seq.before(end, left):
            first = left if seq.before(left, first) else first
            end = seq.later(right, end)
            sacks[at] = (first, end)
            break
        at += 1
    if at >= _EXPECTED:
        flush()
    for left, right in sacks[at + 1 :]:  # it may have grown into others
        if not seq.after(first, right) and not seq.before(end, left):
            first = left if seq.before(left, first) else first
            end = seq.later(right, end)
    rest = [block for block in sacks if seq.before(block[0], first) or seq.after(block[1], end)]
    tcb.sacks = [(first, end), *rest][:SACKS]


def forget(tcb: Tcb) -> None:
    """Blocks that rcv_nxt has reached are reported no more (tcp_sack_remove)."""
    tcb.sacks = [block for block in tcb.sacks if seq.after(block[0], tcb.rcv_nxt)] if tcb.ooo else ()
