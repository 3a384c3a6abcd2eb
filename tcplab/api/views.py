"""Snapshots: what a host, and the lab, look like at one instant. Field names are Linux's where Linux has one."""

from __future__ import annotations

import msgspec

from tcplab.units import Nanos


class TimerView(msgspec.Struct, frozen=True):
    """One armed timer. `rung` of `rungs` is its place on a ladder of retries (0 of 0: no ladder)."""

    name: str
    """`rto`, `delack`, `persist`, `keepalive`, `timewait`, `finwait2`, `synack`."""
    armed: Nanos
    expires: Nanos
    rung: int = 0
    rungs: int = 0
    why: str = ""


class ConnView(msgspec.Struct, frozen=True):
    """One connection (also TIME_WAIT buckets). Sequence numbers are raw; times in the unit of the name."""

    conn: str
    """`10.77.0.1:40001>10.77.0.2:80`"""
    local: str
    peer: str
    state: str
    alias: str = ""
    fd: int = -1
    """-1: an orphan, or not yet accepted."""
    iss: int = 0
    irs: int = 0
    snd_una: int = 0
    snd_nxt: int = 0
    snd_wnd: int = 0
    rcv_nxt: int = 0
    rcv_wnd: int = 0
    snd_wscale: int = 0
    rcv_wscale: int = 0
    options: str = ""
    """As ss prints them: `ts sack wscale:10,10`."""
    mss: int = 0
    advmss: int = 0
    cwnd: int = 0
    ssthresh: int = 0
    """Segments; 2**31-1 is infinite, as in Linux."""
    ca_state: str = ""
    """`Open`, `Disorder`, `Recovery`, `Loss`."""
    congestion: str = ""
    """Name of the algorithm: `reno`."""
    packets_out: int = 0
    sacked_out: int = 0
    lost_out: int = 0
    retrans_out: int = 0
    total_retrans: int = 0
    dupacks: int = 0
    srtt_us: int = 0
    rttvar_us: int = 0
    rto_us: int = 0
    backoff: int = 0
    recv_q: int = 0
    """Octets the application has not read; a FIN counts as one (LISTEN: see ListenerView)."""
    send_q: int = 0
    """Octets not acknowledged, sent or not; SYN and FIN count as one each."""
    not_sent: int = 0
    ooo: tuple[tuple[int, int], ...] = ()
    """Received out of order: raw (left, right) edges, right exclusive."""
    sacked: tuple[tuple[int, int], ...] = ()
    """What the peer has SACKed."""
    bytes_acked: int = 0
    bytes_received: int = 0
    segs_out: int = 0
    segs_in: int = 0
    timers: tuple[TimerView, ...] = ()


class RequestView(msgspec.Struct, frozen=True):
    """A half-open entry of the SYN queue (SYN_RECV)."""

    conn: str
    peer: str
    since: Nanos
    retrans: int
    """SYN,ACKs repeated by timer so far."""
    retries: int
    """tcp_synack_retries as it counts for this entry."""
    iss: int = 0
    irs: int = 0
    timers: tuple[TimerView, ...] = ()


class ListenerView(msgspec.Struct, frozen=True):
    """A listening socket with both its queues and their effective limits."""

    local: str
    port: int
    backlog: int
    """What listen(2) was asked for."""
    max_ack_backlog: int
    """min(backlog, somaxconn): ss's Send-Q."""
    syn_queue: tuple[RequestView, ...]
    """At most the 64 oldest."""
    syn_len: int
    syn_limit: int
    """How many entries fit."""
    syn_limit_why: str
    accept_queue: tuple[str, ...]
    """Peers waiting for accept(), oldest first (at most 64)."""
    accept_len: int
    accept_limit: int
    accept_limit_why: str
    syn_dropped: int = 0
    overflows: int = 0
    cookies_sent: int = 0
    fd: int = -1
    congestion: str = ""
    alias: str = ""


class HostView(msgspec.Struct, frozen=True):
    """One host at one instant."""

    name: str
    addr: str
    stack: str
    """`tcplab` or `linux`."""
    conns: tuple[ConnView, ...]
    listeners: tuple[ListenerView, ...]
    counters: dict[str, int]
    """nstat names, only those that are not 0: `TcpActiveOpens`, `TcpExtListenDrops`."""
    sysctl: dict[str, int | str]
    """Only those that differ from Linux's defaults."""


class CheckView(msgspec.Struct, frozen=True):
    """One check of an exercise: `status` is `waiting`, `passed` or `failed`."""

    id: str
    text: str
    """What is expected, in words."""
    status: str
    expected: str = ""
    saw: str = ""
    why: str = ""


class Choice(msgspec.Struct, frozen=True):
    """One option of a question."""

    id: str
    text: str


class PredictView(msgspec.Struct, frozen=True):
    """A question to the learner. `given` is empty until it is answered; `right` and `because` come with the debrief."""

    id: str
    ask: str
    choices: tuple[Choice, ...] = ()
    """Empty: a number or a word is typed."""
    given: str = ""
    asked: bool = False
    """The script is at the stop that asks it, or past it."""
    right: bool | None = None
    answer: str = ""
    because: str = ""


class ExerciseView(msgspec.Struct, frozen=True):
    """The exercise that is loaded and how far the learner is. Empty `id`: free play or a plain script."""

    id: str = ""
    title: str = ""
    track: str = ""
    level: int = 0
    minutes: int = 0
    goal: str = ""
    brief: str = ""
    refs: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    line: int = 0
    """Index of the script line that runs next; len(script): at the end."""
    phase: str = "ready"
    """`ready`, `running`, `predict`, `done`, `error`."""
    checks: tuple[CheckView, ...] = ()
    predicts: tuple[PredictView, ...] = ()
    hints: tuple[str, ...] = ()
    hints_shown: int = 0
    claim: str = ""
    truth: str = ""
    reveal: str = ""
    error: str = ""


class LabView(msgspec.Struct, frozen=True):
    """The whole lab at one instant: one per refresh, the latest wins."""

    t: Nanos
    engine: str
    """`veth` or `sim`."""
    seed: int
    clock: str
    """`virtual` or `paced`."""
    playing: bool
    """False: paused."""
    rate: tuple[int, int]
    """Lab time per wall time as (numerator, denominator)."""
    next_at: Nanos
    """When the next event is due; units.NEVER: none."""
    next_text: str
    """What it is: `RTO a:40001`, `script: wait`."""
    a: HostView
    b: HostView
    link: str
    """What the wire does: `delay 5 ms`."""
    faults: tuple[str, ...]
    """Active rules, as the command lines that made them."""
    frames: int
    exercise: ExerciseView
    notice: str = ""
    """Something the person should know: why the engine is `sim`, say."""
