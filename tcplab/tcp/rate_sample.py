"""What one ACK told of the rate: what `tcplab.tcp.rate` finds out, and a controller works with."""

from __future__ import annotations


class Sample:
    """What one ACK told, for a controller that wants to know all of it (struct rate_sample, whose names these are)."""

    __slots__ = (
        "acked_sacked", "delivered", "interval_us", "is_ack_delayed", "is_app_limited", "losses", "prior_delivered",
        "prior_in_flight", "rtt_us",
    )  # fmt: skip

    def __init__(self, prior_in_flight: int = 0) -> None:
        self.delivered = self.interval_us = -1
        """Segments that arrived since the newest of them was sent, and how long that took; -1: no valid sample."""
        self.prior_delivered = 0
        """Tcb.delivered when that one was sent."""
        self.is_app_limited = False
        self.is_ack_delayed = False
        self.rtt_us = -1
        self.acked_sacked = 0
        """Segments that the ACK is the first to tell of."""
        self.losses = 0
        """Segments that were marked lost because of it."""
        self.prior_in_flight = prior_in_flight
        """What was in flight before it came."""
