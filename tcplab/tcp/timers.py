"""A connection's timers: one small array, its minimum is the deadline (house rule 4). `timeouts` is what they do."""

from __future__ import annotations

from tcplab.api.events import Timer
from tcplab.api.states import State
from tcplab.tcp.tcb import KEEPALIVE, PERSIST, REO, RTO, TIMER_NAMES, TLP, Tcb
from tcplab.units import MS, NEVER, SEC, Nanos, duration

PROBE_REF = "RFC 9293 3.8.6.1"
KEEPALIVE_REF = "RFC 9293 3.8.4"
RTO_MIN = 200 * MS
TICK = 4 * MS
TIMEOUT_MIN = 2 * TICK
"""Two ticks: Linux arms few timers for less."""
_XMIT = (RTO, PERSIST, TLP, REO)
"""One of these runs, never two: Linux has one timer for them, and icsk_pending says which."""


def arm(tcb: Tcb, which: int, when: Nanos, why: str, ref: str = "") -> None:
    """Set timer `which` to expire at `when`, once. `why` without the span, which the event adds."""
    host = tcb.host
    tcb.expires[which] = when
    tcb.armed[which] = host.now
    tcb.deadline = when if when <= tcb.deadline else min(tcb.expires)
    if tcb.entry is None or tcb.deadline < tcb.entry[0]:
        host.schedule(tcb)
    if host.tracing:
        why = f"{why}: {duration(when - host.now)}"
        host.emit(Timer(host.now, host.name, tcb.label, TIMER_NAMES[which], "armed", when, rung(tcb, which), why, ref))


def arm_xmit(tcb: Tcb, which: int, when: Nanos, why: str, ref: str = "") -> None:
    """Set one of RTO, PERSIST, TLP and REO in place of the others (tcp_reset_xmit_timer)."""
    expires = tcb.expires
    expires[RTO] = expires[PERSIST] = expires[TLP] = expires[REO] = NEVER
    arm(tcb, which, when, why, ref)


def pending(tcb: Tcb) -> int:
    """Which of them runs; -1: none (icsk_pending)."""
    expires = tcb.expires
    return next((which for which in _XMIT if expires[which] != NEVER), -1)


def stop(tcb: Tcb, which: int) -> None:
    """Timer `which` is not needed any more."""
    when = tcb.expires[which]
    if when == NEVER:
        return
    host = tcb.host
    if host.tracing:
        host.emit(Timer(host.now, host.name, tcb.label, TIMER_NAMES[which], "stopped", when))
    tcb.expires[which] = NEVER
    if when == tcb.deadline:
        tcb.deadline = min(tcb.expires)


def rung(tcb: Tcb, which: int) -> int:
    """Where on its ladder of retries the timer stands."""
    if which == RTO:
        return tcb.retransmits
    return tcb.probes_out if which in (PERSIST, KEEPALIVE) else 0


def rungs(tcb: Tcb, which: int) -> int:
    """How many rungs that ladder has; 0: no ladder."""
    sysctl = tcb.host.sysctl
    if which == RTO and tcb.request is not None:
        return sysctl.tcp_synack_retries + 1
    if which == RTO and tcb.state is State.SYN_SENT:
        return (tcb.syn_retries or sysctl.tcp_syn_retries) + sysctl.tcp_syn_linear_timeouts
    if which in (RTO, PERSIST):
        return orphan_retries(tcb) if tcb.dead else sysctl.tcp_retries2
    return keepalive_settings(tcb)[2] if which == KEEPALIVE else 0


def arm_rto(tcb: Tcb, since: Nanos = -1) -> None:
    """(Re)start the retransmission timer for what is outstanding, or stop it.

    It runs from now, or from `since` if that is 0 or later.
    """
    if tcb.request is not None:
        return  # until the third step the timer belongs to the SYN,ACK
    if not tcb.rtx:
        for which in _XMIT:
            if tcb.expires[which] != NEVER:
                stop(tcb, which)
        return
    wait = tcb.rto
    if since >= 0:
        wait = max(since + wait - tcb.host.now, 0)
    if tcb.pacing:
        wait = paced(tcb, wait)
    arm_xmit(tcb, RTO, tcb.host.now + wait, "segments are unacknowledged", "RFC 6298 5.1")


def paced(tcb: Tcb, wait: Nanos) -> Nanos:
    """What pacing holds back is answered so much later: wait for it too, in whole ticks (tcp_pacing_delay)."""
    delay = tcb.wstamp - tcb.host.now
    if delay < TICK:
        return wait
    return min(wait + delay - delay % TICK, tcb.host.sysctl.tcp_rto_max_ms * MS)


def rearm_rto(tcb: Tcb) -> None:
    """The same; in place of a probe or of the reordering timer it runs from when the first segment was sent
    (tcp_rearm_rto).
    """
    waiting = tcb.expires[TLP] != NEVER or tcb.expires[REO] != NEVER
    arm_rto(tcb, tcb.rtx[0].sent if waiting and tcb.rtx else -1)


def clamp_to_user_timeout(tcb: Tcb, wait: Nanos) -> Nanos:
    """TCP_USER_TIMEOUT ends the wait exactly (tcp_clamp_rto_to_user_timeout)."""
    if not tcb.user_timeout or tcb.retrans_stamp < 0:
        return wait
    left = tcb.user_timeout - (tcb.host.now - tcb.retrans_stamp)
    return min(wait, max(left, MS))


def start_probing(tcb: Tcb) -> None:
    """Nothing is outstanding, no timer runs, and the window holds data back (tcp_check_probe_timer)."""
    _arm_persist(tcb, max(tcb.rto, RTO_MIN))


def probe_again(tcb: Tcb) -> None:
    """The window still holds data back: the next probe comes later than the last (tcp_probe0_when)."""
    wait = min(max(tcb.rto, RTO_MIN) << tcb.backoff, tcb.host.sysctl.tcp_rto_max_ms * MS)
    if tcb.user_timeout and tcb.probes_since >= 0:  # it ends the wait exactly
        wait = min(wait, max(tcb.user_timeout - (tcb.host.now - tcb.probes_since), TIMEOUT_MIN))
    _arm_persist(tcb, wait)


def _arm_persist(tcb: Tcb, wait: Nanos) -> None:
    if tcb.pacing:
        wait = paced(tcb, wait)
    arm_xmit(tcb, PERSIST, tcb.host.now + wait, f"the peer's window is {tcb.snd_wnd}: probe it", PROBE_REF)


def keepalive_settings(tcb: Tcb) -> tuple[Nanos, Nanos, int]:
    """Idle time, interval and number of probes: the socket's own, or the host's."""
    sysctl = tcb.host.sysctl
    idle, interval, probes = tcb.keepalive or (0, 0, 0)
    return (
        (idle or sysctl.tcp_keepalive_time) * SEC,
        (interval or sysctl.tcp_keepalive_intvl) * SEC,
        probes or sysctl.tcp_keepalive_probes,
    )


def arm_keepalive(tcb: Tcb, wait: Nanos | None = None) -> None:
    """Start the idle clock of SO_KEEPALIVE."""
    idle = keepalive_settings(tcb)[0] if wait is None else wait
    arm(tcb, KEEPALIVE, tcb.host.now + idle, "the connection may fall silent", KEEPALIVE_REF)


def orphan_retries(tcb: Tcb) -> int:
    """Linux tcp_orphan_retries: 0 stands for 8."""
    return tcb.host.sysctl.tcp_orphan_retries or 8
