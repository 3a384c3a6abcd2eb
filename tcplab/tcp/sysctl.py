"""Every knob of a host, with Linux's name, default, range and unit: one table, which `help` and the screen show too.

Only knobs that the stack obeys stand here. Defaults are those of a fresh network namespace of Linux 6.18.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from tcplab.tcp import cc, profile

Value: TypeAlias = int | tuple[int, ...] | str
"""A number; several (`tcp_rmem`); or text (`tcp_congestion_control`)."""


class Knob(NamedTuple):
    """One setting: its allowed range is `low` .. `high`, both included; for several numbers, of each of them.

    What text may be is in `accepts`, and `check` makes of it what is kept.
    """

    name: str
    default: Value
    low: int
    high: int
    unit: str
    text: str
    source: str
    accepts: str = ""
    check: Callable[[str], str] = str

    @property
    def span(self) -> str:
        """The range, in words."""
        if isinstance(self.default, str):
            return self.accepts
        each = f"{len(self.default)} numbers, each " if isinstance(self.default, tuple) else ""
        return each + (f"{self.low} .. {self.high}" if self.high < _INT else f"from {self.low}")

    def take(self, given: Value) -> Value:
        """`given`, a number or its text as sysctl(8) takes it, as this knob's value. EINVAL: out of range."""
        if isinstance(self.default, str):
            try:
                return self.check(str(given))
            except ValueError:
                raise self._refused(given) from None
        try:
            if isinstance(given, str):
                numbers = tuple(int(word, 0) for word in given.split())
            else:
                numbers = given if isinstance(given, tuple) else (given,)
        except ValueError:
            raise self._refused(given) from None
        wanted = len(self.default) if isinstance(self.default, tuple) else 1
        if len(numbers) != wanted or not all(self.low <= number <= self.high for number in numbers):
            raise self._refused(given)
        return numbers if isinstance(self.default, tuple) else numbers[0]

    def _refused(self, given: Value) -> OSError:
        return OSError(errno.EINVAL, f"{self.name} takes {self.span} ({self.unit}), not {text(given)}")


def text(value: Value) -> str | int:
    """As sysctl(8) shows it: several numbers with spaces between them."""
    return " ".join(str(number) for number in value) if isinstance(value, tuple) else value


_BYTE: Final = 255
_INT: Final = 2**31 - 1
_HZ: Final = 250
"""Linux counts such seconds in ticks, which bounds them."""
_KEY: Final = r"(?:[0-9a-fA-F]{8}-){3}[0-9a-fA-F]{8}"


def _key(given: str) -> str:
    if not re.fullmatch(_KEY, given):
        raise ValueError
    return given.lower()


def _controller(given: str) -> str:
    if cc.find(given) is None:
        raise OSError(errno.ENOENT, f"no congestion control {given} here; there are {', '.join(cc.CONTROLLERS)}")
    return given


def _controllers(given: str) -> str:
    return " ".join(_controller(name) for name in given.split())


