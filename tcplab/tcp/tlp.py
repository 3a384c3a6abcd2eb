"""Tail loss probe: RFC 8985 section 7 as Linux has it (tcp_schedule_loss_probe, tcp_send_loss_probe).

When the last segments of a flight are lost nothing comes that would tell of it. Long before the RTO the probe sends a
new segment, or the last one again, so that the answer does.
"""

from __future__ import annotations

from typing import Final

from tcplab.api.states import State
from tcplab.tcp import castate, cc, output, rack, retransmit, seq, shift, timers, undo
from tcplab.tcp.acked import DATA_SACKED, DSACK_TLP, NOT_DUP, SND_UNA_ADVANCED, Acked
from tcplab.tcp.tcb import CWR, OPEN, TLP, Tcb
from tcplab.units import SEC, US, Seq

REF: Final = "RFC 8985 7"
_PROBE: Final = (3, 4)
"""Values of tcp_early_retrans that allow it."""
_SENDING: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def schedule(tcb: Tcb, advancing: bool) -> bool:
    """Arm the probe in place of the RTO; False: no probe fits here. `advancing`: the RTO would start anew now."""
    host = tcb.host
    if (
        not tcb.rtx or tcb.request is not None or not tcb.sack_ok
        or (tcb.ca_state != OPEN and tcb.ca_state != CWR) or host.sysctl.tcp_early_retrans not in _PROBE
        or tcb.state not in _SENDING
    ):  # fmt: skip
        return False
    wait = SEC
    if tcb.srtt:
        wait = (tcb.srtt >> 2) * US + (host.sysctl.tcp_rto_min_us * US if len(tcb.rtx) == 1 else rack.TIMEOUT_MIN)
    left = tcb.rto if advancing else tcb.rtx[0].sent + tcb.rto - host.now
    if 0 < left < wait:
        wait = left
    if tcb.pacing:
        wait = timers.paced(tcb, wait)
    due = host.now + wait
    if tcb.expires[TLP] != due:
        timers.arm_xmit(tcb, TLP, due, "if no ACK comes, probe whether the tail was lost", REF)
    return True


def set_xmit_timer(tcb: Tcb) -> None:
    """An ACK told of something new: the probe or the RTO starts anew (tcp_set_xmit_timer)."""
    if not schedule(tcb, advancing=True):
        timers.rearm_rto(tcb)


def fire(tcb: Tcb) -> None:
    """The probe's time has come: new data if there is some, else the last segment again; then the RTO runs, from now,
    or, when no probe could leave, from when the oldest segment was sent.
    """
    if not tcb.tlp_high_seq and tcb.rtx and _probe(tcb):
        tcb.tlp_high_seq = tcb.snd_nxt
        tcb.host.counters["TcpExtTCPLossProbes"] += 1
        timers.arm_rto(tcb)
    else:
        timers.arm_rto(tcb, tcb.rtx[0].sent if tcb.rtx else -1)


def _probe(tcb: Tcb) -> bool:
    tcb.tlp_retrans = False
    why = "tail loss probe: no ACK came in two round trips"
    if output.unsent(tcb) and output.push_one(tcb, f"{why}; new data asks for one"):
        return True
    if tcb.pacing and tcb.wstamp > tcb.host.now and _new_data_fits(tcb):
        return False  # but it is too early for it
    last = _last(tcb)
    tcb.tlp_retrans = retransmit.again(tcb, last, f"{why}; the last segment again asks for one", REF)
    if last + 1 < len(tcb.rtx):
        tcb.rtx[last + 1].starts = True
    return tcb.tlp_retrans


def _last(tcb: Tcb) -> int:
    """Where the last segment of the last sk_buff begins, in segments as large as they may be now: it becomes one of its
    own. If they may be so large that there is none so far behind, the sk_buff begins anew (tcp_send_loss_probe).
    """
    rtx = tcb.rtx
    first = shift.start_of(tcb, len(rtx) - 1)
    before = len(rtx) - 1 - first
    if before:
        shift.fit(tcb, first, output.current_mss(tcb))
        if first + before >= len(rtx):
            return first
        rtx[first + before].starts = True
    return first + before


def _new_data_fits(tcb: Tcb) -> bool:
    """There is some, and the peer has room for the next segment of it."""
    rest = output.unsent(tcb)
    return rest > 0 and seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), tcb.snd_nxt) >= min(rest, tcb.mss)


def on_ack(tcb: Tcb, number: Seq, acked: Acked) -> None:
    """Was the probe needed? The ACK of just the probe does not say which of the two copies came: only one beyond it
    does (tcp_process_tlp_ack).
    """
    if seq.before(number, tcb.tlp_high_seq):
        return
    if not tcb.tlp_retrans or acked.flags & DSACK_TLP:
        tcb.tlp_high_seq = 0
    elif seq.after(number, tcb.tlp_high_seq):
        _reduce(tcb)
    elif not acked.flags & (SND_UNA_ADVANCED | NOT_DUP | DATA_SACKED):
        tcb.tlp_high_seq = 0


def _reduce(tcb: Tcb) -> None:
    """The probe repaired a loss: that counts as congestion, though it never showed (RFC 8985 7.4.2)."""
    tcb.host.counters["TcpExtTCPLossProbeRecovery"] += 1
    old = tcb.cwnd
    castate.init_reduction(tcb, "TLP")
    cc.change_state(tcb, CWR)
    castate.end_reduction(tcb)
    undo.try_keep_open(tcb)
    castate.note(tcb, f"cwnd {old}>{tcb.cwnd}", "the tail loss probe filled a hole: a segment was lost", REF)
