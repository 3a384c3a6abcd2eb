"""CUBIC with HyStart (RFC 9438 and Ha & Rhee 2008, as Linux tcp_cubic.c computes them), in whole numbers.

After a loss cwnd follows a cubic function of the time since then: steep at first, flat around the cwnd at which the
loss was (`last_max`), then steep again. Slow start ends before a loss does it when ACKs come in a train as long as the
path, or when the round trip gets longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tcplab.api.events import Noted
from tcplab.tcp import seq
from tcplab.tcp.cc.base import GSO_MAX, HZ, TICK, Controller, additive, slow_start, ticks
from tcplab.units import US

if TYPE_CHECKING:
    from tcplab.tcp.tcb import Tcb

REF: Final = "RFC 9438"
HYSTART_REF: Final = "RFC 9406"

_TICK_US: Final = TICK // US

BETA: Final = 717
"""What is left of cwnd after a loss, in 1/1024."""
_SCALE: Final = 1024
_BIC_HZ: Final = 10
"""Time is counted in 1/1024 s within the cubic function."""
_RTT_SCALE: Final = 41 * 10
_FACTOR: Final = (1 << (10 + 3 * _BIC_HZ)) // _RTT_SCALE
_RENO_SCALE: Final = 8 * (_SCALE + BETA) // 3 // (_SCALE - BETA)
_SOON: Final = HZ // 32
_UNKNOWN_GROWTH: Final = 20
_FASTEST: Final = 2

LOW_WINDOW: Final = 16
"""HyStart looks on from this cwnd."""
_TRAIN_GAP_US: Final = 2000
_LEAST_SAMPLES: Final = 8
_DELAY_LEAST_US, _DELAY_MOST_US = 4000, 16_000
_CUSHION_MOST_US: Final = 1000
_NO_RTT: Final = 1 << 32

_ROOTS: Final = (
    0, 54, 54, 54, 118, 118, 118, 118, 123, 129, 134, 138, 143, 147, 151, 156,
    157, 161, 164, 168, 170, 173, 176, 179, 181, 185, 187, 190, 192, 194, 197, 199,
    200, 202, 204, 206, 209, 211, 213, 215, 217, 219, 221, 222, 224, 225, 227, 229,
    231, 232, 234, 236, 237, 239, 240, 242, 244, 245, 246, 248, 250, 251, 252, 254,
)  # fmt: skip
"""Cube roots of 0 .. 63, times 64."""


def cubic_root(cube: int) -> int:
    """The cube root to 0.2 %: from a table, bettered once by Newton's method (cubic_root)."""
    bits = cube.bit_length()
    if bits < 7:
        return (_ROOTS[cube] + 35) >> 6
    third = (bits * 84 >> 8) - 1
    guess = (_ROOTS[cube >> third * 3] + 10 << third) >> 6
    return (2 * guess + cube // (guess * (guess - 1))) * 341 >> 10


class Cubic(Controller):
    """One connection's (struct bictcp, whose names these are, less prefixes)."""

    __slots__ = (
        "ack_cnt", "cnt", "curr_rtt", "delay_min", "end_seq", "epoch_start", "found", "k", "last_ack", "last_cwnd",
        "last_max", "last_time", "origin", "reno_cwnd", "round_start", "sample_cnt",
    )  # fmt: skip

    name = "cubic"

    def __init__(self) -> None:
        self._reset()
        self.round_start = self.last_ack = self.end_seq = 0
        self.curr_rtt = _NO_RTT
        """The least round trip of this round, microseconds."""
        self.sample_cnt = 0

    def _reset(self) -> None:
        """Forget what was learnt of the path (bictcp_reset)."""
        self.cnt = 0
        """So many acknowledged segments let cwnd grow by one."""
        self.last_max = 0
        """cwnd when a loss was seen last."""
        self.last_cwnd = self.last_time = 0
        self.origin = self.k = 0
        """Where the cubic function is flat, and when after the epoch's start."""
        self.delay_min = 0
        """The least round trip ever, microseconds."""
        self.epoch_start = 0
        self.ack_cnt = self.reno_cwnd = 0
        """What Reno would have grown to in the meantime."""
        self.found = False
        """HyStart found where slow start ends."""

    # --- what happened ------------------------------------------------------------------------------------------------

    def init(self, tcb: Tcb) -> None:
        """cubictcp_init."""
        self._reset()
        self._round(tcb)

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        """0.7 of cwnd; whoever has to stop earlier than last time makes room for others (fast convergence)."""
        self.epoch_start = 0
        earlier = tcb.cwnd < self.last_max
        self.last_max = tcb.cwnd * (_SCALE + BETA) // (2 * _SCALE) if earlier else tcb.cwnd
        return max(tcb.cwnd * BETA // _SCALE, 2)

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        """cubictcp_cong_avoid."""
        if tcb.cwnd < tcb.ssthresh:
            acked = slow_start(tcb, acked)
            if not acked:
                return
        self._update(tcb.cwnd, acked, ticks(tcb.host.now))
        additive(tcb, self.cnt, acked)

    def on_state(self, tcb: Tcb, state: str) -> None:
        """After an RTO nothing holds that was known (cubictcp_state)."""
        if state == "Loss":
            self._reset()
            self._round(tcb)

    def on_start(self, tcb: Tcb) -> None:
        """The time that nothing was sent does not count: the epoch begins so much later (cubictcp_cwnd_event)."""
        now = ticks(tcb.host.now)
        idle = now - ticks(tcb.lsndtime)
        if self.epoch_start and idle > 0:
            self.epoch_start = min(self.epoch_start + idle, now)

    def on_sample(self, tcb: Tcb, acked: int, rtt_us: int) -> None:
        """cubictcp_acked."""
        if rtt_us < 0:
            return
        if self.epoch_start and ticks(tcb.host.now) - self.epoch_start < HZ:
            return  # right after a recovery the queue is still there
        delay = rtt_us or 1
        if not self.delay_min or self.delay_min > delay:
            self.delay_min = delay
        if not self.found and tcb.cwnd < tcb.ssthresh:
            self._hystart(tcb, delay)

    # --- growth -------------------------------------------------------------------------------------------------------

    def _update(self, cwnd: int, acked: int, now: int) -> None:
        """How many ACKs the next step of cwnd takes: once in 31 ms, and when cwnd changed (bictcp_update)."""
        self.ack_cnt += acked
        if self.last_cwnd == cwnd and now - self.last_time <= _SOON:
            return
        if not self.epoch_start or now != self.last_time:
            self.last_cwnd, self.last_time = cwnd, now
            if not self.epoch_start:
                self._begin(cwnd, acked, now)
            self._cubic(cwnd, now)
        reno = cwnd * _RENO_SCALE >> 3
        while self.ack_cnt > reno:
            self.ack_cnt -= reno
            self.reno_cwnd += 1
        if self.reno_cwnd > cwnd:  # never slower than Reno
            self.cnt = min(self.cnt, cwnd // (self.reno_cwnd - cwnd))
        self.cnt = max(self.cnt, _FASTEST)

    def _begin(self, cwnd: int, acked: int, now: int) -> None:
        """An epoch begins: the first ACK in congestion avoidance after a loss, or ever."""
        self.epoch_start = now
        self.ack_cnt = acked
        self.reno_cwnd = cwnd
        if self.last_max <= cwnd:
            self.k, self.origin = 0, cwnd
        else:
            self.k, self.origin = cubic_root(_FACTOR * (self.last_max - cwnd)), self.last_max

    def _cubic(self, cwnd: int, now: int) -> None:
        """W(t) = C (t - K)^3 + origin, one round trip ahead."""
        at = (now - self.epoch_start + -(-self.delay_min // _TICK_US) << _BIC_HZ) // HZ
        away = abs(at - self.k)
        delta = _RTT_SCALE * away**3 >> 10 + 3 * _BIC_HZ
        target = self.origin - delta if at < self.k else self.origin + delta
        self.cnt = cwnd // (target - cwnd) if target > cwnd else 100 * cwnd
        if not self.last_max and self.cnt > _UNKNOWN_GROWTH:
            self.cnt = _UNKNOWN_GROWTH  # no loss yet tells what the path bears

    # --- HyStart ------------------------------------------------------------------------------------------------------

    def _round(self, tcb: Tcb) -> None:
        """A round trip begins: it ends when all that is sent now is acknowledged (bictcp_hystart_reset)."""
        self.round_start = self.last_ack = tcb.host.now // US
        self.end_seq = tcb.snd_nxt
        self.curr_rtt = _NO_RTT
        self.sample_cnt = 0

    def _hystart(self, tcb: Tcb, delay: int) -> None:
        """Is the path full? (hystart_update)"""
        if seq.after(tcb.snd_una, self.end_seq):
            self._round(tcb)
        if tcb.cwnd < LOW_WINDOW:
            return
        now = tcb.host.now // US
        if now - self.last_ack <= _TRAIN_GAP_US:
            self.last_ack = now
            bound = (self.delay_min + _cushion(tcb)) >> 1
            if now - self.round_start > bound:
                self._leave_slow_start(tcb, "Train", f"ACKs came for {now - self.round_start} us without a gap")
        self.curr_rtt = min(self.curr_rtt, delay)
        if self.sample_cnt < _LEAST_SAMPLES:
            self.sample_cnt += 1
        elif self.curr_rtt > self.delay_min + min(max(self.delay_min >> 3, _DELAY_LEAST_US), _DELAY_MOST_US):
            why = f"the round trip takes {self.curr_rtt} us at least, once it was {self.delay_min} us"
            self._leave_slow_start(tcb, "Delay", why)

    def _leave_slow_start(self, tcb: Tcb, how: str, why: str) -> None:
        host = tcb.host
        self.found = True
        host.counters[_DETECTED[how]] += 1
        host.counters[_CWND[how]] += tcb.cwnd
        tcb.ssthresh = tcb.cwnd
        if host.tracing:
            note = f"HyStart: ssthresh {tcb.cwnd}"
            host.emit(Noted(host.now, host.name, tcb.label, host.frame, note, f"{why}: the path is full", HYSTART_REF))


_DETECTED: Final = {"Train": "TcpExtTCPHystartTrainDetect", "Delay": "TcpExtTCPHystartDelayDetect"}
_CWND: Final = {"Train": "TcpExtTCPHystartTrainCwnd", "Delay": "TcpExtTCPHystartDelayCwnd"}


def _cushion(tcb: Tcb) -> int:
    """Microseconds that offloads may hold segments back: four of the greatest packets, 1 ms at most."""
    if not tcb.pacing_rate:
        return 0
    return min(_CUSHION_MOST_US, GSO_MAX * 4 * 1_000_000 // tcb.pacing_rate)
