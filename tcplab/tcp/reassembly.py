"""Segments out of order: RFC 9293 3.10.7.4 step 7. The queue is in order and free of overlaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcplab.tcp import rcvbuf, seq
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq

SACKS: Final = 4
"""Linux TCP_NUM_SACKS."""
_EXPECTED: Final = 2
"""Linux TCP_SACK_BLOCKS_EXPECTED."""


def insert(tcb: Tcb, first: Seq, octets: bytes, fin: bool) -> tuple[Seq, Seq] | None:
    """Keep a segment beyond rcv_nxt. Returns the part that we had already, for D-SACK, or None."""
    end = seq.add(first, len(octets) + fin)
    duplicate: tuple[Seq, Seq] | None = None
    kept: list[tuple[Seq, bytes, bool]] = []
    for entry in tcb.ooo:
        start, held, held_fin = entry
        stop = seq.add(start, len(held) + held_fin)
        if not seq.after(stop, first) or not seq.before(start, end):
            kept.append(entry)
            continue
        low = seq.later(start, first)
        high = stop if seq.before(stop, end) else end
        duplicate = duplicate or (low, high)
        if not seq.after(start, first) and not seq.before(stop, end):
            return duplicate  # we have all of it
        if seq.before(first, start):  # keep what the new one has in front of the old, and the old
            octets, first = _merge(first, octets, start, held), first
        else:
            octets, first = _merge(start, held, first, octets), start
        fin = fin or held_fin
        end = seq.add(first, len(octets) + fin)
    _place(kept, (first, octets, fin))
    tcb.ooo = kept
    return duplicate


def _merge(first: Seq, octets: bytes, second: Seq, more: bytes) -> bytes:
    """Two overlapping runs as one; where both have an octet the first one's stands."""
    have = len(octets) - seq.diff(second, first)
    return octets + more[have:] if have < len(more) else octets


def _place(entries: list[tuple[Seq, bytes, bool]], new: tuple[Seq, bytes, bool]) -> None:
    at = len(entries)
    while at and seq.after(entries[at - 1][0], new[0]):
        at -= 1
    entries.insert(at, new)


def twice(tcb: Tcb) -> tuple[Seq, Seq] | None:
    """What waited and now came again in order: the first such run, for D-SACK (tcp_ofo_queue)."""
    first, octets, fin = tcb.ooo[0]
    if not seq.before(first, tcb.rcv_nxt):
        return None
    end = seq.add(first, len(octets) + fin)
    for more, octets, fin in tcb.ooo[1:]:
        if more != end:
            break
        end = seq.add(more, len(octets) + fin)
    return first, end if seq.before(end, tcb.rcv_nxt) else tcb.rcv_nxt


def advance(tcb: Tcb) -> bool:
    """Move to the receive queue what is in order now. True when the peer's FIN came in order with it."""
    fin = False
    waiting = sum(len(octets) for _, octets, _ in tcb.ooo)
    done = 0
    for first, octets, has_fin in tcb.ooo:
        if seq.after(first, tcb.rcv_nxt):
            break
        done += 1
        old = seq.diff(tcb.rcv_nxt, first)
        if old < len(octets):
            fresh = octets[old:]
            rcvbuf.moved(tcb, fresh, waiting)
            waiting -= len(octets)
            tcb.rcv_nxt = seq.add(tcb.rcv_nxt, len(fresh))
        fin = fin or has_fin
    tcb.ooo = tcb.ooo[done:]
    if not tcb.ooo:
        rcvbuf.settle(tcb)
    return fin


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
