"""Units of the house: time is whole nanoseconds, sequence numbers are 32-bit integers."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Nanos: TypeAlias = int
"""A point in lab time, or a span of it, in nanoseconds. Lab time starts at 0."""

Seq: TypeAlias = int
"""A TCP sequence number, 0 .. 2**32-1. Compare them only with `tcplab.tcp.seq`."""

US: Final = 1_000
MS: Final = 1_000_000
SEC: Final = 1_000_000_000
NEVER: Final = 1 << 62
"""A deadline that never comes."""

_UNITS: Final = {"ns": 1, "us": US, "ms": MS, "s": SEC, "m": 60 * SEC, "min": 60 * SEC}
_DURATION: Final = re.compile(r"(\d+)(?:\.(\d+))?(ns|us|ms|s|min|m)")


def parse_duration(text: str) -> Nanos:
    """Read a span such as `200ms`, `1.5s`, `40us`, `2m`. Raises ValueError with what was expected."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time; expected a number and a unit, such as 200ms or 1.5s")
    whole, part, unit = found.groups()
    scale = _UNITS[unit]
    nanos = int(whole) * scale
    if part:
        nanos += int(part) * scale // 10 ** len(part)
    return nanos


def duration(nanos: Nanos) -> str:
    """A span as people write it: `40 ms`, `1.5 s`, `250 us`; at most three decimals."""
    for scale, unit in ((SEC, "s"), (MS, "ms"), (US, "us")):
        if abs(nanos) >= scale:
            whole, rest = divmod(abs(nanos) * 1000 // scale, 1000)
            text = f"{whole}.{rest:03d}".rstrip("0").rstrip(".")
            return f"{'-' if nanos < 0 else ''}{text} {unit}"
    return f"{nanos} ns" if nanos else "0 s"


def clock(nanos: Nanos) -> str:
    """A point in lab time as `SSSS.mmm` in milliseconds' precision: `3.250` is 3 s 250 ms."""
    whole, rest = divmod(nanos // MS, 1000)
    return f"{whole}.{rest:03d}"
