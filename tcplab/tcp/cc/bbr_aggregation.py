"""How ACKs come in clumps, as BBR sees it: more than the bandwidth explains (bbr_update_ack_aggregation).

A receiver, a radio link or an offload may keep ACKs and send several as one. So that the sender does not fall silent in
between, as much more may be in flight as came at once in the last five to ten round trips.
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp.cc.bbr_policer import BW_UNIT

_WIN_RTTS: Final = 5
_MOST_ACKED: Final = 1 << 20
_MAX_US: Final = 100_000
"""No more than the bandwidth makes in this time."""


class Aggregation:
    """The fields `ack_epoch_...` and `extra_acked...` of struct bbr."""

    __slots__ = ("epoch_acked", "epoch_mstamp", "extra", "idx", "rtts")

    def __init__(self) -> None:
        self.epoch_mstamp = self.epoch_acked = 0
        """Since when ACKs come faster than the bandwidth, microseconds, and how many segments they told of."""
        self.extra = [0, 0]
        """The most beyond it in each of two windows of five round trips."""
        self.idx = self.rtts = 0

    def restart(self, now_us: int) -> None:
        """Data leaves after a silence."""
        self.epoch_mstamp = now_us
        self.epoch_acked = 0

    def update(self, bw: int, now_us: int, acked: int, cwnd: int, round_start: bool) -> None:
        """An ACK told of `acked` segments, the last at `now_us`."""
        if round_start:
            self.rtts += 1
            if self.rtts >= _WIN_RTTS:
                self.rtts = 0
                self.idx ^= 1
                self.extra[self.idx] = 0
        expected = bw * max(now_us - self.epoch_mstamp, 0) // BW_UNIT
        if self.epoch_acked <= expected or self.epoch_acked + acked >= _MOST_ACKED:
            self.restart(now_us)
            expected = 0
        self.epoch_acked = min(_MOST_ACKED - 1, self.epoch_acked + acked)
        self.extra[self.idx] = max(self.extra[self.idx], min(self.epoch_acked - expected, cwnd))

    def cwnd(self, bw: int) -> int:
        """So much more may be in flight (bbr_ack_aggregation_cwnd)."""
        return min(max(self.extra), bw * _MAX_US // BW_UNIT)
