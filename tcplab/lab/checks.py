"""Facts: each is computed from the trace and from the snapshots at marks, compared, and told as a story."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from tcplab.api.counters import full_name
from tcplab.api.events import AnyEvent, Called, Sent, StateChanged
from tcplab.api.views import CheckView, ConnView, HostView
from tcplab.lab.exercise import Check, Value
from tcplab.units import SEC, Nanos

END: Final = ""


class Instant(msgspec.Struct):
    """A mark, or the end: when, how many events there were, and both hosts."""

    t: Nanos
    events: int
    hosts: dict[str, HostView]


class Record(msgspec.Struct):
    """What a run has to say about itself. `names`: a script's name -> host -> connection as that host calls it."""

    events: list[AnyEvent]
    instants: dict[str, Instant] = {}
    names: dict[str, dict[str, str]] = {}


class Unknown(Exception):
    """The fact has no value yet: the run has not come there."""


def counter_of(view: HostView, name: str) -> int:
    """A counter by Linux's short name (`ListenDrops`, `OutRsts`) or nstat's (`TcpExtListenDrops`)."""
    return view.counters.get(full_name(name) or name, 0)


def evaluate(check: Check, record: Record) -> CheckView:
    """Where the check stands now. Without its instant it waits."""
    text = check.text or describe(check)
    expected = _expected(check)
    try:
        saw = value(check, record)
    except Unknown:
        return CheckView(check.id, text, "waiting", expected, "", check.why)
    final = check.at in record.instants
    holds = _holds(check, saw)
    status = ("passed" if holds else "failed") if final else "waiting"
    return CheckView(check.id, text, status, expected, show(saw), check.why)


def story(check: CheckView) -> str:
    """A failed check in words."""
    why = f" {check.why}" if check.why else ""
    return f"{check.text}: expected {check.expected}, but saw {check.saw}.{why}"


def value(check: Check, record: Record) -> Value:
    """What the run shows; Unknown when it has not come there."""
    return _FACTS[check.fact](check, record)


def _instant(check: Check, record: Record) -> Instant:
    found = record.instants.get(check.at)
    if found is None:
        raise Unknown
    return found


def _events(check: Check, record: Record) -> list[AnyEvent]:
    """The events up to the check's instant, or so far."""
    instant = record.instants.get(check.at)
    return record.events if instant is None else record.events[: instant.events]


def _label(check: Check, record: Record, host: str) -> str:
    names = record.names.get(check.conn)
    if names is None:
        raise Unknown
    return names[host]


def _connection(check: Check, record: Record) -> ConnView | None:
    label = _label(check, record, check.host)
    view = _instant(check, record).hosts[check.host]
    return next((conn for conn in view.conns if conn.conn == label), None)


def _state(check: Check, record: Record) -> Value:
    conn = _connection(check, record)
    if conn is not None:
        return conn.state
    label = _label(check, record, check.host)
    view = _instant(check, record).hosts[check.host]
    half_open = any(request.conn == label for listener in view.listeners for request in listener.syn_queue)
    return "SYN_RECV" if half_open else "CLOSED"


def _queue(check: Check, record: Record) -> Value:
    listeners = _instant(check, record).hosts[check.host].listeners
    chosen = [listener for listener in listeners if not check.port or listener.port == check.port]
    if not chosen:
        return 0
    return chosen[0].syn_len if check.which == "syn" else chosen[0].accept_len


def _counter(check: Check, record: Record) -> Value:
    return counter_of(_instant(check, record).hosts[check.host], check.name)


def _segments(check: Check, record: Record) -> list[Sent]:
    """The TCP segments that fit: connection, direction, exact flags, data."""
    flows: set[str] = set()
    if check.conn:
        names = record.names.get(check.conn)
        if names is None:
            return []
        flows = set(names.values())
    return [
        event
        for event in _events(check, record)
        if isinstance(event, Sent)
        and event.proto == "tcp"
        and (not check.conn or event.conn in flows)
        and (not check.dir or event.dst == check.dir[-1])
        and (not check.flags or event.flags == check.flags)
        and (not check.data or event.len > 0)
    ]


def _packets(check: Check, record: Record) -> Value:
    return len(_segments(check, record))


def _gaps(check: Check, record: Record) -> Value:
    """Seconds between equal segments; with `state`: between the hosts' entering it, a's first."""
    if check.state:
        times = [_entered(check, record, host) for host in ("a", "b")]
    else:
        times = [event.t for event in _segments(check, record)]
    return [(later - earlier) / SEC for earlier, later in zip(times, times[1:], strict=False)]


def _entered(check: Check, record: Record, host: str) -> Nanos:
    label = _label(check, record, host)
    for event in _events(check, record):
        if isinstance(event, StateChanged) and (event.host, event.conn, event.new) == (host, label, check.state):
            return event.t
    raise Unknown


def _order(check: Check, record: Record) -> Value:
    """`a>b S`, `b>a SA`, ... of the first segments, as many as are expected."""
    wanted = len(check.eq) if isinstance(check.eq, list) else 1
    return [f"{event.src}>{event.dst} {event.flags}" for event in _segments(check, record)[:wanted]]


