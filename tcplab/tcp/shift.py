"""sk_buffs of the retransmission queue: runs of segments that Linux keeps, splits and joins as one.

What is SACKed in part is split where segments meet (tcp_match_skb_to_sack); what is SACKed beside an sk_buff that is
SACKed already is shifted onto it (tcp_shift_skb_data).
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import seq
from tcplab.tcp.acked import Acked
from tcplab.tcp.tagging import tag_one
from tcplab.tcp.tcb import SentSeg, Tcb
from tcplab.units import Seq

OUTSIDE, INSIDE, MISFIT = 0, 1, -1
"""Of a block: not in it; in it; it ends within the first segment."""
_FALLBACK: Final = -1
_MOST_OCTETS, _MOST_SEGMENTS = 65535 * 8, 65535


def end_of(tcb: Tcb, first: int) -> int:
    """Where the sk_buff ends that begins at `first`: the place of the next one."""
    rtx = tcb.rtx
    stop = first + 1
    while stop < len(rtx) and not rtx[stop].starts:
        stop += 1
    return stop


def start_of(tcb: Tcb, place: int) -> int:
    """Where the sk_buff begins that the segment at `place` is of."""
    while place and not tcb.rtx[place].starts:
        place -= 1
    return place


def length(entry: SentSeg) -> int:
    """Its octets: a FIN counts in sequence space only."""
    return seq.diff(entry.end, entry.seq) - entry.fin


def match(tcb: Tcb, first: int, left: Seq, right: Seq) -> int:
    """Does the sk_buff lie in the block? If only a part does, it is split by whole segments (tcp_match_skb_to_sack)."""
    rtx = tcb.rtx
    stop = end_of(tcb, first)
    head, end = rtx[first], rtx[stop - 1].end
    begins = not seq.after(left, head.seq)
    if begins and not seq.before(right, end):
        return INSIDE
    if stop - first == 1 or not seq.after(end, left):
        return OUTSIDE
    size = length(head)
    if begins:
        count = min(seq.diff(right, head.seq) // size, stop - first - 1)
        if not count:
            return MISFIT
    else:
        count = max(-(-seq.diff(left, head.seq) // size), 1)
        if first + count >= stop:
            return OUTSIDE
    rtx[first + count].starts = True
    return INSIDE if begins else OUTSIDE


def onto_previous(tcb: Tcb, first: int, acked: Acked, left: Seq, right: Seq, dup: bool) -> int:
    """Join what is SACKed of the sk_buff at `first` to the one before it, if that is SACKed (tcp_shift_skb_data).

    The place behind what was joined; `first`: nothing to do here; -1: it is not possible.
    """
    count = _may_shift(tcb, first, left, right, dup)
    if count <= 0:
        if count < 0:
            tcb.host.counters["TcpExtTCPSackShiftFallback"] += 1
        return first if not count else _FALLBACK
    whole = _shifted(tcb, first, count, acked, dup)
    after = first + count
    rtx = tcb.rtx
    if not whole or after >= len(rtx):
        return after
    following = rtx[after]  # a hole is filled: the next one may join as well
    stop = end_of(tcb, after)
    joins = following.sacked and not following.lost and not following.retrans and not rtx[after - 1].eor
    if joins and length(following) == length(rtx[first]):
        _shifted(tcb, after, stop - after, acked, False)
        return stop
    return after


def _may_shift(tcb: Tcb, first: int, left: Seq, right: Seq, dup: bool) -> int:
    """How many segments may be shifted; 0: none lies in the block; below 0: it is not possible."""
    rtx = tcb.rtx
    head = rtx[first]
    stop = end_of(tcb, first)
    if not dup and head.retrans and not head.lost:  # a repeat that is on the way is not forgotten
        return _FALLBACK
    if not length(head) or head.syn or not first or not seq.after(rtx[stop - 1].end, tcb.snd_una):
        return _FALLBACK
    last = rtx[first - 1]
    if not last.sacked or last.lost or last.retrans or last.eor:
        return _FALLBACK
    count = stop - first
    begins = not seq.after(left, head.seq)
    if not begins or seq.before(right, rtx[stop - 1].end):
        if not seq.after(rtx[stop - 1].end, left) or count == 1:
            return 0
        if not begins:
            return _FALLBACK
        count = min(seq.diff(right, head.seq) // length(head), count - 1)
    before = start_of(tcb, first - 1)
    if length(head) != length(rtx[before]):
        return _FALLBACK
    octets = seq.diff(rtx[first + count - 1].end, rtx[before].seq) if count else 0
    if octets >= _MOST_OCTETS or first + count - before > _MOST_SEGMENTS:
        return _FALLBACK
    return count


def _shifted(tcb: Tcb, first: int, count: int, acked: Acked, dup: bool) -> bool:
    """Move `count` segments at `first` to the sk_buff before. True: that was all of theirs (tcp_shifted_skb)."""
    rtx = tcb.rtx
    stop = end_of(tcb, first)
    last, ever = rtx[first - 1], rtx[first].ever
    before = start_of(tcb, first - 1)
    tag_one(tcb, acked, first, first + count, dup)
    whole = first + count == stop
    push, last.push = last.push, False  # one sk_buff, one PSH: at its end
    rtx[first + count - 1].push = push or (whole and rtx[first + count - 1].push)
    rtx[first].starts = False
    if ever != last.ever:
        for entry in rtx[before : first + count]:
            entry.ever = True
    if whole:
        tcb.host.counters["TcpExtTCPSackMerged"] += 1
    else:
        rtx[first + count].starts = True
        tcb.host.counters["TcpExtTCPSackShifted"] += 1
    return whole


def realign(tcb: Tcb, first: int, stop: int, number: Seq) -> int:
    """The ACK ends within a segment of the sk_buff `first` .. `stop`: what is left is cut into segments anew from there
    on (tcp_trim_head). How many segments it has no more: the first ones.
    """
    old = tcb.rtx[first:stop]
    size, tail = length(old[0]), old[-1]
    left = seq.diff(seq.add(tail.end, -tail.fin), number)
    kept = old[-max(-(-left // size), 1) :]
    for entry in kept:
        entry.seq = number
        if entry is not tail:
            number = entry.end = seq.add(number, size)
    kept[0].starts = True
    return len(old) - len(kept)


def fit(tcb: Tcb, first: int, mss: int) -> None:
    """The sk_buff at `first` leaves again: in segments as large as they may be now (tcp_set_skb_tso_segs)."""
    size = length(tcb.rtx[first])
    if size == mss:
        return
    stop = end_of(tcb, first)
    if size > mss or stop - first > 1:
        cut(tcb, first, stop, mss, mss)


def cut(tcb: Tcb, first: int, stop: int, size: int, mss: int) -> None:
    """Make of the segments `first` .. `stop` one of `size` octets, and others of `mss` (tcp_fragment)."""
    old = tcb.rtx[first:stop]
    head, tail = old[0], old[-1]
    begin, octets_end = head.seq, seq.add(tail.end, -tail.fin)
    fresh: list[SentSeg] = []
    while begin != octets_end:
        end = seq.add(begin, min(size, seq.diff(octets_end, begin)))
        piece = old[len(fresh)] if len(fresh) < len(old) else SentSeg(begin, end, head.sent)
        piece.seq, piece.end, piece.starts = begin, end, not fresh
        piece.sacked, piece.lost, piece.retrans, piece.ever = head.sacked, head.lost, head.retrans, head.ever
        piece.sent, piece.delivered, piece.order = head.sent, head.delivered, head.order
        piece.delivered_at, piece.first_tx, piece.app_limited = head.delivered_at, head.first_tx, head.app_limited
        fresh.append(piece)
        begin, size = end, mss
    last, ends = fresh[-1], (tail.fin, tail.push, tail.eor)
    for piece in fresh:
        piece.fin = piece.push = piece.eor = False
    last.fin, last.push, last.eor = ends
    last.end = seq.add(octets_end, last.fin)
    more = len(fresh) - len(old)
    tcb.lost_out += more * head.lost
    tcb.retrans_out += more * head.retrans
    tcb.sacked_out += more * head.sacked
    tcb.rtx[first:stop] = fresh
    if head in tcb.tsorted:
        order = [entry for entry in tcb.tsorted if entry is head or entry not in old]
        place = order.index(head) + 1
        order[place:place] = fresh[1:]
        tcb.tsorted = dict.fromkeys(order)
