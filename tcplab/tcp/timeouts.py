"""What a connection's timers do when they fire: repeat, probe, acknowledge, give up (Linux tcp_timer.c)."""

from __future__ import annotations

import errno

from tcplab.api.events import Timer
from tcplab.api.states import Cause, State
from tcplab.tcp import delack, fastopen, machine, output, recovery, timers, timewait, tlp
from tcplab.tcp.tcb import DELACK, KEEPALIVE, PERSIST, RTO, TIMER_NAMES, TLP, Tcb
from tcplab.units import MS, NEVER, SEC, Nanos, duration

RTO_REF = "RFC 6298 5.4-5.6"


def on_timer(tcb: Tcb) -> None:
    """Run every timer of the connection that is due."""
    host = tcb.host
    for which in range(len(TIMER_NAMES)):
        if tcb.expires[which] <= host.now:
            at = tcb.expires[which]
            tcb.expires[which] = NEVER
            if host.tracing:
                host.emit(
                    Timer(host.now, host.name, tcb.label, TIMER_NAMES[which], "fired", at, timers.rung(tcb, which))
                )
            _FIRE[which](tcb)
    tcb.deadline = min(tcb.expires)
    host.schedule(tcb)


# --- retransmission ---------------------------------------------------------------------------------------------------


def _retransmit(tcb: Tcb) -> None:
    """RFC 6298 5.4-5.7, Linux tcp_retransmit_timer."""
    if tcb.request is not None:
        tcb.request.timeout()
        return
    if not tcb.rtx:
        return
    host = tcb.host
    if tcb.retransmits == 0:
        if tcb.state is State.SYN_SENT:
            tcb.retrans_stamp = tcb.rtx[0].sent
        else:
            tcb.retrans_stamp = host.now
    if not tcb.snd_wnd and not tcb.dead and tcb.state not in (State.SYN_SENT, State.SYN_RECV):
        _probe_with_data(tcb)
        return
    host.counters["TcpExtTCPTimeouts"] += 1
    waited = tcb.rto
    if _write_timeout(tcb):
        return
    if tcb.state is not State.SYN_SENT and tcb.state is not State.SYN_RECV:
        recovery.enter_loss(tcb)
    tcb.retransmits += 1
    head = tcb.rtx[0]
    output.retransmit(tcb, head, f"RTO #{tcb.retransmits}: no ACK for {duration(waited)}", RTO_REF)
    linear = tcb.state is State.SYN_SENT and tcb.retransmits <= host.sysctl.tcp_syn_linear_timeouts
    if not linear:
        tcb.backoff += 1
        tcb.rto = min(tcb.rto << 1, host.sysctl.tcp_rto_max_ms * MS)
    wait = timers.clamp_to_user_timeout(tcb, tcb.rto)
    why = "the RTO stays as it is" if linear else "the RTO doubles"
    timers.arm(tcb, RTO, host.now + wait, why, "ip-sysctl tcp_syn_linear_timeouts" if linear else "RFC 6298 5.5")


def _probe_with_data(tcb: Tcb) -> None:
    """The peer shut its window over what is in flight: repeats are its window probes, and while it answers them the
    connection lives (tcp_retransmit_timer, RFC 9293 3.8.6 SHLD-17).
    """
    host = tcb.host
    silent = host.now - tcb.rcv_tstamp
    if (
        silent > 2 * host.sysctl.tcp_rto_max_ms * MS
        and host.now - tcb.rtx[0].sent > 2 * host.sysctl.tcp_rto_max_ms * MS
    ):
        give_up(tcb, "the window stayed shut and the peer fell silent")
        return
    recovery.enter_loss(tcb)
    output.retransmit(tcb, tcb.rtx[0], "the peer shut its window over this: the repeat probes it", timers.PROBE_REF)
    tcb.backoff += 1
    tcb.rto = min(tcb.rto << 1, host.sysctl.tcp_rto_max_ms * MS)
    timers.arm(tcb, RTO, host.now + tcb.rto, "the RTO doubles", "RFC 6298 5.5")


def _write_timeout(tcb: Tcb) -> bool:
    """Give up after too many repeats (Linux tcp_write_timeout). True when the connection is gone."""
    sysctl = tcb.host.sysctl
    if tcb.state is State.SYN_SENT:
        retries = tcb.syn_retries or sysctl.tcp_syn_retries
        most = retries + sysctl.tcp_syn_linear_timeouts
        expired = tcb.retransmits >= most or _timed_out(tcb, retries, SEC)
    elif tcb.dead:
        expired = _timed_out(tcb, timers.orphan_retries(tcb), timers.RTO_MIN)
    else:
        expired = _timed_out(tcb, sysctl.tcp_retries2, timers.RTO_MIN)
    if tcb.attempt is not None:
        fastopen.suspect_blackhole(tcb, expired)
    if expired:
        give_up(tcb, f"{tcb.retransmits} repeats were not answered")
    return expired


