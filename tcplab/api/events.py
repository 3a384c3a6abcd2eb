"""What a run says of itself: one flat stream of events, in the order in which things happened.

Three tiers: *wire* (frames between the hosts), *stack* (what a host's TCP decided, and why), *socket* (calls of
the applications); and the *lab* itself. Every event has `t`, nanoseconds of lab time. Hosts are `a` and `b`; `x` is
the third party on the wire. A connection is named by `conn`, from its own host's point of view:
`10.77.0.1:40001>10.77.0.2:80`. `n` is the serial number of a frame on the wire, from 1; 0 is no frame.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tcplab.units import Nanos


class Event(msgspec.Struct, frozen=True, tag_field="ev", tag=str.lower, gc=False):
    """The common part. `t` is lab time in nanoseconds."""

    t: Nanos


# --- wire -----------------------------------------------------------------------------------------------------


class Sent(Event, frozen=True):
    """A host (or `x`) put a frame on the wire. The numbers are read from the frame itself."""

    n: int
    src: str
    """Who sent it: `a`, `b` or `x`."""
    dst: str
    """The side it travels to: `a` or `b`."""
    frame: bytes
    proto: str
    """`tcp`, `icmp`, `arp` or `other`."""
    text: str
    """One line in tcpdump's manner, with relative sequence numbers where they are known."""
    why: str
    """Why it was sent, in words. Never empty."""
    ref: str = ""
    """Where the rule stands: `RFC 9293 3.10.7.4`, `Linux tcp_timer.c`, or empty."""
    rtx: bool = False
    """It repeats sequence space that was sent before."""
    conn: str = ""
    """The flow as the *sender* names it (`saddr:sport>daddr:dport`), TCP only."""
    flags: str = ""
    """TCP flags, in the order `SFRPAUEW` reduced to lab notation: `S`, `SA`, `A`, `PA`, `FA`, `R`, `RA`."""
    seq: int = 0
    ack: int = 0
    """Raw, as on the wire."""
    rseq: int = 0
    rack: int = 0
    """Relative to the flow's ISNs; the raw number where no SYN was seen."""
    win: int = 0
    """The window field, unscaled, as on the wire."""
    len: int = 0
    """Payload octets."""
    opts: str = ""
    """TCP options in tcpdump's words: `mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7`."""


class Arrived(Event, frozen=True):
    """Frame `n` reached `host` and was given to its stack."""

    n: int
    host: str


class Lost(Event, frozen=True):
    """The wire lost frame `n`; `why` names the rule that did it."""

    n: int
    why: str


class Delayed(Event, frozen=True):
    """A rule (not the link's own delay) holds frame `n` until `until`."""

    n: int
    until: Nanos
    why: str


class Duplicated(Event, frozen=True):
    """A rule made a copy of frame `n`; the copy is frame `copy`, which gets its own Sent event."""

    n: int
    copy: int
    why: str


class CeMarked(Event, frozen=True):
    """A rule marked frame `n`: congestion experienced (ECN)."""

    n: int
    why: str


class Injected(Event, frozen=True):
    """The third party starts something: a flood, a forged segment. Drawn as a ruler."""

    text: str


# --- stack ----------------------------------------------------------------------------------------------------


class StateChanged(Event, frozen=True):
    """A connection moved. A request entry in the SYN queue shows as LISTEN -> SYN_RECV."""

    host: str
    conn: str
    old: str
    new: str
    why: str
    ref: str = ""


class Dropped(Event, frozen=True):
    """A host ignored frame `n` (or a part of it): `reason` is short, for the ladder; `counter` is Linux's."""

    host: str
    conn: str
    n: int
    reason: str
    counter: str = ""
    why: str = ""
    ref: str = ""


class Noted(Event, frozen=True):
    """Something a host noticed that is worth a word beside the arrow: `ooo 1448`, `dupACK 2`, `cwnd 10>5`."""

    host: str
    conn: str
    n: int
    note: str
    why: str = ""
    ref: str = ""


class Timer(Event, frozen=True):
    """A timer was `armed`, `fired` or `stopped`. `name` as in the views; `at` is when it expires(d)."""

    host: str
    conn: str
    name: str
    op: str
    at: Nanos
    rung: int = 0
    why: str = ""
    ref: str = ""


class Queue(Event, frozen=True):
    """A listener's `syn` or `accept` queue changed: op is `add`, `remove`, `full`."""

    host: str
    port: int
    which: str
    op: str
    length: int
    limit: int
    peer: str
    why: str = ""


# --- socket ---------------------------------------------------------------------------------------------------


class Called(Event, frozen=True):
    """A socket call of an application ended. `errno` is the symbol (`ECONNREFUSED`) or empty for success."""

    host: str
    app: str
    """The script's name for the connection or listener (`c1`), or the server's (`http`)."""
    op: str
    args: str
    result: str = ""
    errno: str = ""
    conn: str = ""
    octets: int = 0
    """For recv: how many; for send: how many were taken."""


class Named(Event, frozen=True):
    """From now on the script calls this connection `alias`; `host` sees it as `conn`. The application is on `owner`."""

    host: str
    alias: str
    conn: str
    owner: str


# --- lab ------------------------------------------------------------------------------------------------------


class Ran(Event, frozen=True):
    """A line of the command language took effect; `by` is `script`, `console` or `remote`."""

    line: str
    by: str


class Marked(Event, frozen=True):
    """The script's `mark NAME`: checks with `at = NAME` look at this instant."""

    name: str


class Stopped(Event, frozen=True):
    """The script's `stop`: the learner is asked these predictions; the run waits."""

    asks: tuple[str, ...]


class Ended(Event, frozen=True):
    """The script reached its end (`why` empty) or failed."""

    why: str = ""


AnyEvent: TypeAlias = (
    Sent
    | Arrived
    | Lost
    | Delayed
    | CeMarked
    | Duplicated
    | Injected
    | StateChanged
    | Dropped
    | Noted
    | Timer
    | Queue
    | Called
    | Named
    | Ran
    | Marked
    | Stopped
    | Ended
)