def _field(check: Check, record: Record) -> Value:
    """A header field of the nth segment that fits; `kinds` lists its options by name."""
    found = _segments(check, record)
    if len(found) < check.nth:
        raise Unknown
    segment = found[check.nth - 1]
    if check.name == "kinds":
        return " ".join(word.split(" ")[0] for word in segment.opts.split(",")) if segment.opts else ""
    found_value = getattr(segment, check.name)
    assert isinstance(found_value, int | str)
    return found_value


def _errno(check: Check, record: Record) -> Value:
    """The errno symbol of the last call on a name (of `op`, when given); empty: it went well. Or when it was told."""
    last: Called | None = None
    for event in _events(check, record):
        named = isinstance(event, Called) and event.host == check.host and event.app == check.conn
        if named and isinstance(event, Called) and (not check.op or event.op == check.op):
            last = event
    if last is None:
        raise Unknown
    if check.measure == "time":
        return (last.t - _opened(check, record)) / SEC
    return last.errno


def _opened(check: Check, record: Record) -> Nanos:
    """When connect() was called: the connection entered SYN_SENT."""
    label = _label(check, record, check.host)
    for event in record.events:
        if isinstance(event, StateChanged) and (event.host, event.conn, event.new) == (check.host, label, "SYN_SENT"):
            return event.t
    raise Unknown


def _window(check: Check, record: Record) -> Value:
    conn = _connection(check, record)
    return conn.rcv_wnd if conn is not None else 0


def _cwnd(check: Check, record: Record) -> Value:
    conn = _connection(check, record)
    return conn.cwnd if conn is not None else 0


def _delivered(check: Check, record: Record) -> Value:
    """Octets that the application on `host` received from the connection."""
    label = _label(check, record, check.host)
    return sum(
        event.octets
        for event in _events(check, record)
        if isinstance(event, Called) and (event.host, event.op, event.conn) == (check.host, "recv", label)
    )


_FACTS: Final[dict[str, Callable[[Check, Record], Value]]] = {
    "state": _state,
    "queue": _queue,
    "counter": _counter,
    "packets": _packets,
    "gaps": _gaps,
    "order": _order,
    "field": _field,
    "errno": _errno,
    "window": _window,
    "cwnd": _cwnd,
    "delivered": _delivered,
}


def _holds(check: Check, saw: Value) -> bool:
    return (
        (check.eq is None or _equal(saw, check.eq, check.tol))
        and (check.in_ is None or any(_equal(saw, one, check.tol) for one in check.in_))
        and (check.min is None or (isinstance(saw, int | float) and saw >= check.min - check.tol))
        and (check.max is None or (isinstance(saw, int | float) and saw <= check.max + check.tol))
    )


def _equal(saw: object, wanted: object, tol: float) -> bool:
    if isinstance(saw, list) and isinstance(wanted, list):
        return len(saw) == len(wanted) and all(_equal(one, two, tol) for one, two in zip(saw, wanted, strict=True))
    if isinstance(saw, int | float) and isinstance(wanted, int | float):
        return abs(saw - wanted) <= tol + 1e-9
    return saw == wanted


def show(saw: Value) -> str:
    """A value as people read it."""
    if isinstance(saw, list):
        return ", ".join(show(one) for one in saw) or "nothing"
    if isinstance(saw, float):
        return f"{saw:.3f}".rstrip("0").rstrip(".")
    return "no error" if saw == "" else str(saw)


def _expected(check: Check) -> str:
    parts = []
    if check.eq is not None:
        parts.append(show(check.eq))
    if check.in_ is not None:
        parts.append("one of " + ", ".join(show(one) for one in check.in_))
    if check.min is not None:
        parts.append(f"at least {show(check.min)}")
    if check.max is not None:
        parts.append(f"at most {show(check.max)}")
    return " and ".join(parts) + (f" (give or take {show(check.tol)})" if check.tol else "")


def describe(check: Check) -> str:
    """The check in words, where the author gave none."""
    conn = f" of {check.conn}" if check.conn else ""
    kind = f"{check.dir} {check.flags}".strip() or "all"
    when = f" at {check.at!r}" if check.at else ""
    said = {
        "state": f"{check.conn} on {check.host}",
        "queue": f"{check.host}'s {'SYN' if check.which == 'syn' else 'accept'} queue",
        "counter": f"{check.host} counts {check.name}",
        "packets": f"segments {kind}{conn}",
        "gaps": f"from {check.state} on a to {check.state} on b" if check.state else f"seconds between {kind}{conn}",
        "order": f"first segments{conn}",
        "field": f"{check.name} in {kind}{conn}",
        "errno": f"{check.op or 'last call'} on {check.conn}{', seconds' if check.measure else ''}",
        "window": f"window that {check.host} offers{conn}",
        "cwnd": f"cwnd{conn} on {check.host}",
        "delivered": f"octets that {check.host} received{conn}",
    }[check.fact]
    return said + when