def _timed_out(tcb: Tcb, retries: int, base: Nanos) -> bool:
    """Has the ladder of `retries` doublings of `base` passed since the first repeat? (retransmits_timed_out)"""
    if tcb.retransmits == 0:
        return False
    limit = tcb.user_timeout or _ladder(retries, base, tcb.host.sysctl.tcp_rto_max_ms * MS)
    return tcb.host.now - tcb.retrans_stamp >= limit


def _ladder(retries: int, base: Nanos, top: Nanos) -> Nanos:
    """How long `retries` doublings last, none longer than `top` (Linux tcp_model_timeout)."""
    bend = (top // base).bit_length() - 1
    if retries <= bend:
        return ((2 << retries) - 1) * base
    return ((2 << bend) - 1) * base + (retries - bend) * top


def give_up(tcb: Tcb, why: str) -> None:
    """Linux tcp_write_err: no packet, ETIMEDOUT."""
    counters = tcb.host.counters
    counters["TcpExtTCPAbortOnTimeout"] += 1
    if tcb.state is State.SYN_SENT or tcb.state is State.SYN_RECV:
        counters["TcpAttemptFails"] += 1
    error = tcb.soft_error or errno.ETIMEDOUT
    machine.destroy(tcb, Cause.TIMEOUT, f"{errno.errorcode[error]}: {why}", "Linux tcp_write_timeout", error)


# --- zero window ------------------------------------------------------------------------------------------------------


def _persist(tcb: Tcb) -> None:
    """Linux tcp_probe_timer and tcp_send_probe0."""
    if tcb.rtx or not output.unsent(tcb):
        tcb.probes_out = 0
        tcb.probes_since = -1
        return
    waited_out = False
    if tcb.probes_since < 0:
        tcb.probes_since = tcb.host.now
    elif tcb.user_timeout:
        waited_out = tcb.host.now - tcb.probes_since >= tcb.user_timeout
    limit = tcb.host.sysctl.tcp_retries2 if not tcb.dead else timers.orphan_retries(tcb)
    if tcb.probes_out >= limit or waited_out:
        why = "TCP_USER_TIMEOUT: the window stayed closed" if waited_out else f"{limit} window probes were not answered"
        give_up(tcb, why)
        return
    output.window_probe(
        tcb, f"window probe #{tcb.probes_out + 1}: the peer's window is {tcb.snd_wnd}", timers.PROBE_REF
    )
    if tcb.rtx:
        return  # a part of the window was open: it carries data now, under the RTO
    tcb.probes_out += 1
    tcb.backoff = min(tcb.backoff + 1, tcb.host.sysctl.tcp_retries2)
    timers.arm_persist(tcb)


# --- keepalive --------------------------------------------------------------------------------------------------------


def _keepalive(tcb: Tcb) -> None:
    """Linux tcp_keepalive_timer."""
    if tcb.dead and tcb.state is State.FIN_WAIT_2:
        span = timewait.fin_time(tcb) - timewait.LENGTH
        timewait.hand_over(tcb, State.FIN_WAIT_2, max(span, 0))
        return
    if tcb.keepalive is None:
        return
    idle, interval, probes = timers.keepalive_settings(tcb)
    if tcb.rtx or output.unsent(tcb):
        timers.arm_keepalive(tcb)  # the RTO or the window probes watch the peer
        return
    silent = tcb.host.now - tcb.rcv_tstamp
    if silent < idle:
        timers.arm_keepalive(tcb, idle - silent)
        return
    if tcb.user_timeout:
        gone = tcb.probes_out > 0 and silent >= tcb.user_timeout
    else:
        gone = tcb.probes_out >= probes
    if gone:
        output.reset(tcb, f"keepalive: {tcb.probes_out} probes were not answered", timers.KEEPALIVE_REF)
        give_up(tcb, f"{tcb.probes_out} keepalive probes were not answered")
        return
    tcb.probes_out += 1
    tcb.host.counters["TcpExtTCPKeepAlive"] += 1
    output.old_ack(
        tcb, f"keepalive probe #{tcb.probes_out} of {probes}: silent for {duration(silent)}", timers.KEEPALIVE_REF
    )
    timers.arm_keepalive(tcb, interval)


# --- the rest ---------------------------------------------------------------------------------------------------------


def _delack(tcb: Tcb) -> None:
    why = delack.timer(tcb)
    if why:
        output.send_ack(tcb, why, delack.REF)


_FIRE = {RTO: _retransmit, DELACK: _delack, PERSIST: _persist, KEEPALIVE: _keepalive, TLP: tlp.fire}
