"""What a connection's timers do when they fire: repeat, probe, acknowledge, give up (Linux tcp_timer.c)."""

from __future__ import annotations

import errno

from tcplab.api.events import Timer
from tcplab.api.states import Cause, State
from tcplab.tcp import (
    delack,
    fastopen,
    machine,
    mtu_probe,
    output,
    pacing,
    recovery,
    retransmit,
    rtt,
    timers,
    timewait,
    tlp,
)
from tcplab.tcp.tcb import (
    COMPRESS,
    DELACK,
    DISORDER,
    INFINITE_SSTHRESH,
    INIT_RTO,
    KEEPALIVE,
    LOSS,
    PACING,
    PERSIST,
    RECOVERY,
    REO,
    RTO,
    TIMER_NAMES,
    TLP,
    Tcb,
)
from tcplab.units import MS, NEVER, SEC, Nanos, Seq, duration

RTO_REF = "RFC 6298 5.4-5.6"
_THIN, _THIN_LINEAR_RETRIES = 4, 6


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
    if not tcb.snd_wnd and not tcb.dead and tcb.state is not State.SYN_SENT and tcb.state is not State.SYN_RECV:
        _window_taken_back(tcb)
        return
    if tcb.retransmits == 0 and tcb.state is State.SYN_SENT:
        tcb.retrans_stamp = tcb.rtx[0].sent
    host.counters["TcpExtTCPTimeouts"] += 1
    waited = tcb.rto
    if _write_timeout(tcb):
        return
    host.counters["TcpExtTcpTimeoutRehash"] += 1
    _count_failure(tcb)
    recovery.enter_loss(tcb)
    tcb.retransmits += 1
    _first_again(tcb, f"RTO #{tcb.retransmits}: no ACK for {duration(waited)}", RTO_REF)
    _back_off(tcb)


def _first_again(tcb: Tcb, why: str, ref: str) -> None:
    """Repeat the first segment, alone: what is behind it is another sk_buff from now on."""
    retransmit.segment(tcb, 0, why, ref)
    if len(tcb.rtx) > 1:
        tcb.rtx[1].starts = True


def _count_failure(tcb: Tcb) -> None:
    """The first RTO in a row: which recovery did not work?"""
    if tcb.retransmits:
        return
    name = ""
    if tcb.ca_state == RECOVERY:
        name = "TcpExtTCPSackRecoveryFail" if tcb.sack_ok else "TcpExtTCPRenoRecoveryFail"
    elif tcb.ca_state == LOSS:
        name = "TcpExtTCPLossFailures"
    elif tcb.ca_state == DISORDER or tcb.sacked_out:
        name = "TcpExtTCPSackFailures" if tcb.sack_ok else "TcpExtTCPRenoFailures"
    if name:
        tcb.host.counters[name] += 1


def _back_off(tcb: Tcb) -> None:
    """The RTO for the next time: the double, but not of a thin stream, nor of the first SYNs."""
    host = tcb.host
    why, ref = "the RTO doubles", "RFC 6298 5.5"
    if _is_thin(tcb) and tcb.retransmits <= _THIN_LINEAR_RETRIES:
        why, ref = "a thin stream: the RTO stays as it is", "tcp(7) TCP_THIN_LINEAR_TIMEOUTS"
        rtt.set_rto(tcb)
    elif tcb.state is State.SYN_SENT and tcb.retransmits <= host.sysctl.tcp_syn_linear_timeouts:
        why, ref = "the RTO stays as it is", "ip-sysctl tcp_syn_linear_timeouts"
    else:
        tcb.backoff += 1
        tcb.rto = min(tcb.rto << 1, host.sysctl.tcp_rto_max_ms * MS)
    timers.arm_xmit(tcb, RTO, host.now + timers.clamp_to_user_timeout(tcb, tcb.rto), why, ref)


def _is_thin(tcb: Tcb) -> bool:
    """Fewer than four segments are out, and not because the connection is young (tcp_stream_is_thin)."""
    wanted = (tcb.thin_lto or tcb.host.sysctl.tcp_thin_linear_timeouts) and tcb.state is State.ESTABLISHED
    return bool(wanted and len(tcb.rtx) < _THIN and tcb.ssthresh < INFINITE_SSTHRESH)


def take_back(tcb: Tcb, number: Seq) -> None:
    """There is no route for what was repeated: that is no congestion, so one doubling is undone (RFC 6069)."""
    if number != tcb.snd_una or not tcb.retransmits or not tcb.backoff or not tcb.rtx:
        return
    host = tcb.host
    backoff = tcb.backoff - 1
    if tcb.srtt:
        rtt.set_rto(tcb)
    else:
        tcb.rto = INIT_RTO
    tcb.backoff = backoff
    tcb.rto = min(tcb.rto << backoff, host.sysctl.tcp_rto_max_ms * MS)
    due = tcb.rtx[0].sent + tcb.rto
    if due > host.now:
        timers.arm_xmit(tcb, RTO, due, "no route: the last doubling is taken back", "RFC 6069 3")
    else:
        _retransmit(tcb)


