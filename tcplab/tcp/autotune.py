"""How large a receive buffer the peer's rate needs: Linux's dynamic right-sizing (tcp_rcv_space_adjust).

The application shows the rate by what it reads in a round trip; the round trip is measured without sending data: by
what the timestamps echo, or by how long a whole window takes. The buffer becomes as large as twice that, and a sender
whose rate grows gets room to grow on.
"""

from __future__ import annotations

from tcplab.api.events import Noted
from tcplab.tcp import rcvbuf, rtt, seq
from tcplab.tcp.tcb import INIT_CWND, Tcb
from tcplab.units import US, Nanos, Seq

REF = "Linux tcp_rcv_space_adjust"


class Receiver:
    """What a connection keeps when it received data."""

    __slots__ = ("dup_acks", "hole", "read", "rtt", "rtt_at", "rtt_seq")

    def __init__(self) -> None:
        self.rtt = 0
        """8 times the round trip as the receiver sees it, microseconds (rcv_rtt_est); 0: not known."""
        self.rtt_seq: Seq = 0
        self.rtt_at: Nanos = -1
        self.read = 0
        """Octets that the application had read when the measurement of `Tcb.space` began (rcvq_space.seq)."""
        self.hole: Seq = 0
        """What is missing since (compressed_ack_rcv_nxt); and how many ACKs told of it in a row: three at once
        (dup_ack_counter), those above wait to leave as one (compressed_ack).
        """
        self.dup_acks = 0


def of(tcb: Tcb) -> Receiver:
    """That of `tcb`: data is coming."""
    if tcb.receiver is None:
        tcb.receiver = Receiver()
    return tcb.receiver


def opened(tcb: Tcb) -> None:
    """The connection is open: what a first window would bring (tcp_init_buffer_space)."""
    tcb.space = min(tcb.rcv_ssthresh, tcb.rcv_wnd, INIT_CWND * rcvbuf.advmss(tcb))
    tcb.space_at = tcb.host.now


# --- the round trip ---------------------------------------------------------------------------------------------------


def measure_window(tcb: Tcb) -> None:
    """Data in order came: the time in which a whole window of it comes is not less than RTT (tcp_rcv_rtt_measure)."""
    now, mine = tcb.host.now, of(tcb)
    if mine.rtt_at >= 0:
        if seq.before(tcb.rcv_nxt, mine.rtt_seq):
            return
        sample = max((now - mine.rtt_at) // US, 1)
        if mine.rtt == 0 or sample << 3 < mine.rtt:
            mine.rtt = sample << 3
    mine.rtt_seq = seq.add(tcb.rcv_nxt, tcb.rcv_wnd)
    mine.rtt_at = now


def measure_echo(tcb: Tcb, echoed: int, size: int) -> None:
    """A full segment is the first one to echo a timestamp of ours (tcp_rcv_rtt_measure_ts).

    Not when the application lags behind: what it keeps the peer waiting for is no round trip.
    """
    if echoed == tcb.rcv_tsecr or not tcb.ts_ok:
        return
    tcb.rcv_tsecr = echoed
    if size < tcb.rcv_mss:
        return
    mine = of(tcb)
    sample = rtt.from_timestamp(tcb, echoed, least=0)
    if sample <= 0:
        return
    if mine.rtt == 0 or sample << 3 < mine.rtt:
        mine.rtt = sample << 3
    elif not tcb.rcvq:
        mine.rtt += sample - (mine.rtt >> 3)


# --- the buffer -------------------------------------------------------------------------------------------------------


def adjust(tcb: Tcb, taken: int) -> None:
    """The application takes `taken` octets of the first sk_buff in the queue, and then perhaps more: how many it took
    in the last round trip, less those that wait (tcp_rcv_space_adjust, which is called for each sk_buff; the caller has
    seen that the round trip is over).
    """
    mine = of(tcb)
    unread = len(tcb.rcvq) + (tcb.fin_rcvd and not tcb.fin_read)
    read = (tcb.rcv_nxt - tcb.irs - 1 - unread + taken) & seq.MASK
    copied = seq.diff(read, mine.read) - unread + taken
    if copied > tcb.space:
        grow(tcb, copied)
    mine.read = read
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
        window += seq.diff(tcb.ooo[-1].end, tcb.rcv_nxt)
    needed = min((window << rcvbuf.RATIO_SHIFT) // tcb.scaling_ratio, host.sysctl.tcp_rmem[2])
    if needed <= tcb.rcvbuf:
        return
    if host.tracing:
        why = f"{space} octets read in a round trip, or more on their way: the sender gets room"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"rcvbuf {tcb.rcvbuf}>{needed}", why, REF))
    tcb.rcvbuf = needed
    tcb.clamp = rcvbuf.window_of(tcb, needed)
