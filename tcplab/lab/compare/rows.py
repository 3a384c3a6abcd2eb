"""What happened in a run as rows that can be compared: without random numbers, ports and descriptors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tcplab.api.events import AnyEvent, Called, Lost, Sent, StateChanged
from tcplab.api.views import HostView
from tcplab.units import Nanos

SEGMENT, STATE, CALL = "segment", "state", "call"
_UNTOLD: Final = ("socket", "accept")
"""Calls whose result is a descriptor."""
_LABEL: Final = re.compile(r"\d+\.\d+\.\d+\.\d+:\d+")
_EPHEMERAL: Final = 32768
_OLD: Final = "old"
_FAR, _NEAR = 1 << 31, 1 << 18
_CONN_FIELDS: Final = (
    "recv_q", "send_q", "not_sent", "options", "mss", "cwnd", "ssthresh", "ca_state", "packets_out",
    "sacked_out", "lost_out", "retrans_out", "total_retrans", "backoff",
)  # fmt: skip
_LISTENER_FIELDS: Final = ("accept_len", "max_ack_backlog", "syn_len")


class Row(msgspec.Struct, frozen=True):
    """One thing that happened. Rows of the same `track` are aligned by `key`, then their `fields` are compared."""

    t: Nanos
    kind: str
    who: str
    """A direction, `a>b`, or a host."""
    flow: str
    """The script's name of the connection, or #1, #2 in the order in which they began; empty: none."""
    key: str
    fields: dict[str, str]
    why: str = ""

    @property
    def track(self) -> tuple[str, str, str]:
        """What it is aligned within."""
        return self.kind, self.who, self.flow


class Run(msgspec.Struct):
    """A whole run. `variables`: what each host holds at each mark and at the end; `notes`: what could not be had."""

    stack: str
    rows: list[Row]
    counters: dict[str, dict[str, int]]
    variables: dict[str, dict[str, str]]
    end: Nanos
    error: str = ""
    notes: list[str] = []


class Flows:
    """Which connection is which, in a run where ports are random."""

    def __init__(self, names: Mapping[str, Mapping[str, str]]) -> None:
        self._names: dict[frozenset[str], str] = {}
        for name, conns in names.items():
            for conn in conns.values():
                self._names.setdefault(frozenset(conn.split(">")), name)
        self._count = 0

    def of(self, conn: str) -> str:
        """The name of the connection that somebody calls `conn`."""
        if not conn:
            return ""
        ends = frozenset(conn.split(">"))
        if ends not in self._names:
            self._count += 1
            self._names[ends] = f"#{self._count}"
        return self._names[ends]


def of_events(events: Iterable[AnyEvent], names: Mapping[str, Mapping[str, str]]) -> tuple[list[Row], Flows]:
    """The rows of a trace, in the order of time."""
    flows = Flows(names)
    events = list(events)
    lost = {event.n: event.why.partition("#")[0].strip() for event in events if isinstance(event, Lost)}
    rows: list[Row] = []
    for event in events:
        if isinstance(event, Sent):
            rows.append(_segment(event, flows, lost.get(event.n, "")))
        elif isinstance(event, StateChanged):
            if event.new != "LISTEN" and event.conn:
                rows.append(_state(event, flows))
        elif isinstance(event, Called) and not (event.op == "getsockopt" and event.args == "SO_ERROR"):
            rows.append(_call(event, flows))
    rows.sort(key=lambda row: row.t)
    return _settled(rows), flows


def _settled(rows: list[Row]) -> list[Row]:
    """Of several states of a connection in one instant only the last can be seen from outside."""
    last = {(row.track, row.t): row for row in rows if row.kind == STATE}
    return [row for row in rows if row.kind != STATE or last[row.track, row.t] is row]


def _segment(event: Sent, flows: Flows, lost: str) -> Row:
    who = f"{event.src}>{event.dst}"
    fields = {"lost": lost} if lost else {}
    if event.proto != "tcp":
        return Row(event.t, SEGMENT, who, "", _LABEL.sub("", event.text), fields, event.why)
    kind = event.flags.replace("P", "") or "none"
    first = "0" if event.flags == "RA" and not event.seq else _number(event.rseq)  # a RST of nobody has no number
    last = int(first) + event.len if first != _OLD else _OLD
    key = f"{kind} {first}:{last}({event.len})"
    fields |= {"PSH": str("P" in event.flags), "win": str(event.win), "options": _options(event.opts)}
    if "A" in event.flags:
        fields["ack"] = _number(event.rack)
    return Row(event.t, SEGMENT, who, flows.of(event.conn), key, fields, event.why)


def _number(relative: int) -> str:
    """What lies far before the ISN belongs to a connection before this one, and to chance."""
    return _OLD if _FAR < relative < 2**32 - _NEAR else str(relative)


def _options(text: str) -> str:
    """Without what is random: timestamps, of which only an echo of nothing shows, and cookies."""
    text = re.sub(r"TS val \d+ ecr (\d+)", lambda found: "TS ecr 0" if found[1] == "0" else "TS", text)
    return re.sub(r"(cookie) [0-9a-f]+", lambda found: f"{found[1]} of {(len(found[0]) - 7) // 2} octets", text)


def _state(event: StateChanged, flows: Flows) -> Row:
    return Row(event.t, STATE, event.host, flows.of(event.conn), event.new, {}, event.why)


def _call(event: Called, flows: Flows) -> Row:
    result = "" if event.op in _UNTOLD else event.result
    fields = {"errno": event.errno, "result": result}
    args = re.sub(r":(\d+)", lambda found: ":*" if int(found[1]) >= _EPHEMERAL else found[0], event.args)
    key = f"{event.app} {event.op}({args})"
    return Row(event.t, CALL, event.host, flows.of(event.conn), key, fields)


def variables_of(view: HostView, flows: Flows) -> dict[str, str]:
    """What a host holds at one instant: connections and listeners."""
    found: dict[str, str] = {}
    for conn in sorted(view.conns, key=lambda conn: flows.of(conn.conn)):
        if conn.state == "CLOSED":
            continue
        name = f"{view.name} {flows.of(conn.conn)}"
        found[f"{name} state"] = conn.state
        if conn.cwnd:
            found.update((f"{name} {field}", str(getattr(conn, field))) for field in _CONN_FIELDS)
    for listener in view.listeners:
        name = f"{view.name} :{listener.port}"
        found.update((f"{name} {field}", str(getattr(listener, field))) for field in _LISTENER_FIELDS)
    return found
