"""It was not lost: the window gets back what it lost (Eifel, RFC 4015; D-SACK, RFC 3708; Linux tcp_try_undo_...).

Two witnesses: a timestamp from before the repeat, and D-SACKs for all that was repeated.
"""

from __future__ import annotations

from typing import Final

from tcplab.api.states import State
from tcplab.tcp import castate, cc, ecn, rack, seq
from tcplab.tcp.acked import Acked
from tcplab.tcp.tagging import check_reordering
from tcplab.tcp.tcb import DISORDER, LOSS, OPEN, SentSeg, Tcb
from tcplab.units import MS, Nanos, Seq

EIFEL_REF: Final = "RFC 4015 3.2"
DSACK_REF: Final = "RFC 3708 3"
FRTO_REF: Final = "RFC 5682 3"


def init(tcb: Tcb) -> None:
    """Recovery begins: from here on count what would prove it wrong (tcp_init_undo)."""
    tcb.undo_marker = tcb.snd_una
    tcb.undo_retrans = tcb.retrans_out
    if tcb.tlp_high_seq and tcb.tlp_retrans:
        tcb.undo_retrans += 1
    tcb.undo_retrans = tcb.undo_retrans or -1  # 0 means that all repeats were D-SACKed


def _echo_before(tcb: Tcb, acked: Acked, when: Nanos) -> bool:
    """The ACK echoes a timestamp from before `when` (tcp_tsopt_ecr_before)."""
    return acked.ecr != 0 and seq.before(acked.ecr, (when // MS + tcb.ts_off) & seq.MASK)


def spurious_retrans(tcb: Tcb, acked: Acked, entry: SentSeg) -> bool:
    """The ACK is one of the original of `entry` (tcp_skb_spurious_retrans)."""
    return entry.ever and _echo_before(tcb, acked, entry.sent)


def packet_delayed(tcb: Tcb, acked: Acked) -> bool:
    """Nothing was repeated, or what is acknowledged was sent before the first repeat (tcp_packet_delayed)."""
    if tcb.retrans_stamp >= 0:
        return _echo_before(tcb, acked, tcb.retrans_stamp)
    if not tcb.sack_ok and not seq.before(tcb.snd_una, tcb.high_seq):
        return False
    return tcb.state is not State.SYN_SENT


def any_retrans_done(tcb: Tcb) -> bool:
    """Is something outstanding that was repeated (tcp_any_retrans_done)?"""
    return tcb.retrans_out > 0 or bool(tcb.rtx and tcb.rtx[0].ever)


def clean_stamp(tcb: Tcb) -> None:
    """Without repeats on the way the next one starts the clock anew (tcp_retrans_stamp_cleanup)."""
    if not any_retrans_done(tcb):
        tcb.retrans_stamp = -1


def _may(tcb: Tcb, acked: Acked) -> bool:
    return tcb.undo_marker >= 0 and (not tcb.undo_retrans or packet_delayed(tcb, acked))


def _cwnd_reduction(tcb: Tcb, unmark_loss: bool, why: str, ref: str) -> None:
    """tcp_undo_cwnd_reduction."""
    if unmark_loss:
        for entry in tcb.rtx:
            entry.lost = False
        tcb.lost_out = 0
    old = tcb.cwnd
    if tcb.prior_ssthresh:
        tcb.cwnd = tcb.cc.undo(tcb)
        if tcb.prior_ssthresh > tcb.ssthresh:
            tcb.ssthresh = tcb.prior_ssthresh
            ecn.withdraw_cwr(tcb)
    tcb.cwnd_stamp = tcb.host.now
    tcb.undo_marker = -1
    tcb.rack_advanced = True  # look again at what is lost
    castate.note(tcb, f"undo: cwnd {old}>{tcb.cwnd}", why, ref)


def _non_sack_prevents_reopen(tcb: Tcb) -> bool:
    """Without SACK late duplicate ACKs must not begin another recovery: it is over only when something above high_seq
    is acknowledged (RFC 6582 section 3.2; tcp_is_non_sack_preventing_reopen).
    """
    if tcb.snd_una != tcb.high_seq or tcb.sack_ok:
        return False
    clean_stamp(tcb)
    return True


def try_recovery(tcb: Tcb, acked: Acked) -> bool:
    """All is acknowledged: was it worth the trouble? True: the state is kept (tcp_try_undo_recovery)."""
    if _may(tcb, acked):
        lossy = tcb.ca_state == LOSS
        tcb.host.counters["TcpExtTCPLossUndo" if lossy else "TcpExtTCPFullUndo"] += 1
        _cwnd_reduction(tcb, False, "nothing was lost: the originals arrived", EIFEL_REF)
    elif tcb.reo_wnd_persist:
        tcb.reo_wnd_persist -= 1
    if _non_sack_prevents_reopen(tcb):
        return True
    if tcb.ca_state != OPEN:
        why = f"{tcb.ca_state} is over: all that was out then is acknowledged; cwnd {tcb.cwnd}"
        castate.note(tcb, "recovered", why, "RFC 6582 3.2")
    cc.change_state(tcb, OPEN)
    tcb.sack_reneg = False
    return False


def try_dsack(tcb: Tcb) -> bool:
    """Have D-SACKs come for all repeats (tcp_try_undo_dsack)?"""
    if tcb.undo_marker < 0 or tcb.undo_retrans:
        return False
    tcb.reo_wnd_persist = min(rack.RECOVERY_THRESH, tcb.reo_wnd_persist + 1)
    tcb.host.counters["TcpExtTCPDSACKUndo"] += 1
    _cwnd_reduction(tcb, False, "a D-SACK came for each repeat: none was needed", DSACK_REF)
    return True


def try_loss(tcb: Tcb, acked: Acked, by_frto: bool) -> bool:
    """Was the RTO wrong? F-RTO says so, or the witnesses do (tcp_try_undo_loss)."""
    if not by_frto and not _may(tcb, acked):
        return False
    why = "the RTO was wrong: what was never repeated arrives" if by_frto else "the RTO was wrong: the original arrived"
    _cwnd_reduction(tcb, True, why, FRTO_REF if by_frto else EIFEL_REF)
    tcb.host.counters["TcpExtTCPLossUndo"] += 1
    if by_frto:
        tcb.host.counters["TcpExtTCPSpuriousRTOs"] += 1
    tcb.retransmits = 0
    if _non_sack_prevents_reopen(tcb):
        return True
    if by_frto or tcb.sack_ok:
        cc.change_state(tcb, OPEN)
        tcb.sack_reneg = False
    return True


def try_partial(tcb: Tcb, acked: Acked, prior_una: Seq) -> bool:
    """A partial ACK in recovery: a hole was filled by the original. True: repeats are still out, so wait for more
    (tcp_try_undo_partial).
    """
    if tcb.undo_marker < 0 or not packet_delayed(tcb, acked):
        return False
    check_reordering(tcb, prior_una, by_timestamp=True)
    if tcb.retrans_out:
        return True
    clean_stamp(tcb)
    _cwnd_reduction(tcb, True, "the hole was filled by what was only late", EIFEL_REF)
    tcb.host.counters["TcpExtTCPPartialUndo"] += 1
    try_keep_open(tcb)
    return False


def try_keep_open(tcb: Tcb) -> None:
    """Open if nothing is missing, else Disorder (tcp_try_keep_open)."""
    state = DISORDER if tcb.sacked_out or tcb.lost_out or any_retrans_done(tcb) else OPEN
    if tcb.ca_state != state:
        cc.change_state(tcb, state)
        tcb.high_seq = tcb.snd_nxt
