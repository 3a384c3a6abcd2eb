"""How large a receive buffer the peer's rate needs: Linux's dynamic right-sizing (tcp_rcv_space_adjust).

The application shows the rate by what it reads in a round trip; the round trip is measured without sending data: by
what the timestamps echo, or by how long a whole window takes. The buffer becomes as large as twice that, and a sender
whose rate grows gets room to grow on.
"""

from __future__ import annotations

from tcplab.api.events import Noted
from tcplab.tcp import rcvbuf, rtt, seq
from tcplab.tcp.tcb import INIT_CWND, Tcb
from tcplab.units import US

REF = "Linux tcp_rcv_space_adjust"


def opened(tcb: Tcb) -> None:
    """The connection is open: what a first window would bring (tcp_init_buffer_space)."""
    tcb.space = min(tcb.rcv_ssthresh, tcb.rcv_wnd, INIT_CWND * rcvbuf.advmss(tcb))
    tcb.space_at = tcb.host.now
    tcb.space_seq = _copied_seq(tcb)


def _copied_seq(tcb: Tcb) -> int:
    """The first octet that the application did not read; it does not read a FIN."""
    return seq.add(tcb.rcv_nxt, -len(tcb.rcvq) - (tcb.fin_rcvd and not tcb.fin_read))


# --- the round trip ---------------------------------------------------------------------------------------------------


def measure_window(tcb: Tcb) -> None:
    """Data in order came: the time in which a whole window of it comes is not less than RTT (tcp_rcv_rtt_measure)."""
    now = tcb.host.now
    if tcb.rcv_rtt_at >= 0:
        if seq.before(tcb.rcv_nxt, tcb.rcv_rtt_seq):
            return
        sample = max((now - tcb.rcv_rtt_at) // US, 1)
        if tcb.rcv_rtt == 0 or sample << 3 < tcb.rcv_rtt:
            tcb.rcv_rtt = sample << 3
    tcb.rcv_rtt_seq = seq.add(tcb.rcv_nxt, tcb.rcv_wnd)
    tcb.rcv_rtt_at = now


def measure_echo(tcb: Tcb, echoed: int, size: int) -> None:
    """A full segment echoes a timestamp of ours for the first time (tcp_rcv_rtt_measure_ts).

    Not when the application lags behind: what it keeps the peer waiting for is no round trip.
    """
    if echoed == tcb.rcv_rtt_echo or not tcb.ts_ok:
        return
    tcb.rcv_rtt_echo = echoed
    if size < tcb.rcv_mss:
        return
    sample = rtt.from_timestamp(tcb, echoed, least=0)
    if sample <= 0:
        return
    if tcb.rcv_rtt == 0 or sample << 3 < tcb.rcv_rtt:
        tcb.rcv_rtt = sample << 3
    elif not tcb.rcvq:
        tcb.rcv_rtt += sample - (tcb.rcv_rtt >> 3)


# --- the buffer -------------------------------------------------------------------------------------------------------


def adjust(tcb: Tcb, taken: int) -> None:
    """The application takes `taken` octets of the first sk_buff in the queue, and then perhaps more: how many it took
    in the last round trip, less those that wait (tcp_rcv_space_adjust, which is called for each sk_buff; the caller has
    seen that the round trip is over).
    """
    read_up_to = seq.add(_copied_seq(tcb), taken)
    copied = seq.diff(read_up_to, tcb.space_seq) - seq.diff(tcb.rcv_nxt, read_up_to)
    if copied > tcb.space:
        grow(tcb, copied)
    tcb.space_seq = read_up_to
    tcb.space_at = tcb.host.now


def grow(tcb: Tcb, space: int) -> None:
    """`space` octets were read in a round trip: the buffer follows, if its size is not fixed (tcp_rcvbuf_grow)."""
    old, tcb.space = tcb.space, space
    host = tcb.host
    if not host.sysctl.tcp_moderate_rcvbuf or tcb.rcvbuf_locked or not old:
        return
    window = space << 1  # what is measured is one round trip late
    window += (window * (space - old) // old) << 1  # and the sender may double its rate
    if tcb.ooo:
        first, octets, fin = tcb.ooo[-1]
        window += seq.diff(seq.add(first, len(octets) + fin), tcb.rcv_nxt)
    needed = min((window << rcvbuf.RATIO_SHIFT) // tcb.scaling_ratio, host.sysctl.tcp_rmem[2])
    if needed <= tcb.rcvbuf:
        return
    if host.tracing:
        why = f"{space} octets in a round trip of {tcb.rcv_rtt >> 3} us: the sender may have more room"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"rcvbuf {tcb.rcvbuf}>{needed}", why, REF))
    tcb.rcvbuf = needed
    tcb.clamp = rcvbuf.window_of(tcb, needed)
