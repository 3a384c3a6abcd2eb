"""BBR's long-term bandwidth: is there a token bucket on the path that drops what is above its rate?

While a policer has tokens the path seems fast, then it drops. Two intervals in a row that begin and end with losses, of
which each lost a fifth and both had the same rate, mean that there is one: that rate is kept for 48 round trips.
(bbr_lt_bw_sampling; its measurements are those of Flach et al., SIGCOMM 2016.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tcplab.units import MS

if TYPE_CHECKING:
    from tcplab.tcp.rate_sample import Sample
    from tcplab.tcp.tcb import Tcb

BW_SCALE: Final = 24
BW_UNIT: Final = 1 << BW_SCALE
"""Bandwidths are segments in a microsecond, times this."""
BBR_SCALE: Final = 8
BBR_UNIT: Final = 1 << BBR_SCALE
"""Gains are in 1/256."""

_INTVL_MIN_RTTS: Final = 4
_LOSS_THRESH: Final = 50
"""Lost of delivered, in 1/256."""
_BW_RATIO: Final = BBR_UNIT // 8
_BW_DIFF: Final = 4000 // 8
"""Octets a second in which two rates may differ; or an eighth."""
_BW_MAX_RTTS: Final = 48
_US_IN_MS: Final = 1000
_LONGEST_MS: Final = 0xFFFF_FFFF // _US_IN_MS
_MARGIN: Final = 1_000_000 // 100 * 99
"""Pace 1 % below what was measured: queues get shorter."""


def octets(tcb: Tcb, bw: int, gain: int) -> int:
    """A bandwidth with a gain, in octets a second (bbr_rate_bytes_per_sec)."""
    return (bw * tcb.mss * gain >> BBR_SCALE) * _MARGIN >> BW_SCALE


class Policer:
    """The fields `lt_...` of struct bbr."""

    __slots__ = ("bw", "is_sampling", "last_delivered", "last_lost", "last_stamp", "rtt_cnt", "use_bw")

    def __init__(self) -> None:
        self.bw = 0
        """The rate of the last interval, of both if `use_bw`."""
        self.use_bw = False
        self.is_sampling = False
        self.rtt_cnt = 0
        """Round trips in this interval, or since the rate is used."""
        self.last_stamp = self.last_delivered = self.last_lost = 0
        """Where the interval began: ms, segments, segments."""

    def reset(self, tcb: Tcb) -> None:
        """Forget all (bbr_reset_lt_bw_sampling)."""
        self.bw = 0
        self.use_bw = self.is_sampling = False
        self._begin(tcb)

    def _begin(self, tcb: Tcb) -> None:
        """A new interval (bbr_reset_lt_bw_sampling_interval)."""
        self.last_stamp = _delivered_ms(tcb)
        self.last_delivered = tcb.delivered
        self.last_lost = tcb.lost
        self.rtt_cnt = 0

    def sample(self, tcb: Tcb, sample: Sample, round_start: bool, probing: bool) -> bool:
        """An ACK, or an RTO (bbr_lt_bw_sampling). True: the rate was used long enough, the cycle of gains begins anew.

        `probing`: BBR is in PROBE_BW.
        """
        if self.use_bw:
            if probing and round_start:
                self.rtt_cnt += 1
                if self.rtt_cnt >= _BW_MAX_RTTS:
                    self.reset(tcb)
                    return True
            return False
        if not self.is_sampling:
            if not sample.losses:
                return False
            self._begin(tcb)
            self.is_sampling = True
        if sample.is_app_limited:  # the application's rate is not the path's
            self.reset(tcb)
            return False
        self.rtt_cnt += round_start
        if self.rtt_cnt > 4 * _INTVL_MIN_RTTS:
            self.reset(tcb)
        elif self.rtt_cnt >= _INTVL_MIN_RTTS and sample.losses:
            self._end(tcb)
        return False

    def _end(self, tcb: Tcb) -> None:
        """A loss ends the interval: the bucket is empty. Was enough lost, and what was the rate?"""
        lost, delivered = tcb.lost - self.last_lost, tcb.delivered - self.last_delivered
        if not delivered or lost << BBR_SCALE < _LOSS_THRESH * delivered:
            return
        took = _delivered_ms(tcb) - self.last_stamp
        if took >= _LONGEST_MS:
            self.reset(tcb)
        elif took >= 1:
            self._done(tcb, delivered * BW_UNIT // (took * _US_IN_MS))

    def _done(self, tcb: Tcb, bw: int) -> None:
        """Is the rate that of the interval before (bbr_lt_bw_interval_done)?"""
        if self.bw:
            away = abs(bw - self.bw)
            if away * BBR_UNIT <= _BW_RATIO * self.bw or octets(tcb, away, BBR_UNIT) <= _BW_DIFF:
                self.bw = (bw + self.bw) >> 1
                self.use_bw = True
                self.rtt_cnt = 0
                return
        self.bw = bw
        self._begin(tcb)


def _delivered_ms(tcb: Tcb) -> int:
    return tcb.rate.delivered_at // MS if tcb.rate is not None else 0