def _fixed(given: str) -> str:
    raise OSError(errno.EPERM, "tcp_available_congestion_control can only be read")


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
        Knob(
            "tcp_fastopen", 1, 0, _INT, "bits",
            "1 client, 2 server, 4 client without cookie, 0x200 server without, 0x400 every listener", "RFC 7413",
        ),
        Knob(
            "tcp_fastopen_key", "random", 0, 0, "key", "of Fast Open's cookies; random: the host's own", "ip-sysctl",
            "8 hexadecimal digits four times, joined by -", _key,
        ),
        Knob(
            "tcp_fastopen_blackhole_timeout_sec", 0, 0, _INT, "s",
            "Fast Open rests this long after three timeouts in a row, then twice as long; 0: never", "ip-sysctl",
        ),
        Knob("tcp_fin_timeout", 60, 1, 32767, "s", "how long an orphan waits in FIN_WAIT_2", "tcp(7)"),
        Knob("tcp_rfc1337", 0, 0, 1, "bool", "a RST does not end TIME_WAIT", "tcp(7), RFC 1337"),
        Knob(
            "tcp_tw_reuse", 2, 0, 2, "mode",
            "connect() may reuse the port pair of a TIME_WAIT: 0 no, 1 yes, 2 loopback only", "ip-sysctl",
        ),
        Knob("tcp_tw_reuse_delay", 1000, 1, 60_000, "ms", "how old such a TIME_WAIT must be", "ip-sysctl"),
        Knob(
            "tcp_ecn", 2, 0, 2, "mode",
            "congestion notification: 0 none, 1 ask and grant, 2 grant", "ip-sysctl, RFC 3168",
        ),
        Knob("tcp_ecn_fallback", 1, 0, 1, "bool", "a SYN that asked for it is repeated without", "ip-sysctl, RFC 3168"),
        Knob("tcp_retries2", 15, 1, _BYTE, "RTOs", "unanswered repeats of data before ETIMEDOUT", "tcp(7)"),
        Knob("tcp_orphan_retries", 0, 0, _BYTE, "RTOs", "the same for a closed socket; 0 means 8", "tcp(7)"),
        Knob("tcp_timestamps", 1, 0, 2, "mode", "0 off, 1 with a random offset, 2 without", "tcp(7), RFC 7323"),
        Knob("tcp_window_scaling", 1, 0, 1, "bool", "offer and accept the window scale option", "tcp(7), RFC 7323"),
        Knob("tcp_sack", 1, 0, 1, "bool", "offer and accept selective acknowledgements", "tcp(7), RFC 2018"),
        Knob("tcp_dsack", 1, 0, 1, "bool", "report duplicates in a SACK block", "tcp(7), RFC 2883"),
        Knob("tcp_keepalive_time", 7200, 1, 32767, "s", "idle time before the first probe", "tcp(7)"),
        Knob("tcp_keepalive_intvl", 75, 1, 32767, "s", "time between probes", "tcp(7)"),
        Knob("tcp_keepalive_probes", 9, 1, 127, "probes", "unanswered probes before ETIMEDOUT", "tcp(7)"),
        Knob("tcp_early_retrans", 3, 0, 4, "mode", "3 and 4: tail loss probes; else none", "ip-sysctl, RFC 8985"),
        Knob(
            "tcp_recovery", 1, 0, _BYTE, "bits",
            "RACK: 2 the reordering window never widens, 4 it is not given up at three SACKed segments", "RFC 8985",
        ),
        Knob("tcp_reordering", 3, 1, _INT, "segments", "so far segments are out of order at first", "tcp(7)"),
        Knob("tcp_max_reordering", 300, 1, _INT, "segments", "the most that is learned of it", "ip-sysctl"),
        Knob("tcp_frto", 2, 0, _BYTE, "bool", "F-RTO: find out whether an RTO was right", "tcp(7), RFC 5682"),
        Knob(
            "tcp_thin_linear_timeouts", 0, 0, _BYTE, "bool",
            "the RTO of a stream with less than four segments out does not double", "ip-sysctl",
        ),
        Knob(
            "tcp_tso_win_divisor", 3, 0, _BYTE, "part",
            "a burst waits for company while it is less than this part of the window", "ip-sysctl",
        ),
        Knob(
            "tcp_min_tso_segs", 2, 1, _BYTE, "segments", "so many leave as one at least",
            "ip-sysctl",
        ),
        Knob("tcp_retrans_collapse", 1, 0, _BYTE, "bool", "repeat small segments together, as one", "tcp(7)"),
        Knob("tcp_rto_min_us", 200_000, 1, _INT, "us", "lower bound of RTTVAR in the RTO", "ip-sysctl"),
        Knob("tcp_min_rtt_wlen", 300, 0, 86_400, "s", "for so long the least round trip counts", "ip-sysctl"),
        Knob("tcp_rto_max_ms", 120_000, 1000, 120_000, "ms", "upper bound of the RTO", "ip-sysctl"),
        Knob("tcp_invalid_ratelimit", 500, 0, _INT, "ms", "least time between two complaining ACKs", "ip-sysctl"),
        Knob(
            "tcp_congestion_control", cc.DEFAULT, 0, 0, "name", "the congestion control of new sockets", "tcp(7)",
            "a name of tcp_available_congestion_control", _controller,
        ),
        Knob(
            "tcp_available_congestion_control", " ".join(cc.CONTROLLERS), 0, 0, "names",
            "the congestion controls that there are", "tcp(7)", "nothing: it can only be read", _fixed,
        ),
        Knob(
            "tcp_allowed_congestion_control", " ".join(cc.CONTROLLERS), 0, 0, "names",
            "those that TCP_CONGESTION may choose", "tcp(7)", "names of tcp_available_congestion_control", _controllers,
        ),
        Knob("tcp_pacing_ss_ratio", 200, 0, 1000, "%", "pacing rate in slow start, of cwnd a round trip", "ip-sysctl"),
        Knob("tcp_pacing_ca_ratio", 120, 0, 1000, "%", "the same in congestion avoidance", "ip-sysctl"),
        Knob("tcp_slow_start_after_idle", 1, 0, 1, "bool", "fall back to slow start after an idle RTO", "ip-sysctl"),
        Knob(
            "tcp_rmem", (4096, 131_072, 33_554_432), 1, _INT, "octets",
            "receive buffer: least, at the start, and greatest", "tcp(7)",
        ),
        Knob("tcp_comp_sack_nr", 44, 0, _BYTE, "ACKs", "so many that tell of a hole leave as one", "ip-sysctl"),
        Knob("tcp_comp_sack_delay_ns", 1_000_000, 0, _INT, "ns", "they wait 5 % of RTT, at most this", "ip-sysctl"),
        Knob("tcp_comp_sack_slack_ns", 100_000, 0, _INT, "ns", "and so much more, for other timers' sake", "ip-sysctl"),
        Knob("tcp_moderate_rcvbuf", 1, 0, _BYTE, "bool", "the receive buffer grows with the peer's rate", "tcp(7)"),
        Knob(
            "tcp_wmem", (4096, 16_384, 4_194_304), 1, _INT, "octets",
            "send buffer: least, at the start, and greatest", "tcp(7)",
        ),
        Knob(
            "ip_local_port_range", (32_768, 60_999), 1, 65_535, "ports",
            "first and last port that connect() takes by itself", "ip(7)",
        ),
        Knob(
            "ip_no_pmtu_disc", 0, 0, _BYTE, "mode",
            "ICMP fragmentation needed: 0 believed, 1 only as a sign, and sockets do not want it, 2 not heard, 3 as 0",
            "ip-sysctl",
        ),
        Knob("min_pmtu", 552, 68, _INT, "octets", "ICMP that tells of less counts as this much", "ip-sysctl"),
        Knob("mtu_expires", 600, 1, _INT // _HZ, "s", "how long what ICMP told of a path counts", "ip-sysctl"),
        Knob("min_adv_mss", 256, 0, _INT, "octets", "the least MSS that a SYN tells", "ip-sysctl"),
        Knob("tcp_min_snd_mss", 48, 48, 65_535, "octets", "the least in a segment, options included", "ip-sysctl"),
        Knob(
            "tcp_mtu_probing", 0, 0, _BYTE, "mode",
            "search for the path MTU without ICMP: 0 never, 1 when repeats stay unanswered, 2 always", "RFC 4821",
        ),
        Knob("tcp_base_mss", 1024, 0, _INT, "octets", "where that search begins", "ip-sysctl"),
        Knob("tcp_mtu_probe_floor", 48, 48, 65_535, "octets", "how small it makes segments at most", "ip-sysctl"),
        Knob("tcp_probe_threshold", 8, 0, _INT, "octets", "it ends when its limits are so near", "ip-sysctl"),
        Knob("tcp_probe_interval", 600, 0, (2**32 - 1) // _HZ, "s", "and begins again after so long", "ip-sysctl"),
        Knob("tcp_retries1", 3, 0, _BYTE, "RTOs", "unanswered repeats before the path itself is in doubt", "tcp(7)"),
        Knob("ip_default_ttl", 64, 1, 255, "hops", "time to live of what the host sends", "ip-sysctl"),
        Knob("icmp_echo_ignore_all", 0, 0, 1, "bool", "do not answer ping", "icmp(7)"),
    )
}  # fmt: skip


