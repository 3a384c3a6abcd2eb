"""How fast the path delivers: rate samples (Linux tcp_rate.c, draft-cheng-iccrg-delivery-rate-estimation).

Each segment notes when it left how much had been delivered by then, and when. The ACK of it says how much was
delivered in between, and how long that took: the longer of sending it and of hearing of it.
"""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.acked import Acked
from tcplab.tcp.rate_sample import Sample
from tcplab.tcp.tcb import SentSeg, Tcb
from tcplab.units import US, Nanos


class Rate:
    """What a connection that ever sent data keeps of it."""

    __slots__ = ("app_limited", "delivered", "delivered_at", "first_tx", "interval", "limited")

    def __init__(self) -> None:
        self.first_tx: Nanos = 0
        """When the segment left that was acknowledged last, or the first of a flight."""
        self.delivered_at: Nanos = 0
        """When anything was acknowledged last."""
        self.app_limited = seq.MASK
        """Until so much is delivered the application sent less than it might have; 0: it did not."""
        self.delivered = self.interval = 0
        """The best sample: segments in microseconds."""
        self.limited = True
        """The application limited that one."""


def octets(tcb: Tcb) -> int:
    """The best sample in octets a second (tcp_compute_delivery_rate)."""
    rate = tcb.rate
    return rate.delivered * tcb.mss * 1_000_000 // rate.interval if rate is not None and rate.interval else 0


def is_limited(tcb: Tcb) -> int:
    """1: the application limited that one, or there is none."""
    return int(tcb.rate is None or tcb.rate.limited)


def sent(tcb: Tcb, entry: SentSeg) -> None:
    """`entry` is about to leave, for the first time or again (tcp_rate_skb_sent)."""
    rate = tcb.rate
    if rate is None:
        rate = tcb.rate = Rate()
    if not tcb.rtx:
        rate.first_tx = rate.delivered_at = tcb.host.now
    entry.first_tx, entry.delivered_at = rate.first_tx, rate.delivered_at
    entry.delivered = tcb.delivered
    entry.app_limited = rate.app_limited > 0


def check_app_limited(tcb: Tcb) -> None:
    """send() begins: did less than a segment wait, though more could have been sent (tcp_rate_check_app_limited)?"""
    rate = tcb.rate
    if (
        rate is not None
        and seq.diff(tcb.data_end, tcb.snd_nxt) < tcb.mss
        and tcb.in_flight < tcb.cwnd
        and tcb.lost_out <= tcb.retrans_out
    ):
        rate.app_limited = (tcb.delivered + tcb.in_flight) or 1


def generate(tcb: Tcb, acked: Acked, delivered: int, sample: Sample | None = None) -> None:
    """An ACK told of `delivered` segments: take the sample (tcp_rate_skb_delivered, tcp_rate_gen).

    `sample` is filled in for a controller that wants it.
    """
    rate = tcb.rate
    if rate is None:
        return
    now = tcb.host.now
    if rate.app_limited and (rate.app_limited - tcb.delivered) & seq.MASK >= seq.HALF:
        rate.app_limited = 0
    entry = acked.newest
    if entry is not None and entry.delivered_at >= 0 and not tcb.sack_reneg:
        rate.first_tx = entry.sent
        count = tcb.delivered - acked.prior_delivered
        interval = max(entry.sent - entry.first_tx, now - entry.delivered_at) // US
        better = not entry.app_limited or count * rate.interval >= rate.delivered * interval
        sound = tcb.rtt_min and interval >= tcb.rtt_min
        if sound and better:
            rate.delivered, rate.interval, rate.limited = count, interval, entry.app_limited
        if sample is not None:
            sample.delivered, sample.is_app_limited = count, entry.app_limited
            sample.prior_delivered = acked.prior_delivered
            sample.interval_us = interval if sound else -1
    if delivered:
        rate.delivered_at = now
