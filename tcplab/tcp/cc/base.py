"""What a congestion controller is: it sets only cwnd and ssthresh, in segments, and is told what happened.

One that `controls` sets the pacing rate as well, and cwnd at every ACK, whatever the state.

A connection has one of its own (`Tcb.cc`), so that a controller keeps what it must remember in itself. The names of
the methods' counterparts in Linux's struct tcp_congestion_ops stand in brackets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from mypy_extensions import mypyc_attr

from tcplab.units import MS, Nanos

if TYPE_CHECKING:
    from tcplab.tcp.rate_sample import Sample
    from tcplab.tcp.tcb import Tcb

HZ: Final = 250
"""Linux's clock tick: what is counted in jiffies there is counted in them here."""
TICK: Final[Nanos] = 1000 * MS // HZ
GSO_MAX: Final = 65_536 - 257
"""The most octets that leave as one packet (GSO_LEGACY_MAX_SIZE - 1 - MAX_TCP_HEADER)."""


def ticks(now: Nanos) -> int:
    """Linux's jiffies; never 0, which stands for `not yet`."""
    return now // TICK + 1


@mypyc_attr(allow_interpreted_subclasses=True)  # one's own need not be compiled when the stack is
class Controller:
    """Loss detection and the rate during recovery live elsewhere (`tcplab.tcp.recovery`).

    A controller must say its `name`, `ssthresh` and `on_ack`, or `control` in place of it; the rest is there for those
    who want to know.
    """

    __slots__ = ()

    name: ClassVar[str]
    """What TCP_CONGESTION calls it."""
    controls: ClassVar[bool] = False
    """It has `control`: PRR, and what shrinks an unused window, leave cwnd alone."""
    sndbuf_factor: ClassVar[int] = 2
    """The send buffer has room for so many windows (sndbuf_expand)."""

    def init(self, tcb: Tcb) -> None:
        """The connection is open, or chose this controller later (init)."""

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        """The slow start threshold after `why`: `loss`, `RTO`, `TLP` or `ECE` (ssthresh)."""
        raise NotImplementedError

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        """`acked` segments arrived while cwnd was the limit: grow (cong_avoid)."""
        raise NotImplementedError

    def control(self, tcb: Tcb, sample: Sample) -> None:
        """An ACK is worked on, in any state: set cwnd and the pacing rate (cong_control)."""
        raise NotImplementedError

    def min_tso_segs(self, tcb: Tcb) -> int:
        """So many segments may leave as one even at a low rate (min_tso_segs)."""
        return tcb.host.sysctl.tcp_min_tso_segs

    def info(self, tcb: Tcb) -> dict[str, int]:
        """What TCP_CC_INFO tells, by Linux's names (get_info)."""
        return {}

    def on_sample(self, tcb: Tcb, acked: int, rtt_us: int) -> None:
        """An ACK took `acked` segments off the queue, and measured the round trip; -1: it could not (pkts_acked)."""

    def on_state(self, tcb: Tcb, state: str) -> None:
        """`Tcb.ca_state` is about to become `state` (set_state)."""

    def on_start(self, tcb: Tcb) -> None:
        """Data leaves while nothing is in flight; `Tcb.lsndtime` says since when (CA_EVENT_TX_START)."""

    def undo(self, tcb: Tcb) -> int:
        """There was no loss: the cwnd to go back to (undo_cwnd)."""
        return max(tcb.cwnd, tcb.prior_cwnd)


def slow_start(tcb: Tcb, acked: int) -> int:
    """One segment more for each that was acknowledged, up to ssthresh: how many of them are left (tcp_slow_start).

    RFC 5681 3.1: one for each ACK, however many it acknowledges.
    """
    if acked > 1 and tcb.host.sysctl.profile.by_ack:
        acked = 1
    grown = min(tcb.cwnd + acked, tcb.ssthresh)
    acked -= grown - tcb.cwnd
    tcb.cwnd = grown
    return acked


def additive(tcb: Tcb, every: int, acked: int) -> None:
    """One segment more for `every` acknowledged ones (tcp_cong_avoid_ai)."""
    if tcb.cwnd_cnt >= every:  # saved up while more were asked for: not all at once
        tcb.cwnd_cnt = 0
        tcb.cwnd += 1
    tcb.cwnd_cnt += acked
    if tcb.cwnd_cnt >= every:
        steps = tcb.cwnd_cnt // every
        tcb.cwnd_cnt -= steps * every
        tcb.cwnd += steps
