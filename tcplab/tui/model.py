"""The fold: events become ladder rows and log entries. Pure, bounded, without Textual.

A row is a segment with what was noticed about it at both ends; or a ruler (something that somebody did), a fold (too
many segments in too short a time) or a remark (a host changed by itself: a timer, a call). Events that belong to a
segment find its row: what an arrival caused by the frame's number, what led to a sending by connection and instant.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tcplab.api import events as ev
from tcplab.tui.draw import names
from tcplab.units import MS, Nanos, duration

MOST_ROWS: Final = 4000
MOST_ENTRIES: Final = 1000
WINDOW: Final = 100 * MS
CROWD: Final = 60
"""Segments in one WINDOW that are still drawn one by one."""
MOST_PATHS: Final = 256
"""Connections whose states are remembered, both ends of each counted."""
ALIKE: Final = 4
"""Forged segments with the same end that are drawn one by one before the rest are gathered."""
_SACK_BLOCK: Final = re.compile(r"\{(\d+:\d+)\}")
_STEADY: Final = ("pacing",)
"""Timers that fire for every other segment: the ladder shows it, the log would show nothing else."""
_SILENT: Final = ("", "EAGAIN", "EINPROGRESS", "EALREADY")


@dataclass(slots=True)
class Note:
    """A word or two beside the arrow. `why` and `ref` are for the detail; `role` is its colour."""

    text: str
    role: str = ""
    why: str = ""
    ref: str = ""
    minor: bool = False
    """It yields to any other when there is room for one."""


@dataclass(slots=True)
class Row:
    """One line of the ladder. `kind`: segment, ruler, fold, remark."""

    kind: str
    t: Nanos
    serial: int
    """Counts rows for ever; a cursor keeps its row by it while old rows go."""
    sent: ev.Sent | None = None
    fate: str = "under way"
    """`under way`, `arrived`, `lost`, `dropped` (by the host), `gone` (to an address that nobody has)."""
    arrived: Nanos = 0
    fate_why: str = ""
    held: Nanos = 0
    notes: dict[str, list[Note]] = field(default_factory=lambda: {"a": [], "b": []})
    text: str = ""
    role: str = ""
    count: Counter[str] = field(default_factory=Counter)
    until: Nanos = 0

    @property
    def forged(self) -> bool:
        """The third party made it."""
        return self.sent is not None and self.sent.src == "x"


@dataclass(slots=True)
class Entry:
    """One line of the log: `who` is a, b, x, `wire`, `lab` or the app."""

    t: Nanos
    who: str
    text: str
    role: str = ""
    reason: str = ""
    """Why a segment was dropped; the same again is counted in `more`."""
    more: int = 0


@dataclass(slots=True)
class _Waiting:
    """Notes of a host that wait for the segment it sends at the same instant on this connection."""

    t: Nanos
    host: str
    conn: str
    note: Note
    alone: bool
    """Worth a row of its own if no segment comes."""


class Model:
    """What the screen knows. `fold` takes the events of one pull; `version` grows whenever a row changes."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque(maxlen=MOST_ROWS)
        self.log: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self.aliases: dict[str, str] = {}
        self.paths: dict[tuple[str, str], list[tuple[str, str]]] = {}
        """By host and connection, the states that it entered there, each with the reason."""
        self.segments = 0
        self.version = 0
        self._serial = 0
        self._by_frame: dict[int, Row] = {}
        self._waiting: list[_Waiting] = []
        self._arrival: tuple[Nanos, str, int] = (-1, "", 0)
        self._rung: dict[tuple[str, str], int] = {}
        self._full: dict[tuple[str, int, str], bool] = {}
        self._newest = 0
        self._window = 0
        self._in_window = 0
        self._crowded = False
        self._fold: Row | None = None

    def fold(self, events: Iterable[ev.AnyEvent], gap: int = 0) -> None:
        """Take the events of one pull, in order; `gap` events before them were left out."""
        if gap:
            self._add(Row("fold", 0, 0, text=f"{gap:,} events left out: more came than the screen could read"))
        for event in events:
            self._one(event)
        self._flush(None)
        self.version += 1

    def _one(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.Sent():
                self._sent(event)
            case ev.Arrived():
                self._flush(event.t)
                self._arrival = (event.t, event.host, event.n)
                if (row := self._by_frame.get(event.n)) is not None:
                    row.arrived = event.t
                    if row.fate == "under way":
                        row.fate = "gone" if event.host == "x" else "arrived"
            case ev.Lost() | ev.Delayed() | ev.Duplicated() | ev.CeMarked():
                self._wire(event)
            case ev.StateChanged():
                self._state(event)
            case ev.Dropped() | ev.Noted():
                self._noticed(event)
            case ev.Timer():
                self._timer(event)
            case ev.Queue():
                self._queue(event)
            case ev.Called():
                self._called(event)
            case ev.Named():
                self._named(event)
            case _:
                self._lab(event)

    def _named(self, event: ev.Named) -> None:
        """Each host calls the connection by the name of its own application, if that has one."""
        if event.owner == event.host or event.conn not in self.aliases:
            self.aliases[event.conn] = event.alias
        self.aliases.setdefault(names.reverse(event.conn), event.alias)

    # --- the wire -------------------------------------------------------------------------------------------

    def _sent(self, event: ev.Sent) -> None:
        self.segments += 1
        self._newest = max(self._newest, event.n)
        if self._crowd(event):
            self._waiting = [one for one in self._waiting if one.conn != event.conn or one.t != event.t]
            return
        row = self._add(Row("segment", event.t, 0, sent=event))
        self._by_frame[event.n] = row
        if event.src == "x":
            row.notes["a" if event.dst == "b" else "b"].append(Note("(forged)", "x", event.why, event.ref))
            return
        mine = [one for one in self._waiting if (one.t, one.host, one.conn) == (event.t, event.src, event.conn)]
        self._waiting = [one for one in self._waiting if one not in mine]
        notes = [one.note for one in mine]
        rung = self._rung.get((event.src, event.conn), 0)
        for note in notes:
            if event.rtx and rung and note.role == "rtx":
                note.text += f" #{rung}"
        if event.rtx and not any(note.role == "rtx" for note in notes):
            notes.append(Note(f"rtx #{rung}" if rung else "rtx", "rtx", event.why, event.ref))
        row.notes[event.src].extend(notes)

    def _crowd(self, event: ev.Sent) -> bool:
        """Whether this segment goes into a fold row; a crowd ends with the first window that is not crowded."""
        window = event.t // WINDOW
        if window != self._window:
            self._crowded = self._in_window > CROWD and window == self._window + 1
            self._window, self._in_window, self._fold = window, 0, None
        self._in_window += 1
        if self._in_window <= (1 if self._crowded else CROWD):
            return False
        if self._fold is None:
            last = self.rows[-1]
            goes_on = last.kind == "fold" and not last.text and event.t - last.until < 2 * WINDOW
            self._fold = last if goes_on else self._add(Row("fold", event.t, 0))
        self._fold.count[names.flags(event.flags) if event.proto == "tcp" else event.proto] += 1
        self._fold.until = event.t
        return True

    def _wire(self, event: ev.Lost | ev.Delayed | ev.Duplicated | ev.CeMarked) -> None:
        row = self._by_frame.get(event.n)
        what = f"frame {event.n}" if row is None or row.sent is None else label(row.sent)
        match event:
            case ev.Lost():
                if row is not None:
                    row.fate, row.fate_why = "lost", event.why
                self._say(event.t, "wire", f"lost {what}", "trouble")
            case ev.Delayed():
                if row is not None:
                    row.held, row.fate_why = event.until - event.t, event.why
                self._say(event.t, "wire", f"holds {what} for {duration(event.until - event.t)}", "rtx")
            case ev.Duplicated():
                if row is not None:
                    row.fate_why = event.why
                self._say(event.t, "wire", f"copies {what}", "rtx")
            case ev.CeMarked():
                if row is not None:
                    row.fate_why = event.why
                self._say(event.t, "wire", f"marks {what}: congestion", "rtx")

    # --- the hosts ------------------------------------------------------------------------------------------

    def _note(self, event: ev.AnyEvent, host: str, conn: str, note: Note, n: int = 0, alone: bool = True) -> None:
        """Beside the frame it names, the frame whose arrival caused it, or the segment that is about to be sent."""
        at, where, number = self._arrival
        if not n and at == event.t and where == host:
            n = number if self._is_of(number, conn) or self._is_folded(number) else 0
        row = self._by_frame.get(n)
        if row is not None and host in row.notes:
            row.notes[host].append(note)
        elif not self._is_folded(n):
            self._waiting.append(_Waiting(event.t, host, conn, note, alone))

    def _is_of(self, number: int, conn: str) -> bool:
        row = self._by_frame.get(number)
        return row is not None and row.sent is not None and (not conn or row.sent.conn == names.reverse(conn))

    def _is_folded(self, number: int) -> bool:
        """The frame was seen, but has no row (any more): what is noticed about it is only counted."""
        return 0 < number <= self._newest and number not in self._by_frame

    def _walk(self, event: ev.StateChanged) -> None:
        key = (event.host, event.conn)
        if event.old in ("CLOSED", "LISTEN"):
            self.paths.pop(key, None)
            if len(self.paths) >= MOST_PATHS:
                del self.paths[next(iter(self.paths))]
        self.paths.setdefault(key, []).append((event.new, event.why))

    def _state(self, event: ev.StateChanged) -> None:
        self._flush(event.t)
        self._walk(event)
        end = event.new == "CLOSED" and event.old not in ("TIME_WAIT", "LAST_ACK", "LISTEN")
        role = "trouble" if end else f"{event.host}+"
        self._note(event, event.host, event.conn, Note(names.state(event.new), role, event.why, event.ref))
        if event.new == "CLOSED":
            self._rung.pop((event.host, event.conn), None)
        who, text = self.name(event.conn), f"{names.state(event.old)} {{to}} {names.state(event.new)}"
        self._say(event.t, event.host, f"{who} {text}", "trouble" if end else "")

    def _noticed(self, event: ev.Dropped | ev.Noted) -> None:
        if isinstance(event, ev.Noted):
            self._note(event, event.host, event.conn, Note(event.note, "rtx", event.why, event.ref, True), event.n)
            return
        why = f"{event.why} ({event.counter})" if event.counter and event.why else event.why or event.counter
        note = Note(f"{{lost}} {event.reason}", "trouble", why, event.ref)
        self._note(event, event.host, event.conn, note, event.n)
        if (row := self._by_frame.get(event.n)) is not None:
            row.fate, row.fate_why = "dropped", why
        self._say_dropped(event)
        if row is not None and row.forged:
            self._gather(row, event.reason)
        elif self._fold is not None and self._is_folded(event.n):
            self._fold.role = f"dropped, {event.reason}"

    def _gather(self, row: Row, reason: str) -> None:
        """Forged segments that meet the same end, one after the other: after a few the rest are counted, not drawn."""
        row.role = f"dropped, {reason}"
        if self.rows[-1] is not row or row.sent is None or len(self.rows) <= ALIKE:
            return
        before = self.rows[-2]
        if before.kind == "fold" and before.role == row.role:
            self._by_frame.pop(row.sent.n, None)
            self.rows.pop()
            self._serial -= 1
            before.count[names.flags(row.sent.flags)] += 1
            before.until = row.t
        elif all(self.rows[-at].role == row.role for at in range(2, ALIKE + 2)):
            self._by_frame.pop(row.sent.n, None)
            row.count[names.flags(row.sent.flags)] += 1
            row.kind, row.sent, row.until = "fold", None, row.t

    def _say_dropped(self, event: ev.Dropped) -> None:
        """The same reason again and again is one line with a count."""
        last = self.log[-1] if self.log else None
        if last is not None and last.reason == event.reason and last.who == event.host:
            last.more += 1
            last.text = f"{last.text.partition(' (and')[0]} (and {last.more:,} more)"
            return
        what = self._of(event.n, event.conn)
        self.log.append(Entry(event.t, event.host, f"drops {what}: {event.reason}", "trouble", event.reason))

    def _of(self, n: int, conn: str) -> str:
        row = self._by_frame.get(n)
        if row is not None and row.sent is not None:
            return f"{label(row.sent)} of {names.ends(row.sent.conn)[0]}" if row.sent.conn else label(row.sent)
        return self.name(conn) if conn else f"frame {n}"

    def _timer(self, event: ev.Timer) -> None:
        key = (event.host, event.conn)
        if event.op == "armed" and event.rung:
            self._rung[key] = event.rung
        elif event.op == "armed":
            self._rung.pop(key, None)
        if event.op != "fired":
            return
        self._flush(event.t)
        name = names.TIMERS.get(event.name, event.name)
        steady = event.name in _STEADY
        note = Note(name, "dim" if steady else "rtx", event.why or f"the {name} timer fired", event.ref)
        self._waiting.append(_Waiting(event.t, event.host, event.conn, note, False))
        if not steady:
            self._say(event.t, event.host, f"{self.name(event.conn)} timer {name} fired", "rtx")

    def _queue(self, event: ev.Queue) -> None:
        what = "SYN queue" if event.which == "syn" else "accept queue"
        key = (event.host, event.port, event.which)
        if event.op == "remove":
            self._full.pop(key, None)
        elif event.length >= event.limit and key not in self._full:
            self._full[key] = True
            self._say(event.t, event.host, f":{event.port} {what} FULL {event.length}/{event.limit}", "trouble")

    def _called(self, event: ev.Called) -> None:
        result = event.errno or event.result or (f"{event.octets} octets" if event.octets else "ok")
        app = f"{event.app} " if event.app else ""
        self._say(event.t, event.host, f"{app}{event.op}({event.args}) = {result}", "trouble" if event.errno else "dim")
        if event.errno not in _SILENT:
            note = Note(event.errno, "trouble", f"{event.op}() fails with {event.errno}")
            self._note(event, event.host, event.conn, note)

    # --- the lab --------------------------------------------------------------------------------------------

    def _lab(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.Injected():
                self._ruler(event.t, f"inject {event.text}", "x")
            case ev.Ran():
                line = names.bare(event.line)
                if line.split(" ")[0] not in ("mark", "stop"):  # they say it themselves
                    self._ruler(event.t, line, "ruler" if event.by == "script" else "accent")
            case ev.Marked():
                self._ruler(event.t, f"mark {event.name}", "dim")
            case ev.Stopped():
                self._ruler(event.t, "predict: what happens next?", "accent")
            case ev.Ended():
                self._ruler(event.t, f"the run failed: {event.why}" if event.why else "end of the script", "dim")
            case _:
                pass

    def _ruler(self, t: Nanos, text: str, role: str) -> None:
        self._flush(None)
        self._add(Row("ruler", t, 0, text=text, role=role))
        self._say(t, "lab", text, role)

    def _flush(self, now: Nanos | None) -> None:
        """Notes that found no segment by `now` (None: at all) get a row of their own, if they are worth one."""
        if not self._waiting:
            return
        late = [one for one in self._waiting if now is None or one.t != now]
        if not late:
            return
        self._waiting = [one for one in self._waiting if one not in late]
        for one in late:
            if not one.alone or one.host not in ("a", "b"):
                continue
            name = self.name(one.conn) if one.conn else ""
            row = self.rows[-1] if self.rows else None
            if row is None or (row.kind, row.t, row.text) != ("remark", one.t, name) or not row.notes[one.host]:
                row = self._add(Row("remark", one.t, 0, text=name))
            row.notes[one.host].append(one.note)

    def _add(self, row: Row) -> Row:
        self._serial += 1
        row.serial = self._serial
        if len(self.rows) == MOST_ROWS and (old := self.rows[0].sent) is not None:
            self._by_frame.pop(old.n, None)
        self.rows.append(row)
        return row

    def _say(self, t: Nanos, who: str, text: str, role: str = "") -> None:
        self.log.append(Entry(t, who, text, role))

    def name(self, conn: str) -> str:
        """What a person calls the connection: its alias, or its own port, or for a forged peer the peer."""
        if alias := self.aliases.get(conn):
            return alias
        local, peer = names.ends(conn)
        return local if peer[:2] in ("a:", "b:") else peer


def label(sent: ev.Sent, raw: bool = False, room: int = 1000) -> str:
    """The segment in a few words, as many as fit: `SYN,ACK seq 0 ack 1`, `PSH,ACK 1:1449(1448)`, `ACK ack 6 SACK 9:12`.

    `raw`: absolute numbers, and no SACK blocks. Of data its numbers matter most: that it acknowledges need not be said.
    """
    if sent.proto != "tcp":
        return sent.text[:room]
    seq, ack = (sent.seq, sent.ack) if raw else (sent.rseq, sent.rack)
    words = [("RTX " if sent.rtx else "") + names.flags(sent.flags)]
    pure = "A" in sent.flags and not sent.flags.strip("AEW") and not sent.len
    if sent.len:
        words = _of_data(words[0], seq, (seq + sent.len) & 0xFFFFFFFF, sent.len, room)
    elif not pure:
        words.append(f"seq {seq}")
    if pure or ("A" in sent.flags and ("S" in sent.flags or "F" in sent.flags) and not sent.len):
        words.append(f"ack {ack}")
    if sent.win == 0 and "R" not in sent.flags:
        words.append("win 0")
    blocks = _SACK_BLOCK.findall(sent.opts)
    if blocks and not raw:
        words = _of_sack(words, blocks, room)
    while len(words) > 1 and len(" ".join(words)) > room:
        words.pop()
    return " ".join(words)[:room]


def _of_data(flags: str, first: int, end: int, size: int, room: int) -> list[str]:
    """A segment's flags and what it carries; before that is left out, `ACK` is, and then how long it is."""
    less = flags.removesuffix("ACK").rstrip(",")
    few = f"{less.rstrip()} {first}:{end}".lstrip()
    for text in (f"{flags} {first}:{end}({size})", f"{few}({size})", few):
        if len(text) <= room:
            return [text]
    return [flags]


def _of_sack(words: list[str], blocks: list[str], room: int) -> list[str]:
    """What came out of order, the newest block first: of the others at least how many there are."""
    told = " ".join(words)
    few = told.removeprefix("ACK ")
    newest = f"SACK {blocks[0]}"
    counted = f"{newest} +{len(blocks) - 1}" if len(blocks) > 1 else newest
    for text in (f"{told} SACK {' '.join(blocks)}", f"{told} {counted}", f"{few} {counted}", f"{few} {newest}"):
        if len(text) <= room:
            return [text]
    return [*words, "SACK"]


def fold_text(row: Row) -> str:
    """`4,812 more segments in 100 ms (SYN 4,790, RST 22)`, `96 more SYN in 1.9 s: dropped, synq full`."""
    if row.text:
        return row.text
    parts = ", ".join(f"{kind} {count:,}" for kind, count in row.count.most_common(4))
    span = duration(max(row.until - row.t, MS))
    total = row.count.total()
    end = f": {row.role}" if row.role else ""
    if len(row.count) == 1:
        return f"{total:,} more {next(iter(row.count))} in {span}{end}"
    return f"{total:,} more segment{'s' if total > 1 else ''} in {span} ({parts}){end}"