def _window_taken_back(tcb: Tcb) -> None:
    """The peer closed the window before what was sent arrived: repeats serve as window probes, and a peer that answers
    them is not given up (tcp_rtx_probe0_timed_out).
    """
    host = tcb.host
    begun = tcb.retrans_stamp if tcb.retrans_stamp >= 0 else tcb.rtx[0].sent
    patience = host.sysctl.tcp_rto_max_ms * MS * 2
    if tcb.user_timeout:
        patience = min(patience, tcb.user_timeout)
    tried = host.now - begun
    silent = host.now - tcb.rcv_tstamp
    in_vain = tcb.user_timeout and tried >= tcb.user_timeout  # Linux's timer is late, and so always beyond it
    if in_vain or (silent > patience and tried > patience):
        give_up(tcb, "the peer took its window back, and answers no repeats")
        return
    recovery.enter_loss(tcb)
    _first_again(tcb, f"no ACK for {duration(tcb.rto)}, and the window is 0: the repeat probes it", timers.PROBE_REF)
    _back_off(tcb)


def _write_timeout(tcb: Tcb) -> bool:
    """Give up after too many repeats (Linux tcp_write_timeout). True when the connection is gone."""
    sysctl = tcb.host.sysctl
    if tcb.state is State.SYN_SENT:
        retries = tcb.syn_retries or sysctl.tcp_syn_retries
        most = retries + sysctl.tcp_syn_linear_timeouts
        expired = tcb.retransmits >= most or _timed_out(tcb, retries, SEC, tcb.user_timeout)
    elif tcb.dead:
        expired = _timed_out(tcb, timers.orphan_retries(tcb), timers.RTO_MIN, tcb.user_timeout)
    else:
        if _timed_out(tcb, sysctl.tcp_retries1, timers.RTO_MIN):
            mtu_probe.black_hole(tcb)
        expired = _timed_out(tcb, sysctl.tcp_retries2, timers.RTO_MIN, tcb.user_timeout)
    if tcb.attempt is not None:
        fastopen.suspect_blackhole(tcb, expired)
    if expired:
        give_up(tcb, f"{tcb.retransmits} repeats were not answered")
    return expired


def _timed_out(tcb: Tcb, retries: int, base: Nanos, user_timeout: Nanos = 0) -> bool:
    """Has the ladder of `retries` doublings of `base` passed since the first repeat, or `user_timeout` if that is set?

    retransmits_timed_out
    """
    if tcb.retransmits == 0:
        return False
    limit = user_timeout or _ladder(retries, base, tcb.host.sysctl.tcp_rto_max_ms * MS)
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
    if tcb.probes_since < 0:
        tcb.probes_since = tcb.host.now
    limit = tcb.host.sysctl.tcp_retries2 if not tcb.dead else timers.orphan_retries(tcb)
    waited = tcb.host.now - tcb.probes_since
    if tcb.user_timeout and waited >= tcb.user_timeout:
        give_up(tcb, f"the window stayed closed for {duration(waited)}, as long as TCP_USER_TIMEOUT allows")
        return
    if tcb.probes_out >= limit:
        give_up(tcb, f"{tcb.probes_out} window probes were not answered")
        return
    output.window_probe(
        tcb, f"window probe #{tcb.probes_out + 1}: the peer's window is {tcb.snd_wnd}", timers.PROBE_REF
    )
    if tcb.rtx:  # a part of the window was open: it carries data now, under the RTO
        tcb.probes_out = tcb.backoff = 0
        tcb.probes_since = -1
        return
    tcb.probes_out += 1
    tcb.backoff = min(tcb.backoff + 1, tcb.host.sysctl.tcp_retries2)
    timers.probe_again(tcb)


# --- keepalive --------------------------------------------------------------------------------------------------------


def _keepalive(tcb: Tcb) -> None:
    """Linux tcp_keepalive_timer."""
    if tcb.dead and tcb.state is State.FIN_WAIT_2:
        span = timewait.fin_time(tcb) - timewait.most(tcb)
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


def _compressed(tcb: Tcb) -> None:
    """ACKs of a hole waited for one another long enough (tcp_compressed_ack_kick)."""
    why = delack.decompress(tcb)
    if why:
        output.send_ack(tcb, f"data is missing: {why}", delack.COMPRESS_REF)


def _reo(tcb: Tcb) -> None:
    if tcb.rtx:
        recovery.reo_timeout(tcb)


def _pace(tcb: Tcb) -> None:
    """What was sent last had its time at the pacing rate: the next may leave (tcp_pace_kick, tcp_tsq_write)."""
    if tcb.state is State.SYN_RECV:
        return
    if tcb.lost_out > tcb.retrans_out and tcb.cwnd > tcb.in_flight:
        retransmit.lost_ones(tcb, "it is lost, and pacing lets it out now", pacing.REF)
    output.push(tcb, f"pacing at {pacing.rate_text(tcb.pacing_rate)}: its time has come")


_FIRE = {
    RTO: _retransmit,
    DELACK: _delack,
    PERSIST: _persist,
    KEEPALIVE: _keepalive,
    TLP: tlp.fire,
    REO: _reo,
    COMPRESS: _compressed,
    PACING: _pace,
}