_LISTS: Final = ("tcp_available_congestion_control", "tcp_allowed_congestion_control")


class Sysctl:
    """One host's settings, each an attribute with Linux's name; `set` checks the range as Linux does."""

    __slots__ = (*(name for name in KNOBS if name not in _LISTS), "_allowed", "profile")

    tcp_fastopen_key: str
    tcp_congestion_control: str
    tcp_rmem: tuple[int, int, int]
    tcp_wmem: tuple[int, int, int]
    ip_local_port_range: tuple[int, int]

    def __init__(self) -> None:
        self.adopt(profile.LINUX.name)

    @property
    def tcp_available_congestion_control(self) -> str:
        """The congestion controls that are registered now."""
        return " ".join(cc.CONTROLLERS)

    @property
    def tcp_allowed_congestion_control(self) -> str:
        """Those of them that TCP_CONGESTION may choose: all, until somebody said which."""
        return self._allowed or self.tcp_available_congestion_control

    @tcp_allowed_congestion_control.setter
    def tcp_allowed_congestion_control(self, names: str) -> None:
        self._allowed = names

    def __getattr__(self, name: str) -> int:  # reached for names without a slot only; types the slots for mypy
        raise AttributeError(name)

    def get(self, name: str) -> Value:
        """The value of `name`. ENOENT: no such knob."""
        self._known(name)
        value: Value = getattr(self, name)
        return value

    def set(self, name: str, value: Value) -> None:
        """Change `name`. ENOENT: no such knob; EINVAL: out of its range."""
        setattr(self, name, self._known(name).take(value))

    def adopt(self, name: str) -> None:
        """Speak TCP as profile `name` does: all settings become its own. ENOENT: no such profile."""
        wanted = profile.find(name)
        for knob in KNOBS.values():
            if knob.name not in _LISTS:
                setattr(self, knob.name, knob.default)
        self._allowed = ""
        self.profile = wanted
        for changed, value in wanted.sysctl:
            self.set(changed, value)

    def changed(self) -> dict[str, int | str]:
        """Those that differ from Linux's defaults, as sysctl(8) shows them; first the profile if it is not."""
        found = {name: text(self.get(name)) for name, knob in KNOBS.items() if self.get(name) != knob.default}
        return found if self.profile is profile.LINUX else {"profile": self.profile.name, **found}

    @staticmethod
    def _known(name: str) -> Knob:
        knob = KNOBS.get(name)
        if knob is None:
            raise OSError(errno.ENOENT, f"no sysctl {name}")
        return knob
