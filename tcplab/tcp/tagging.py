"""A run of the retransmission queue is SACKed: what follows from that (Linux tcp_sacktag_one), and reordering."""

from __future__ import annotations

from tcplab.tcp import rack, seq
from tcplab.tcp.acked import DATA_SACKED, ORIG_SACK_ACKED, Acked
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq


def highest_sack(tcb: Tcb) -> Seq:
    """The end of the highest segment that was SACKed; snd_una if none is (tcp_highest_sack_seq)."""
    return tcb.highest_sack if tcb.sacked_out else tcb.snd_una


def check_reordering(tcb: Tcb, low: Seq, by_timestamp: bool) -> None:
    """A segment at `low` came after higher ones: so far may segments be out of order (tcp_check_sack_reordering)."""
    furthest = highest_sack(tcb)
    if not seq.before(low, furthest):
        return
    host = tcb.host
    metric = seq.diff(furthest, low)
    if metric > tcb.reordering * tcb.mss:
        tcb.reordering = min(-(-metric // tcb.mss), host.sysctl.tcp_max_reordering)
    tcb.reord_seen += 1
    host.counters["TcpExtTCPTSReorder" if by_timestamp else "TcpExtTCPSACKReorder"] += 1


def tag_one(tcb: Tcb, acked: Acked, first: int, stop: int, dup: bool) -> None:
    """The segments `first` .. `stop` of one sk_buff are SACKed (tcp_sacktag_one)."""
    rtx = tcb.rtx
    head, end, count = rtx[first], rtx[stop - 1].end, stop - first
    if dup and head.ever:
        if tcb.undo_marker >= 0 and tcb.undo_retrans > 0 and seq.after(end, tcb.undo_marker):
            tcb.undo_retrans = max(0, tcb.undo_retrans - count)
        if head.sacked and seq.before(head.seq, acked.reord):
            acked.reord = head.seq
    if not seq.after(end, tcb.snd_una):
        return
    if not head.sacked:
        rack.advance(tcb, head.ever, end, head.sent, head.order)
        if not head.ever:  # it was in a hole, and never repeated: it was overtaken
            if seq.before(head.seq, highest_sack(tcb)) and seq.before(head.seq, acked.reord):
                acked.reord = head.seq
            if not seq.after(end, tcb.high_seq):
                acked.flags |= ORIG_SACK_ACKED
            if acked.first_sackt < 0:
                acked.first_sackt = head.sent
            acked.last_sackt = head.sent
        acked.sample(head, end)
        _newly_sacked(tcb, first, stop)
        acked.flags |= DATA_SACKED
        acked.sack_delivered += count
        if seq.after(end, highest_sack(tcb)) or tcb.sacked_out == 0:
            tcb.highest_sack = end
        tcb.sacked_out += count
    if dup and head.retrans:  # the repeat came as well
        for entry in rtx[first:stop]:
            entry.retrans = False
        tcb.retrans_out -= count


def _newly_sacked(tcb: Tcb, first: int, stop: int) -> None:
    """A repeat of something that was not lost stays on the way, as far as we know."""
    tsorted = tcb.tsorted
    for entry in tcb.rtx[first:stop]:
        entry.sacked = True
        entry.delivered = -1
        if entry.lost:
            entry.lost = False
            tcb.lost_out -= 1
            if entry.retrans:
                entry.retrans = False
                tcb.retrans_out -= 1
        tsorted.pop(entry, None)
