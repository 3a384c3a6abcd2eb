"""The one door to a connection's state (house rule 3), and what ends with the connection."""

from __future__ import annotations

from tcplab.api.events import StateChanged
from tcplab.api.states import CLOSED, TRANSITIONS, Cause, State
from tcplab.tcp import reassembly
from tcplab.tcp.tcb import Tcb
from tcplab.units import NEVER

_CURR_ESTAB = (State.ESTABLISHED, State.CLOSE_WAIT)


def enter(tcb: Tcb, cause: Cause, why: str, ref: str = "") -> None:
    """Move `tcb` to the state that the table names; a pair that the table lacks is our bug (KeyError)."""
    old = tcb.state
    tcb.state = TRANSITIONS[old, cause]
    host = tcb.host
    was_open = old in _CURR_ESTAB
    if was_open and tcb.state is CLOSED:
        host.counters["TcpEstabResets"] += 1
    host.counters["TcpCurrEstab"] += (tcb.state in _CURR_ESTAB) - was_open
    if host.tracing:
        host.emit(StateChanged(host.now, host.name, tcb.label, old.value, tcb.state.value, why, ref))


def destroy(tcb: Tcb, cause: Cause, why: str, ref: str = "", error: int = 0) -> None:
    """End the connection at once (Linux tcp_done): the socket, if there is one, reports `error`."""
    enter(tcb, cause, why, ref)
    release(tcb)
    if error:
        tcb.error = error
        tcb.sndq.clear()
    wake(tcb)


def release(tcb: Tcb) -> None:
    """Take a connection that is over out of the demultiplexer and stop its timers."""
    flows = tcb.host.flows
    if tcb.key in flows and flows[tcb.key] is tcb:  # a TIME_WAIT bucket may have its place already
        del flows[tcb.key]
    if tcb.deadline != NEVER:
        tcb.expires = [NEVER] * len(tcb.expires)
        tcb.deadline = NEVER
    tcb.host.unschedule(tcb)
    if tcb.request is not None:
        tcb.request.drop()
        tcb.request = None
    tcb.rtx.clear()
    tcb.tsorted.clear()
    tcb.skbs.clear()
    tcb.skbs_sent.clear()
    if tcb.notices is not None:
        tcb.notices.purge(tcb)
    tcb.sacked_out = tcb.lost_out = tcb.retrans_out = 0
    reassembly.purge(tcb)


def wake(tcb: Tcb) -> None:
    """Something changed that a blocked reader or writer may wait for."""
    if tcb.owner is not None:
        tcb.owner.readable()
        tcb.owner.writable()
