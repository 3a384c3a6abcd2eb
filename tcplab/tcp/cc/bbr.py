"""BBR, version 1 (Cardwell et al., ACM Queue 14-5, 2016, as Linux tcp_bbr.c computes it), in whole numbers.

It does not wait for losses. From what arrives in what time it keeps a model of the path, the greatest bandwidth of the
last ten round trips and the least round trip of the last ten seconds, sends at that rate (`tcplab.tcp.pacing`), and
lets twice the product of both be in flight. Four modes: STARTUP doubles the rate in each round trip until three of them
bring no more; DRAIN lets the queue that this made run empty; PROBE_BW asks for a quarter more in one round trip of
eight, and takes it back in the next; PROBE_RTT lets the path empty when the least round trip is ten seconds old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tcplab.api.events import Noted
from tcplab.tcp.cc.base import GSO_MAX, HZ, Controller, ticks
from tcplab.tcp.cc.bbr_aggregation import Aggregation
from tcplab.tcp.cc.bbr_policer import BBR_SCALE, BBR_UNIT, BW_SCALE, BW_UNIT, Policer, octets
from tcplab.tcp.cc.minmax import WindowedMax
from tcplab.tcp.rate_sample import Sample
from tcplab.units import US

if TYPE_CHECKING:
    from tcplab.tcp.tcb import Tcb

REF: Final = "Linux tcp_bbr.c"

STARTUP, DRAIN, PROBE_BW, PROBE_RTT = "STARTUP", "DRAIN", "PROBE_BW", "PROBE_RTT"

_BW_RTTS: Final = 10
_MIN_RTT_WIN, _PROBE_RTT_TICKS = 10 * HZ, HZ // 5
_MIN_TSO_RATE: Final = 1_200_000 >> 3
_HIGH_GAIN: Final = BBR_UNIT * 2885 // 1000 + 1
"""2/ln 2: the least that doubles the rate in each round trip."""
_DRAIN_GAIN, _CWND_GAIN = BBR_UNIT * 1000 // 2885, BBR_UNIT * 2
_GAINS: Final = (BBR_UNIT * 5 // 4, BBR_UNIT * 3 // 4, *(BBR_UNIT,) * 6)
_CYCLE_RAND: Final = 7
_CWND_MIN: Final = 4
_FULL_BW_THRESH, _FULL_BW_CNT = BBR_UNIT * 5 // 4, 3
_PACING_SHIFT, _MOST_SEGS = 10, 0x7F
_FIRST_RTT_US, _NO_RTT = 1000, 0xFFFF_FFFF
_INIT_CWND, _INFINITE_SSTHRESH = 10, 0x7FFF_FFFF
_LOSSY: Final = ("Recovery", "Loss")


class Bbr(Controller):
    """One connection's (struct bbr, whose names these are)."""

    __slots__ = (
        "bw", "clumps", "cwnd_gain", "cycle_idx", "cycle_mstamp", "full_bw", "full_bw_cnt", "full_bw_reached",
        "has_seen_rtt", "idle_restart", "lt", "min_rtt_stamp", "min_rtt_us", "mode", "next_rtt_delivered",
        "packet_conservation", "pacing_gain", "prev_ca_state", "prior_cwnd", "probe_rtt_done_stamp",
        "probe_rtt_round_done", "round_start", "rtt_cnt",
    )  # fmt: skip

    name = "bbr"
    controls = True
    sndbuf_factor = 3

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        """Nothing is known of the path."""
        self.mode = STARTUP
        self.bw = WindowedMax(_BW_RTTS)
        self.rtt_cnt = 0
        """Round trips so far, counted by what they deliver; the next begins when what is delivered now is answered."""
        self.next_rtt_delivered = 0
        self.round_start = False
        self.min_rtt_us = _NO_RTT
        self.min_rtt_stamp = 0
        self.probe_rtt_done_stamp = 0
        """When PROBE_RTT may end, in ticks; 0: what is in flight has not come down yet."""
        self.probe_rtt_round_done = False
        self.pacing_gain = self.cwnd_gain = 0
        self.cycle_idx = self.cycle_mstamp = 0
        """Which of the eight gains of PROBE_BW, since when (microseconds)."""
        self.full_bw = self.full_bw_cnt = 0
        self.full_bw_reached = False
        self.has_seen_rtt = False
        self.idle_restart = False
        self.prior_cwnd = 0
        """cwnd before a recovery or PROBE_RTT cut it."""
        self.prev_ca_state = "Open"
        self.packet_conservation = False
        self.lt = Policer()
        self.clumps = Aggregation()

    # --- what happened ------------------------------------------------------------------------------------------------

    def init(self, tcb: Tcb) -> None:
        """bbr_init."""
        self._reset()
        tcb.ssthresh = _INFINITE_SSTHRESH
        self.min_rtt_us = tcb.rtt_min or _NO_RTT
        self.min_rtt_stamp = ticks(tcb.host.now)
        self._init_pacing_rate(tcb)
        self.lt.reset(tcb)
        self.clumps.restart(tcb.host.now // US)
        tcb.pacing = True

    def control(self, tcb: Tcb, sample: Sample) -> None:
        """The model first, then what follows from it (bbr_main)."""
        self._update_bw(tcb, sample)
        if sample.acked_sacked > 0 and sample.delivered >= 0 and sample.interval_us > 0:
            now = _delivered_us(tcb)
            self.clumps.update(self._bw(), now, sample.acked_sacked, tcb.cwnd, self.round_start)
        if self.mode == PROBE_BW and self._is_next_cycle_phase(tcb, sample):
            self._advance_cycle_phase(tcb)
        self._check_full_bw_reached(sample)
        self._check_drain(tcb)
        self._update_min_rtt(tcb, sample)
        self._update_gains()
        bw = self._bw()
        self._set_pacing_rate(tcb, bw, self.pacing_gain)
        self._set_cwnd(tcb, sample, bw)

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        """A loss says nothing of the threshold; but remember cwnd (bbr_ssthresh)."""
        self._save_cwnd(tcb)
        return tcb.ssthresh

    def undo(self, tcb: Tcb) -> int:
        """It was no loss: look anew whether the pipe is full (bbr_undo_cwnd)."""
        self.full_bw = self.full_bw_cnt = 0
        self.lt.reset(tcb)
        return tcb.cwnd

    def on_state(self, tcb: Tcb, state: str) -> None:
        """An RTO ends a round trip (bbr_set_state)."""
        if state == "Loss":
            self.prev_ca_state = state
            self.full_bw = 0
            self.round_start = True
            sample = Sample()
            sample.losses = 1
            self._look_for_policer(tcb, sample)

    def on_start(self, tcb: Tcb) -> None:
        """Data leaves after a silence: at the rate that was measured, more is not needed (bbr_cwnd_event)."""
        if tcb.rate is not None and not tcb.rate.app_limited:
            return
        self.idle_restart = True
        self.clumps.restart(tcb.host.now // US)
        if self.mode == PROBE_BW:
            self._set_pacing_rate(tcb, self._bw(), BBR_UNIT)
        elif self.mode == PROBE_RTT:
            self._check_probe_rtt_done(tcb)

    def min_tso_segs(self, tcb: Tcb) -> int:
        """One at a time below 1.2 Mbit/s (bbr_min_tso_segs)."""
        return 1 if tcb.pacing_rate < _MIN_TSO_RATE else 2

    def info(self, tcb: Tcb) -> dict[str, int]:
        """struct tcp_bbr_info (bbr_get_info)."""
        bw = self._bw() * tcb.mss * 1_000_000 >> BW_SCALE
        return {
            "bbr_bw_lo": bw & 0xFFFF_FFFF, "bbr_bw_hi": bw >> 32, "bbr_min_rtt": self.min_rtt_us,
            "bbr_pacing_gain": self.pacing_gain, "bbr_cwnd_gain": self.cwnd_gain,
        }  # fmt: skip

    # --- the rate -----------------------------------------------------------------------------------------------------

    def _bw(self) -> int:
        """The path's, as far as it is known; a policer's, if there is one (bbr_bw)."""
        return self.lt.bw if self.lt.use_bw else self.bw.get()

    def _init_pacing_rate(self, tcb: Tcb) -> None:
        """cwnd in a round trip, times the gain of STARTUP (bbr_init_pacing_rate_from_rtt)."""
        rtt_us = _FIRST_RTT_US
        if tcb.srtt:
            rtt_us = max(tcb.srtt >> 3, 1)
            self.has_seen_rtt = True
        bw = tcb.cwnd * BW_UNIT // rtt_us
        tcb.pacing_rate = min(octets(tcb, bw, _HIGH_GAIN), tcb.max_pacing_rate)

    def _set_pacing_rate(self, tcb: Tcb, bw: int, gain: int) -> None:
        """bbr_set_pacing_rate."""
        rate = min(octets(tcb, bw, gain), tcb.max_pacing_rate)
        if not self.has_seen_rtt and tcb.srtt:
            self._init_pacing_rate(tcb)
        if self.full_bw_reached or rate > tcb.pacing_rate:
            tcb.pacing_rate = rate

    def _update_bw(self, tcb: Tcb, sample: Sample) -> None:
        """bbr_update_bw."""
        self.round_start = False
        if sample.delivered < 0 or sample.interval_us <= 0:
            return
        if sample.prior_delivered >= self.next_rtt_delivered:
            self.next_rtt_delivered = tcb.delivered
            self.rtt_cnt += 1
            self.round_start = True
            self.packet_conservation = False
        self._look_for_policer(tcb, sample)
        bw = sample.delivered * BW_UNIT // sample.interval_us
        if not sample.is_app_limited or bw >= self.bw.get():  # what an application limits says little of the path
            self.bw.update(self.rtt_cnt, bw)

    def _look_for_policer(self, tcb: Tcb, sample: Sample) -> None:
        """bbr_lt_bw_sampling."""
        policed = self.lt.use_bw
        if self.lt.sample(tcb, sample, self.round_start, self.mode == PROBE_BW):
            self._probe_bw(tcb, "a policer's rate was kept for 48 round trips: look for more")
        elif self.lt.use_bw and not policed:
            self.pacing_gain = BBR_UNIT
            self._tell(tcb, "a policer is on the path", "twice the same rate between losses of a fifth: it is kept")

    # --- what may be in flight ----------------------------------------------------------------------------------------

    def _bdp(self, bw: int, gain: int) -> int:
        """The product of bandwidth and delay, in segments, rounded up (bbr_bdp)."""
        if self.min_rtt_us == _NO_RTT:
            return _INIT_CWND
        return -(-(bw * self.min_rtt_us * gain >> BBR_SCALE) // BW_UNIT)

    def _tso_segs_goal(self, tcb: Tcb) -> int:
        """So many segments leave as one (bbr_tso_segs_goal)."""
        segs = max(min(tcb.pacing_rate >> _PACING_SHIFT, GSO_MAX) // tcb.mss, self.min_tso_segs(tcb))
        return min(segs, _MOST_SEGS)

    def _quantization_budget(self, tcb: Tcb, cwnd: int) -> int:
        """Room for three bursts on the way through the two hosts; an even number (bbr_quantization_budget)."""
        cwnd += 3 * self._tso_segs_goal(tcb)
        cwnd = (cwnd + 1) & ~1
        return cwnd + 2 if self.mode == PROBE_BW and self.cycle_idx == 0 else cwnd

    def _inflight(self, tcb: Tcb, bw: int, gain: int) -> int:
        """bbr_inflight."""
        return self._quantization_budget(tcb, self._bdp(bw, gain))

    def _in_net_at_edt(self, tcb: Tcb, inflight: int) -> int:
        """What of it is still on the way when the next may leave (bbr_packets_in_net_at_edt)."""
        wait_us = max(tcb.wstamp - tcb.host.now, 0) // US
        if self.pacing_gain > BBR_UNIT:
            inflight += self._tso_segs_goal(tcb)
        return max(inflight - (self._bw() * wait_us >> BW_SCALE), 0)

    # --- cwnd ---------------------------------------------------------------------------------------------------------

    def _save_cwnd(self, tcb: Tcb) -> None:
        """bbr_save_cwnd."""
        if self.prev_ca_state not in _LOSSY and self.mode != PROBE_RTT:
            self.prior_cwnd = tcb.cwnd
        else:
            self.prior_cwnd = max(self.prior_cwnd, tcb.cwnd)

    def _recover_or_restore(self, tcb: Tcb, sample: Sample) -> int:
        """In the first round trip of a recovery as many leave as arrive; when it is over cwnd is what it was
        (bbr_set_cwnd_to_recover_or_restore).
        """
        cwnd, before, state = tcb.cwnd, self.prev_ca_state, tcb.ca_state
        if sample.losses > 0:
            cwnd = max(cwnd - sample.losses, 1)
        if state == "Recovery" and before != "Recovery":
            self.packet_conservation = True
            self.next_rtt_delivered = tcb.delivered
            cwnd = tcb.in_flight + sample.acked_sacked
        elif before in _LOSSY and state not in _LOSSY:
            cwnd = max(cwnd, self.prior_cwnd)
            self.packet_conservation = False
        self.prev_ca_state = state
        return max(cwnd, tcb.in_flight + sample.acked_sacked) if self.packet_conservation else cwnd

    def _set_cwnd(self, tcb: Tcb, sample: Sample, bw: int) -> None:
        """bbr_set_cwnd."""
        acked, cwnd = sample.acked_sacked, tcb.cwnd
        if acked:
            cwnd = self._recover_or_restore(tcb, sample)
            if not self.packet_conservation:
                clump = self.clumps.cwnd(bw) if self.full_bw_reached else 0
                target = self._quantization_budget(tcb, self._bdp(bw, self.cwnd_gain) + clump)
                if self.full_bw_reached:
                    cwnd = min(cwnd + acked, target)
                elif cwnd < target or tcb.delivered < _INIT_CWND:
                    cwnd += acked
                cwnd = max(cwnd, _CWND_MIN)
        tcb.cwnd = min(cwnd, _CWND_MIN) if self.mode == PROBE_RTT else cwnd

    # --- PROBE_BW -----------------------------------------------------------------------------------------------------

    def _is_next_cycle_phase(self, tcb: Tcb, sample: Sample) -> bool:
        """bbr_is_next_cycle_phase."""
        full_length = _delivered_us(tcb) - self.cycle_mstamp > self.min_rtt_us
        if self.pacing_gain == BBR_UNIT:
            return full_length
        inflight, bw = self._in_net_at_edt(tcb, sample.prior_in_flight), self.bw.get()
        if self.pacing_gain > BBR_UNIT:  # until so much is in flight, or it does not fit
            enough = sample.losses > 0 or inflight >= self._inflight(tcb, bw, self.pacing_gain)
            return full_length and enough
        return full_length or inflight <= self._inflight(tcb, bw, BBR_UNIT)

    def _advance_cycle_phase(self, tcb: Tcb) -> None:
        """bbr_advance_cycle_phase."""
        self.cycle_idx = (self.cycle_idx + 1) & len(_GAINS) - 1
        self.cycle_mstamp = _delivered_us(tcb)

    def _probe_bw(self, tcb: Tcb, why: str) -> None:
        """Begin anywhere in the cycle but where the rate falls, so that flows do not move together
        (bbr_reset_probe_bw_mode).
        """
        self._enter(tcb, PROBE_BW, why)
        self.cycle_idx = len(_GAINS) - 1 - tcb.host.chance.below(_CYCLE_RAND)
        self._advance_cycle_phase(tcb)

    # --- STARTUP, DRAIN -----------------------------------------------------------------------------------------------

    def _check_full_bw_reached(self, sample: Sample) -> None:
        """bbr_check_full_bw_reached."""
        if self.full_bw_reached or not self.round_start or sample.is_app_limited:
            return
        if self.bw.get() >= self.full_bw * _FULL_BW_THRESH >> BBR_SCALE:
            self.full_bw = self.bw.get()
            self.full_bw_cnt = 0
            return
        self.full_bw_cnt += 1
        self.full_bw_reached = self.full_bw_cnt >= _FULL_BW_CNT

    def _check_drain(self, tcb: Tcb) -> None:
        """bbr_check_drain."""
        if self.mode == STARTUP and self.full_bw_reached:
            self._enter(tcb, DRAIN, "three round trips brought less than a quarter more: the pipe is full")
            tcb.ssthresh = self._inflight(tcb, self.bw.get(), BBR_UNIT)
        if self.mode == DRAIN:
            enough = self._inflight(tcb, self.bw.get(), BBR_UNIT)
            if self._in_net_at_edt(tcb, tcb.in_flight) <= enough:
                self._probe_bw(tcb, f"no more than {enough} segments are in flight: the queue is empty")

    # --- PROBE_RTT ----------------------------------------------------------------------------------------------------

    def _update_min_rtt(self, tcb: Tcb, sample: Sample) -> None:
        """bbr_update_min_rtt."""
        now = ticks(tcb.host.now)
        expired = now > self.min_rtt_stamp + _MIN_RTT_WIN
        if sample.rtt_us >= 0 and (sample.rtt_us <= self.min_rtt_us or (expired and not sample.is_ack_delayed)):
            self.min_rtt_us = sample.rtt_us
            self.min_rtt_stamp = now
        if expired and not self.idle_restart and self.mode != PROBE_RTT:
            self._enter(tcb, PROBE_RTT, "for 10 s no round trip was as short as the least: empty the path")
            self._save_cwnd(tcb)
            self.probe_rtt_done_stamp = 0
        if self.mode == PROBE_RTT:
            self._probe_rtt(tcb, now)
        if sample.delivered > 0:
            self.idle_restart = False

    def _probe_rtt(self, tcb: Tcb, now: int) -> None:
        """For 200 ms and a round trip no more than four segments are in flight."""
        if tcb.rate is not None:  # what arrives now says nothing of the bandwidth
            tcb.rate.app_limited = (tcb.delivered + tcb.in_flight) or 1
        if not self.probe_rtt_done_stamp and tcb.in_flight <= _CWND_MIN:
            self.probe_rtt_done_stamp = now + _PROBE_RTT_TICKS
            self.probe_rtt_round_done = False
            self.next_rtt_delivered = tcb.delivered
        elif self.probe_rtt_done_stamp:
            self.probe_rtt_round_done |= self.round_start
            if self.probe_rtt_round_done:
                self._check_probe_rtt_done(tcb)

    def _check_probe_rtt_done(self, tcb: Tcb) -> None:
        """bbr_check_probe_rtt_done, bbr_reset_mode."""
        now = ticks(tcb.host.now)
        if not self.probe_rtt_done_stamp or now <= self.probe_rtt_done_stamp:
            return
        self.min_rtt_stamp = now
        tcb.cwnd = max(tcb.cwnd, self.prior_cwnd)
        why = f"the path was empty for 200 ms, the least round trip is {self.min_rtt_us} us"
        if self.full_bw_reached:
            self._probe_bw(tcb, why)
        else:
            self._enter(tcb, STARTUP, why)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _update_gains(self) -> None:
        """bbr_update_gains."""
        if self.mode == STARTUP:
            self.pacing_gain = self.cwnd_gain = _HIGH_GAIN
        elif self.mode == DRAIN:
            self.pacing_gain, self.cwnd_gain = _DRAIN_GAIN, _HIGH_GAIN
        elif self.mode == PROBE_BW:
            self.pacing_gain = BBR_UNIT if self.lt.use_bw else _GAINS[self.cycle_idx]
            self.cwnd_gain = _CWND_GAIN
        else:
            self.pacing_gain = self.cwnd_gain = BBR_UNIT

    def _enter(self, tcb: Tcb, mode: str, why: str) -> None:
        if mode != self.mode:
            self._tell(tcb, f"{self.mode}>{mode}", why)
        self.mode = mode

    def _tell(self, tcb: Tcb, said: str, why: str) -> None:
        host = tcb.host
        if host.tracing:
            host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"BBR: {said}", why, REF))


def _delivered_us(tcb: Tcb) -> int:
    """When anything was delivered last (tp->delivered_mstamp)."""
    return tcb.rate.delivered_at // US if tcb.rate is not None else 0
