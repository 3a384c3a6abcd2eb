"""Which errors an application may see: only what its own plan, or the world's, can cause.

A call is *strict* when nothing in the plan may end it but its own orderly end. Then every octet must arrive, both
sides must read the end, and no call may fail. Of the others each error still needs something that explains it.
"""

from __future__ import annotations

import errno
from typing import Final

from tcplab.lab.simulate import forgery
from tcplab.lab.simulate.plan import Call, Forge, Knob, Option, Plan, Serve, Spoil, Step
from tcplab.lab.simulate.streams import Side
from tcplab.units import SEC, Nanos

PATIENCE: Final = (
    "tcp_syn_retries", "tcp_syn_linear_timeouts", "tcp_synack_retries", "tcp_retries2", "tcp_orphan_retries",
    "tcp_rto_max_ms", "tcp_rto_min_us", "tcp_invalid_ratelimit", "tcp_keepalive_time", "tcp_keepalive_intvl",
    "tcp_keepalive_probes", "tcp_fin_timeout", "tcp_min_snd_mss", "min_adv_mss", "min_pmtu", "tcp_comp_sack_delay_ns",
)  # fmt: skip
"""Settings that can make a host give up sooner, wait longer than anybody would, or send what no path carries."""
_IMPATIENT_OPTIONS: Final = (
    "TCP_USER_TIMEOUT", "SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_SYNCNT", "TCP_LINGER2",
    "SO_LINGER",
)  # fmt: skip
QUEUES: Final = ("somaxconn", "tcp_max_syn_backlog", "tcp_syncookies", "tcp_abort_on_overflow")
LEAST_BUFFER: Final = 4096
_SEGMENT: Final = 1460
"""No world has a larger one."""
_LONGEST_OUTAGE: Final[Nanos] = 8 * SEC
_TOLD_BY_ICMP: Final = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO, errno.ENOPROTOOPT, errno.EACCES)
_RESET: Final = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


class Situation:
    """A plan, read for what it allows."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        items = plan.items
        knobs = [item for item in items if isinstance(item, Knob)]
        self.impatient = any(knob.name in PATIENCE for knob in knobs)
        self._queues = any(knob.name in QUEUES for knob in knobs)
        self._tiny = any(knob.name in ("tcp_rmem", "tcp_wmem") and _least(knob) < LEAST_BUFFER for knob in knobs)
        self._unscaled = any(knob.name == "tcp_window_scaling" for knob in knobs)
        """Linux offers a window a thousand times too small in a simultaneous open with a peer that does not scale."""
        self._small = {item.call for item in items if isinstance(item, Step) and _small(item.name, item.value)}
        self._small_ports = {item.port for item in items if isinstance(item, Option) and _small(item.name, item.value)}
        self._outage = any(
            item.ppm >= 500_000 and item.end - item.begin > _LONGEST_OUTAGE
            for item in items
            if isinstance(item, Spoil) and item.kind == "lose"
        )
        forged = [item for item in items if isinstance(item, Forge)]
        self.flooded = any(item.kind == forgery.FLOOD for item in forged)
        self.hinted = any(item.kind == forgery.UNREACHABLE for item in forged)
        """What ICMP said is told in place of ETIMEDOUT."""
        self.hurt = {item.call for item in forged if item.kind in forgery.SPITEFUL}
        """Calls about which somebody tells lies that nobody can see through."""
        few = any(isinstance(item, Serve) and item.backlog < _calls(plan) for item in items)
        self.cookies = self.flooded or self._queues or few
        """A SYN may be answered with a cookie."""
        early = any(knob.name == "tcp_fastopen" for knob in knobs)
        self.ghosts = self.cookies or early or not plan.delay
        """An old segment can open a connection: with a SYN cookie, or Fast Open's, or when the wire takes no time: then
        a whole connection can be over before the clock of the ISNs (64 ns) moves, and a copy of it is as good."""
        self._ends = {item.call for item in items if isinstance(item, Step) and item.op in _ENDS}
        self._hasty = {
            item.call
            for item in items
            if isinstance(item, Step) and item.op == "set" and item.name in _IMPATIENT_OPTIONS
        }
        self._hasty_ports = {
            item.port
            for item in items
            if isinstance(item, Option) and item.name in (*_IMPATIENT_OPTIONS, "TCP_DEFER_ACCEPT")
        }

    def serve(self, call: Call) -> Serve | None:
        """Who listens for this call."""
        for item in self.plan.items:
            if isinstance(item, Serve) and item.port == call.port and item.host == call.target:
                return item
        return None

    def strict(self, call: Call) -> bool:
        """Nothing may go wrong with it."""
        serve = self.serve(call)
        if call.how == "both":
            if call.skew or self._unscaled:
                return False
        elif serve is None or serve.ends or serve.backlog < _calls(self.plan):
            return False
        if self.impatient or self._queues or self._tiny or self._outage or self.flooded:
            return False
        if call.id in self.hurt or call.id in self._ends or call.id in self._small:
            return False
        return call.id not in self._hasty and call.port not in (*self._hasty_ports, *self._small_ports)

    def explains(self, side: Side, number: int) -> bool:
        """May a call of this side have given this error?"""
        call = side.call
        if self.strict(call):
            return False
        if call.id in self.hurt:
            return True
        if number in _TOLD_BY_ICMP and not self.hinted:
            return False
        if number == errno.ETIMEDOUT or number in _TOLD_BY_ICMP:
            hasty = call.id in self._hasty | self._small or call.port in self._hasty_ports | self._small_ports
            slow = self._tiny or self._outage or (call.how == "both" and self._unscaled)
            return self.impatient or hasty or slow or self._queues
        if number == errno.ECONNREFUSED:
            serve = self.serve(call)
            return call.how != "connect" or serve is None or serve.ends > 0  # Fast Open's server can reset a SYN_SENT
        return number in _RESET


_ENDS: Final = ("shut", "deaf", "close", "abort", "again")


def _least(knob: Knob) -> int:
    return min(knob.value) if isinstance(knob.value, tuple) else 0


def _small(name: str, value: int | tuple[int, ...] | str) -> bool:
    """A receive buffer that hardly holds two segments: without timestamps hours go by between the retransmissions.
    A clamp that is less than a segment: when the buffer grows the window may stay 0, as on Linux.
    """
    if not isinstance(value, int):
        return False
    return (name == "SO_RCVBUF" and value < 2 * LEAST_BUFFER) or (name == "TCP_WINDOW_CLAMP" and value < _SEGMENT)


def _calls(plan: Plan) -> int:
    return sum(isinstance(item, Call) for item in plan.items)


def last_event(plan: Plan) -> Nanos:
    """When the last thing that the plan names is over, at the latest; a stalled application stalls the others."""
    moments = [0]
    waits = 0
    for item in plan.items:
        if isinstance(item, Spoil):
            moments.append(item.end + item.by)
        elif isinstance(item, (Call, Forge, Knob)):
            moments.append(item.at)
        elif isinstance(item, Step) and item.op == "wait":
            waits += item.n
        elif isinstance(item, Serve):
            moments.append(item.ends)
            waits += item.slow * (_calls(plan) + 1)
    return max(moments) + waits
