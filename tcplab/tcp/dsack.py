"""D-SACK: the peer tells that something came twice (RFC 2883; Linux tcp_check_dsack, tcp_dsack_seen)."""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.acked import DSACK_TLP, DSACKING_ACK, Acked
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq


def check(tcb: Tcb, number: Seq, blocks: tuple[tuple[Seq, Seq], ...], prior_una: Seq, acked: Acked) -> bool:
    """Is the first block a D-SACK: below the ACK, or within the second (RFC 2883 section 4)? False if it is dubious."""
    left, right = blocks[0]
    if seq.before(left, number):
        tcb.host.counters["TcpExtTCPDSACKRecv"] += 1
    elif len(blocks) > 1:
        if seq.after(right, blocks[1][1]) or seq.before(left, blocks[1][0]):
            return False
        tcb.host.counters["TcpExtTCPDSACKOfoRecv"] += 1
    else:
        return False
    count = _seen(tcb, left, right, acked)
    if not count:
        tcb.host.counters["TcpExtTCPDSACKIgnoredDubious"] += 1
        return False
    tcb.host.counters["TcpExtTCPDSACKRecvSegs"] += count
    forgotten = not seq.after(right, prior_una)  # it is not in the queue any more: count it here
    if forgotten and tcb.undo_marker >= 0 and tcb.undo_retrans > 0 and seq.after(right, tcb.undo_marker):
        tcb.undo_retrans = max(0, tcb.undo_retrans - count)
    return True


def _seen(tcb: Tcb, left: Seq, right: Seq, acked: Acked) -> int:
    """How many segments came twice; 0: unlikely to be our doing."""
    if not seq.before(left, right):
        return 0
    length = seq.diff(right, left)
    if length > tcb.max_window:
        return 0
    count = 1
    if length > tcb.mss:
        count = -(-length // tcb.mss)
    elif tcb.tlp_high_seq and tcb.tlp_high_seq == right:
        acked.flags |= DSACK_TLP
    tcb.dsack_dups += count
    if tcb.dsack_dups > tcb.total_retrans:
        return 0
    if tcb.reord_seen and not acked.flags & DSACK_TLP:
        tcb.rack_dsack_seen = True
    acked.flags |= DSACKING_ACK
    acked.sack_delivered += count
    return count
