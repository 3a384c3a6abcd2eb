"""How the screen spells things: states as `ss` shortens them, flags in full, hosts and ports instead of addresses."""

from __future__ import annotations

import re
from typing import Final

from tcplab.units import MS, SEC, Nanos

HOST_OF: Final = {"10.77.0.1": "a", "10.77.0.2": "b", "10.77.0.101": "a*", "10.77.0.102": "b*"}
"""The lab's addresses; a star is the kernel's own second address."""
FLAGS: Final = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", "A": "ACK", "U": "URG", "E": "ECE", "W": "CWR"}
TIMERS: Final = {
    "rto": "RTO",
    "delack": "delayed ACK",
    "persist": "persist",
    "keepalive": "keepalive",
    "tlp": "TLP",
    "reo": "RACK",
    "compress": "comp. ACK",
    "pacing": "pacing",
    "timewait": "2MSL",
    "finwait2": "FIN_WAIT_2",
    "synack": "SYN,ACK",
}
_COMMENT: Final = re.compile(r"\s+#\s[^\"]*$")
INFINITE: Final = 0x7FFF_FFFF
"""An ssthresh that nothing has lowered yet, as Linux stores it."""


def state(name: str) -> str:
    """`ESTAB` for ESTABLISHED, as ss has it; all others are short enough."""
    return "ESTAB" if name == "ESTABLISHED" else name


def flags(short: str) -> str:
    """`SYN,ACK` for `SA`; `none` for a segment without flags."""
    return ",".join(FLAGS.get(letter, letter) for letter in short) or "none"


def bare(line: str) -> str:
    """A line of the lab's language without its comment."""
    return _COMMENT.sub("", line)


def endpoint(text: str) -> str:
    """`b:80` for 10.77.0.2:80; other addresses as they are."""
    address, _, port = text.rpartition(":")
    return f"{HOST_OF.get(address, address)}:{port}" if port else text


def port(text: str) -> str:
    """`:80` for 10.77.0.2:80."""
    return ":" + text.rpartition(":")[2]


def ends(conn: str) -> tuple[str, str]:
    """Both endpoints of `local>peer`, shortened."""
    local, _, peer = conn.partition(">")
    return endpoint(local), endpoint(peer)


def reverse(conn: str) -> str:
    """The same connection as the other host names it."""
    local, _, peer = conn.partition(">")
    return f"{peer}>{local}"


def moment(t: Nanos) -> str:
    """Lab time in milliseconds with microseconds behind the point: `3060.790`."""
    whole, rest = divmod(t // 1000, 1000)
    return f"{whole}.{rest:03d}"


def stopwatch(t: Nanos) -> str:
    """Lab time as `MM:SS.mmm`."""
    seconds, rest = divmod(t // MS, 1000)
    return f"{seconds // 60:02d}:{seconds % 60:02d}.{rest:03d}"


def progress(elapsed: Nanos, total: Nanos) -> str:
    """`148/220 ms`, `13.4/60 s`: in the unit that fits the whole; always the same number of decimals in it."""
    elapsed = max(0, min(elapsed, total))
    if total >= SEC:
        return f"{elapsed // (100 * MS) / 10:.1f}/{total / SEC:.4g} s"
    return f"{elapsed // MS}/{total / MS:.4g} ms"
