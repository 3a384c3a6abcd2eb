"""Sending again: Linux tcp_retransmit_skb, tcp_retrans_try_collapse, tcp_xmit_retransmit_queue."""

from __future__ import annotations

from tcplab.api.states import State
from tcplab.tcp import castate, output, pmtu, seq, timers, tso
from tcplab.tcp.tcb import LOSS, REO, SentSeg, Tcb
from tcplab.wire.tcp import ACK, FIN, PSH


def lost_ones(tcb: Tcb, why: str, ref: str) -> None:
    """Repeat what is lost, the first first, as far as cwnd goes (tcp_xmit_retransmit_queue)."""
    rtx = tcb.rtx
    rearm = False
    at = 0
    most = tso.most(tcb, output.current_mss(tcb))
    burst = 0
    while at < len(rtx) and tcb.retrans_out < tcb.lost_out:
        room = tcb.cwnd - tcb.in_flight
        if room <= 0:
            break
        entry = rtx[at]
        if not entry.lost or entry.retrans:
            at += 1
            burst = 0
            continue
        if not burst or entry.starts:  # so many of an sk_buff leave together, and are one from now on
            burst = min(room, most)
            entry.starts = True
        if not segment(tcb, at, why, ref):
            break
        burst -= 1
        lossy = tcb.ca_state == LOSS
        tcb.host.counters["TcpExtTCPSlowStartRetrans" if lossy else "TcpExtTCPFastRetrans"] += 1
        if castate.in_reduction(tcb):
            tcb.prr_out += 1
        if not at and timers.pending(tcb) != REO:
            rearm = True
        at += 1
        if not burst and at < len(rtx):
            rtx[at].starts = True
    if rearm:
        timers.arm_rto(tcb)


def segment(tcb: Tcb, at: int, why: str, ref: str) -> bool:
    """Repeat the segment at `at` of the queue (tcp_retransmit_skb). False: it may not leave."""
    entry = tcb.rtx[at]
    if not again(tcb, at, why, ref):
        return False
    if not entry.retrans:
        entry.retrans = True
        tcb.retrans_out += 1
    if tcb.retrans_stamp < 0:
        tcb.retrans_stamp = entry.sent
    tcb.undo_retrans = max(tcb.undo_retrans, 0) + 1
    return True


def again(tcb: Tcb, at: int, why: str, ref: str) -> bool:
    """Send it again, without a word about it in the scoreboard: so does a probe (__tcp_retransmit_skb)."""
    host, entry = tcb.host, tcb.rtx[at]
    pmtu.follow(tcb)
    if tcb.mtup is not None:
        tcb.mtup.size = 0  # a probe of the path's MTU among what is outstanding says nothing any more
    if not entry.syn and not _fits(tcb, at):
        return False
    tcb.total_retrans += 1
    entry.ever = True
    entry.sent = host.now
    entry.delivered = tcb.delivered
    tcb.tsorted.pop(entry, None)
    tcb.tsorted[entry] = None
    if entry.syn:
        host.counters["TcpExtTCPSynRetrans"] += 1
        output.send_syn(tcb, why, ref, rtx=True, with_ack=tcb.state is State.SYN_RECV)
        return True
    size = seq.diff(entry.end, entry.seq) - entry.fin
    offset = (entry.seq - tcb.snd_base) & seq.MASK
    payload = bytes(memoryview(tcb.sndq)[offset : offset + size])
    flags = ACK | (FIN if entry.fin else 0)
    if entry.push:
        flags |= PSH
    output.emit(tcb, entry.seq, flags, payload, why, ref, rtx=True)
    return True


def _fits(tcb: Tcb, at: int) -> bool:
    """Make one segment of it that may leave now: split, or joined with those behind it.

    The peer may have taken window back: of what lies behind it now only the first segment may be repeated, and of one
    that straddles the edge the part before it.
    """
    entry = tcb.rtx[at]
    size = seq.diff(entry.end, entry.seq) - entry.fin
    mss = output.current_mss(tcb)
    room = seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), entry.seq)
    if room <= 0:
        if entry.seq != tcb.snd_una:
            return False
        room = mss
    if size > min(room, mss):
        _fragment(tcb, at, min(room, mss), mss)
    elif size < min(room, mss):
        _collapse(tcb, at, min(room, mss) - size)
    return True


def _fragment(tcb: Tcb, at: int, size: int, mss: int) -> None:
    """Split the segment at `at` behind `size` octets; what is left makes segments of `mss` (tcp_fragment)."""
    entry = tcb.rtx[at]
    octets_end = seq.add(entry.end, -entry.fin)
    begin = entry.seq
    pieces: list[SentSeg] = []
    while begin != octets_end:
        size = min(size, seq.diff(octets_end, begin))
        piece = SentSeg(begin, seq.add(begin, size), entry.sent)
        piece.sacked, piece.lost, piece.retrans, piece.ever = entry.sacked, entry.lost, entry.retrans, entry.ever
        piece.delivered, piece.starts = entry.delivered, len(pieces) == 1
        pieces.append(piece)
        begin, size = piece.end, mss
    pieces[-1].end, pieces[-1].fin = entry.end, entry.fin
    pieces[-1].push, pieces[-1].eor = entry.push, entry.eor
    more = len(pieces) - 1
    tcb.lost_out += more * entry.lost
    tcb.retrans_out += more * entry.retrans
    tcb.sacked_out += more * entry.sacked
    entry.end, entry.fin, entry.push, entry.eor = pieces[0].end, pieces[0].fin, pieces[0].push, pieces[0].eor
    tcb.rtx[at + 1 : at + 1] = pieces[1:]
    if entry in tcb.tsorted:
        order = list(tcb.tsorted)
        place = order.index(entry) + 1
        order[place:place] = pieces[1:]
        tcb.tsorted = dict.fromkeys(order)


def _collapse(tcb: Tcb, at: int, room: int) -> None:
    """Small segments that follow are repeated along with it, as one (tcp_retrans_try_collapse)."""
    rtx, edge = tcb.rtx, seq.add(tcb.snd_una, tcb.snd_wnd)
    entry, behind = rtx[at], at + 1
    if entry.sacked or not tcb.host.sysctl.tcp_retrans_collapse:
        return
    while behind < len(rtx) and not entry.eor:
        later = rtx[behind]
        room -= seq.diff(later.end, later.seq) - later.fin
        several = behind + 1 < len(rtx) and not rtx[behind + 1].starts
        if room < 0 or several or later.sacked or seq.after(later.end, edge):
            return
        entry.end, entry.eor = later.end, later.eor
        entry.fin |= later.fin
        entry.push |= later.push
        entry.ever |= later.ever
        tcb.lost_out -= later.lost
        tcb.retrans_out -= later.retrans
        if not tcb.sack_ok and tcb.sacked_out:
            tcb.sacked_out -= 1
        tcb.tsorted.pop(later, None)
        del rtx[behind]
