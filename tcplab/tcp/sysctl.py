"""Every knob of a host, with Linux's name, default, range and unit: one table, which `help` and the screen show too.

Only knobs that the stack obeys stand here. Defaults are those of a fresh network namespace of Linux 6.18.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple


class Knob(NamedTuple):
    """One setting: its allowed range is `low` .. `high`, both included."""

    name: str
    default: int
    low: int
    high: int
    unit: str
    text: str
    source: str


_BYTE: Final = 255
_INT: Final = 2**31 - 1

KNOBS: Final[dict[str, Knob]] = {
    knob.name: knob
    for knob in (
        Knob("tcp_syn_retries", 6, 1, 127, "SYNs", "repeats of a SYN before connect() gives up", "tcp(7)"),
        Knob(
            "tcp_syn_linear_timeouts", 4, 0, 127, "SYNs",
            "the first repeats wait 1 s each; they come on top of tcp_syn_retries", "ip-sysctl",
        ),
        Knob("tcp_synack_retries", 5, 0, _BYTE, "SYN,ACKs", "repeats of a SYN,ACK before the entry goes", "tcp(7)"),
        Knob(
            "tcp_max_syn_backlog", 2048, 1, _INT, "entries",
            "without cookies a quarter of it stays reserved for peers that are known", "tcp(7)",
        ),
        Knob("somaxconn", 4096, 0, _INT, "connections", "upper limit of listen()'s backlog", "listen(2)"),
        Knob("tcp_syncookies", 1, 0, 2, "mode", "0 never, 1 when the SYN queue is full, 2 always", "tcp(7)"),
        Knob(
            "tcp_abort_on_overflow", 0, 0, 1, "bool",
            "answer the last ACK of a handshake with RST when the accept queue is full", "tcp(7)",
        ),
        Knob("tcp_fin_timeout", 60, 1, 32767, "s", "how long an orphan waits in FIN_WAIT_2", "tcp(7)"),
        Knob("tcp_rfc1337", 0, 0, 1, "bool", "a RST does not end TIME_WAIT", "tcp(7), RFC 1337"),
        Knob(
            "tcp_tw_reuse", 2, 0, 2, "mode",
            "connect() may reuse a TIME_WAIT port pair that is 1 s old: 0 no, 1 yes, 2 loopback only", "ip-sysctl",
        ),
        Knob("tcp_retries2", 15, 1, _BYTE, "RTOs", "unanswered repeats of data before ETIMEDOUT", "tcp(7)"),
        Knob("tcp_orphan_retries", 0, 0, _BYTE, "RTOs", "the same for a closed socket; 0 means 8", "tcp(7)"),
        Knob("tcp_timestamps", 1, 0, 2, "mode", "0 off, 1 with a random offset, 2 without", "tcp(7), RFC 7323"),
        Knob("tcp_window_scaling", 1, 0, 1, "bool", "offer and accept the window scale option", "tcp(7), RFC 7323"),
        Knob("tcp_sack", 1, 0, 1, "bool", "offer and accept selective acknowledgements", "tcp(7), RFC 2018"),
        Knob("tcp_dsack", 1, 0, 1, "bool", "report duplicates in a SACK block", "tcp(7), RFC 2883"),
        Knob("tcp_keepalive_time", 7200, 1, 32767, "s", "idle time before the first probe", "tcp(7)"),
        Knob("tcp_keepalive_intvl", 75, 1, 32767, "s", "time between probes", "tcp(7)"),
        Knob("tcp_keepalive_probes", 9, 1, 127, "probes", "unanswered probes before ETIMEDOUT", "tcp(7)"),
        Knob("tcp_rto_min_us", 200_000, 1, _INT, "us", "lower bound of RTTVAR in the RTO", "ip-sysctl"),
        Knob("tcp_rto_max_ms", 120_000, 1000, 120_000, "ms", "upper bound of the RTO", "ip-sysctl"),
        Knob("tcp_invalid_ratelimit", 500, 0, _INT, "ms", "least time between two complaining ACKs", "ip-sysctl"),
        Knob("tcp_slow_start_after_idle", 1, 0, 1, "bool", "fall back to slow start after an idle RTO", "ip-sysctl"),
        Knob("ip_default_ttl", 64, 1, 255, "hops", "time to live of what the host sends", "ip-sysctl"),
        Knob("icmp_echo_ignore_all", 0, 0, 1, "bool", "do not answer ping", "icmp(7)"),
    )
}  # fmt: skip

RMEM: Final = (4096, 131072, 33_554_432)
"""tcp_rmem: least, initial and greatest receive buffer in octets."""
WMEM: Final = (4096, 16384, 4_194_304)
"""tcp_wmem: least, initial and greatest send buffer in octets."""


class Sysctl:
    """One host's settings, each an attribute with Linux's name; `set` checks the range as Linux does."""

    __slots__ = tuple(KNOBS)

    def __init__(self) -> None:
        for name, knob in KNOBS.items():
            setattr(self, name, knob.default)

    def __getattr__(self, name: str) -> int:  # reached for names without a slot only; types the slots for mypy
        raise AttributeError(name)

    def get(self, name: str) -> int:
        """The value of `name`. ENOENT: no such knob."""
        self._known(name)
        return int(getattr(self, name))

    def set(self, name: str, value: int) -> None:
        """Change `name`. ENOENT: no such knob; EINVAL: out of its range."""
        knob = self._known(name)
        if not knob.low <= value <= knob.high:
            raise OSError(errno.EINVAL, f"{name} takes {knob.low} .. {knob.high} ({knob.unit}), not {value}")
        setattr(self, name, value)

    def changed(self) -> dict[str, int]:
        """Those that differ from Linux's defaults."""
        return {name: self.get(name) for name, knob in KNOBS.items() if self.get(name) != knob.default}

    @staticmethod
    def _known(name: str) -> Knob:
        knob = KNOBS.get(name)
        if knob is None:
            raise OSError(errno.ENOENT, f"no sysctl {name}")
        return knob
