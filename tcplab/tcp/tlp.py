"""Tail loss probe: RFC 8985 section 7 as Linux has it (tcp_schedule_loss_probe, tcp_send_loss_probe).

When the last segments of a flight are lost nothing comes that would tell of it. Long before the RTO the probe sends a
new segment, or the last one again, so that the answer does.
"""

from __future__ import annotations

from typing import Final

from tcplab.api.events import Noted
from tcplab.api.states import State
from tcplab.tcp import ecn, output, seq, timers
from tcplab.tcp.tcb import OPEN, RTO, TLP, Tcb
from tcplab.units import MS, NEVER, SEC, US, Nanos
from tcplab.wire.tcp import Segment

REF: Final = "RFC 8985 7"
_SLACK: Final[Nanos] = 2 * MS
"""Linux TCP_TIMEOUT_MIN_US."""
_SENDING: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def schedule(tcb: Tcb, advancing: bool) -> bool:
    """Arm the probe in place of the RTO; False: no probe fits here. `advancing`: the RTO would start anew now."""
    host = tcb.host
    if (
        not tcb.rtx or tcb.request is not None or not tcb.sack_ok
        or tcb.ca_state != OPEN or not host.sysctl.tcp_early_retrans
        or tcb.state not in _SENDING
    ):  # fmt: skip
        return False
    wait = SEC
    if tcb.srtt:
        wait = (tcb.srtt >> 2) * US + (host.sysctl.tcp_rto_min_us * US if len(tcb.rtx) == 1 else _SLACK)
    left = tcb.rto if advancing else tcb.rtx[0].sent + tcb.rto - host.now
    if left > 0:
        wait = min(wait, left)
    due = host.now + wait
    tcb.expires[RTO] = NEVER
    if tcb.expires[TLP] != due:
        timers.arm(tcb, TLP, due, "if no ACK comes, probe whether the tail was lost", REF)
    return True


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
    last = f"{why}; the last segment again asks for one"
    tcb.tlp_retrans = output.retransmit(tcb, tcb.rtx[-1], last, REF, probe=True)
    return tcb.tlp_retrans


def on_ack(tcb: Tcb, seg: Segment, duplicate: bool, dsack: bool) -> None:
    """Was the probe needed? The ACK of just the probe does not say which of the two copies came: only one beyond it
    does (tcp_process_tlp_ack).
    """
    if not tcb.tlp_high_seq or seq.before(seg.ack, tcb.tlp_high_seq):
        return
    if not tcb.tlp_retrans or dsack:
        tcb.tlp_high_seq = 0
    elif seq.after(seg.ack, tcb.tlp_high_seq):
        _reduce(tcb)
    elif duplicate:
        tcb.tlp_high_seq = 0


def _reduce(tcb: Tcb) -> None:
    """The probe repaired a loss: that counts as congestion, though it never showed (RFC 8985 7.4.2)."""
    host = tcb.host
    tcb.tlp_high_seq = 0
    host.counters["TcpExtTCPLossProbeRecovery"] += 1
    old = tcb.cwnd
    tcb.ssthresh = tcb.cc.ssthresh(tcb, "TLP")
    ecn.queue_cwr(tcb)
    tcb.cwnd = tcb.ssthresh
    if host.tracing:
        why = "the tail loss probe filled a hole: a segment was lost"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"cwnd {old}>{tcb.cwnd}", why, REF))
