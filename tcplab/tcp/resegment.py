"""What was sent is too large for the path: RFC 1191 section 6.4 (Linux tcp_v4_mtu_reduced, tcp_simple_retransmit)."""

from __future__ import annotations

import errno

from tcplab.api.events import Noted
from tcplab.api.states import State
from tcplab.tcp import castate, cc, output, pmtu, rack, recovery, retransmit, shift
from tcplab.tcp.tcb import LOSS, SentSeg, Tcb


def mtu_reduced(tcb: Tcb, mtu: int) -> None:
    """A router could not forward a segment of ours: its next hop takes `mtu` octets (0: it does not say)."""
    host = tcb.host
    pmtu.learn(host, tcb.raddr, mtu)
    pmtu.look_up(tcb)
    path = pmtu.to(host, tcb.raddr)
    if mtu < path and tcb.df:
        tcb.soft_error = errno.EMSGSIZE
    believes = tcb.pmtudisc not in (pmtu.DONT, pmtu.INTERFACE, pmtu.OMIT)
    if not believes or tcb.pmtu <= path:
        host.dropped(tcb.label, "frag needed", "", _why_not(tcb, mtu, believes), pmtu.REF)
        return
    old = tcb.mss
    pmtu.sync(tcb, path)
    if host.tracing:
        why = f"ICMP: the path carries packets of {path} octets"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"mss {old}>{tcb.mss}", why, pmtu.REF))
    simple_retransmit(tcb, f"ICMP told of a path of {path} octets: what was too large goes again, cut to fit")


def _why_not(tcb: Tcb, mtu: int, believes: bool) -> str:
    if not believes:
        return "IP_MTU_DISCOVER says not to believe ICMP"
    return f"it tells of {mtu} octets, but segments make packets of {tcb.pmtu} at most already"


def simple_retransmit(tcb: Tcb, why: str) -> None:
    """Segments that are larger than one may be are lost: again at once, and no congestion is to blame.

    Of a SYN with data, Fast Open's, both are lost, whatever their size (tcp_simple_retransmit).
    """
    opening = tcb.state is State.SYN_SENT and len(tcb.rtx) > 1
    mss = -1 if opening else output.current_mss(tcb)
    at = 0
    while at < len(tcb.rtx):
        stop = shift.end_of(tcb, at)
        if _size(tcb.rtx[at]) > mss:  # the whole sk_buff: it is cut anew
            for entry in tcb.rtx[at:stop]:
                rack.mark_skb_lost(tcb, entry)
        at = stop
    if tcb.lost_out:
        recovery.limit_reno_sacked(tcb)
        without_congestion(tcb, why, pmtu.REF)


def _size(entry: SentSeg) -> int:
    return ((entry.end - entry.seq) & 0xFFFFFFFF) - entry.fin - entry.syn


def without_congestion(tcb: Tcb, why: str, ref: str) -> None:
    """Repeat what is marked as lost, and leave cwnd as it is (tcp_non_congestion_loss_retransmit)."""
    if tcb.ca_state != LOSS:
        tcb.high_seq = tcb.snd_nxt
        tcb.ssthresh = castate.current_ssthresh(tcb)
        tcb.prior_ssthresh = 0
        tcb.undo_marker = -1
        cc.change_state(tcb, LOSS)
    retransmit.lost_ones(tcb, why, ref)
