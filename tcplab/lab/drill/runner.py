"""Plays a script: does what it says, and holds what happens against what it expects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tcplab.lab.drill import shell, symbols, wire
from tcplab.lab.drill.calls import Calls
from tcplab.lab.drill.code import Assertions
from tcplab.lab.drill.errors import Mismatch, NotHere, ScriptError
from tcplab.lab.drill.flows import Flows
from tcplab.lab.drill.script import ABSOLUTE, ANY_TIME, Call, Code, Command, Event, Icmp, Packet, Script
from tcplab.lab.drill.stack import Pending, Sniffed, Stack
from tcplab.wire import ipv4
from tcplab.wire.errors import WireError

TOLERANCE: Final = 4_000
TOLERANCE_PERCENT: Final = 12.5
"""packetdrill's: so many microseconds, or this part of the time since the last event."""
_CALL_TAKES: Final = 1
"""Microseconds. In no time at all a stack measures the same round trip twice, which no machine does: tcp_rack_advance
asks which of the two is the shorter.
"""
_PATIENCE: Final = 2_000_000
_FOREVER: Final = 600_000_000
_KNOWN_OPTIONS: Final = (
    "tolerance_usecs", "tolerance_percent", "ip_version", "local_ip", "remote_ip", "mtu", "mss", "tcp_ts_tick_usecs",
    "strict_segments", "send_omit_free", "bind_port", "connect_port", "non_fatal", "gateway_ip", "netmask_ip", "speed",
    "wire_protocol", "code_command", "code_format", "code_sockopt", "init_scripts", "verbose", "debug", "dry_run",
    "profile",
)  # fmt: skip


@dataclass(slots=True)
class Step:
    """One line of the story: what the script says, and what happened."""

    line: int
    at: int
    said: str
    saw: str = ""
    why: str = ""
    ok: bool = True


@dataclass(slots=True)
class Waiting:
    """A call that blocks: its event, its arguments, when it must end."""

    event: Event
    args: dict[str, Any]
    pending: Pending
    until: int


@dataclass(slots=True)
class Story:
    """What was played so far, and remarks about what could not mean anything here."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Runner:
    """One run of one script. `exact`: times to the microsecond, and nothing may be left on the wire at the end."""

    def __init__(self, script: Script, stack: Stack, exact: bool = False) -> None:
        self.script = script
        self.stack = stack
        self.exact = exact
        self.story = Story()
        self.calls = Calls(script.file)
        self.flows = Flows(script.options)
        self.code = Assertions(script.file, symbols.CONSTANTS)
        self.waiting: Waiting | None = None
        self.last_at = 0
        """When the last event happened."""
        self.last_inbound: int | None = None
        """The script's time of the last event, if that was an inbound packet."""
        self.leftover: Sniffed | None = None
        self.began = 0
        """When the first command had been done and the events began."""
        self.local, self.remote = ipv4.address(stack.local), ipv4.address(stack.remote)
        self._options()

    def _options(self) -> None:
        options = self.script.options
        for name in options:
            if name not in _KNOWN_OPTIONS:
                raise NotHere(
                    self.script.file, 1, f"--{name}: no such option here; there are {', '.join(_KNOWN_OPTIONS)}"
                )
        if options.get("ip_version", "ipv4") != "ipv4":
            raise NotHere(self.script.file, 1, f"{options['ip_version']} is not spoken here, only ipv4")
        try:
            self.tolerance = int(options.get("tolerance_usecs") or TOLERANCE)
            self.percent = float(options.get("tolerance_percent") or TOLERANCE_PERCENT)
            self.tick = int(options.get("tcp_ts_tick_usecs") or 0)
        except ValueError:
            raise ScriptError(self.script.file, 1, "an option's value is no number") from None
        self.strict = "strict_segments" in options
        self.calls.tolerance = self.tolerance

    # --- the run --------------------------------------------------------------------------------------------

    def run(self) -> Story:
        """All events. Mismatch: something else happened; ScriptError: the script is wrong."""
        if self.script.init is not None:
            self._command(self.script.init[1], self.script.init[0])
            self.began = self.last_at = self.stack.now()
        for event in self.script.events:
            self._play(event)
        self._finish_call()
        if self.exact:
            self._nothing(self.script.events[-1].line, self.stack.now())
        return self.story

    def _play(self, event: Event) -> None:
        step = Step(event.line, self.stack.now(), event.text)
        self.story.steps.append(step)
        due, end = self._due(event)
        action = event.action
        try:
            if isinstance(action, Packet) and not action.inbound:
                self._expect(event, action, due, end, step)
            else:
                self.stack.advance(due)
                self._on_time(event, due)
                step.at = self.stack.now()
                if isinstance(action, Packet):
                    self.stack.inject(wire.build(action, self._flow_in(action, event), self.local, self.remote))
                elif isinstance(action, Icmp):
                    self._icmp(action, event)
                elif isinstance(action, Call):
                    self._call(event, action, due, step)
                elif isinstance(action, Code):
                    if self.waiting is not None and self.waiting.pending.outcome is not None:
                        self._finish_call()
                    self.code.run(action.text, event.line, self.stack.info(self.calls.fds.get(self._fd(), -1)))
                else:
                    self._command(action, event.line)
        except Mismatch:
            step.ok = False
            raise
        inbound = isinstance(action, (Packet, Icmp)) and action.inbound
        self.last_inbound = due if inbound else None
        self.last_at = step.at

    def _due(self, event: Event) -> tuple[int, int]:
        """The time, or the first and last time, at which the event belongs."""
        when = event.when
        if when.kind == ANY_TIME:
            return self.stack.now(), _FOREVER
        base = self.began
        if when.kind != ABSOLUTE:
            base = self.stack.now()
            inbound = isinstance(event.action, (Packet, Icmp)) and event.action.inbound
            if inbound and self.last_inbound is not None:
                base = self.last_inbound
        start = base + when.start
        return start, base + when.end if when.end is not None else start

    def _tolerated(self, due: int) -> int:
        if self.exact and self.stack.exact:
            return 0
        return max(self.tolerance, int(self.percent * (due - self.last_at) / 100))

    def _on_time(self, event: Event, due: int) -> None:
        late = self.stack.now() - due
        if late > self._tolerated(due):
            raise Mismatch(event.line, "time", _seconds(due), _seconds(self.stack.now()), "it could not begin earlier")

    # --- packets --------------------------------------------------------------------------------------------

    def _flow_in(self, packet: Packet, event: Event) -> wire.Flow:
        flow = self.flows.inbound(packet)
        if flow is None:
            raise ScriptError(
                self.script.file, event.line, "no connection or listening socket is there for this packet"
            )
        return flow

    def _fd(self) -> int:
        """The script's descriptor that code blocks ask: that of the connection at hand."""
        return self.flows.current_fd()

    def _expect(self, event: Event, packet: Packet, due: int, end: int, step: Step) -> None:
        if packet.nothing:
            self.stack.advance(due)
            step.at = due
            self._nothing(event.line, due)
            return
        tolerated = self._tolerated(due) if event.when.kind != ANY_TIME else 0
        seen = self._next(end + max(tolerated, _PATIENCE if event.when.kind != ANY_TIME else 0), packet)
        if seen is None:
            raise Mismatch(event.line, "segment", event.text, "nothing", self._state())
        flow = self.flows.outbound(packet, seen)
        step.at, step.why = seen.at, seen.why
        self._sum(packet, seen, flow, end + max(tolerated, _PATIENCE))
        step.saw = wire.describe(seen, flow)
        wire.compare(packet, seen, flow, event.line)
        if event.when.kind != ANY_TIME and not due - tolerated <= seen.at <= end + tolerated:
            expected = _seconds(due) if due == end else f"{_seconds(due)} to {_seconds(end)}"
            raise Mismatch(event.line, "time", expected, _seconds(seen.at), seen.why)
        self._timestamps(event, packet, seen, flow)

    def _next(self, until: int, packet: Packet | None = None) -> wire.Seen | None:
        """The next TCP segment of the connection that `packet` is of, or of any; others are passed over."""
        while True:
            sniffed, self.leftover = self.leftover, None
            if sniffed is None:
                sniffed = self.stack.sniff(until)
            if sniffed is None:
                return None
            try:
                seen = wire.read(sniffed.at, sniffed.packet, sniffed.why)
            except WireError as wrong:
                raise Mismatch(0, "packet", "a well-formed packet", str(wrong)) from None
            if seen is not None and self.flows.expects(packet, seen):
                return seen

    def _sum(self, packet: Packet, seen: wire.Seen, flow: wire.Flow, until: int) -> None:
        """Take what follows until the scripted length is reached: a stack without TSO sends it in pieces."""
        while not self.strict and seen.length and seen.length < packet.length:
            sniffed = self.stack.sniff(until)
            if sniffed is None:
                return
            more = wire.read(sniffed.at, sniffed.packet, sniffed.why)
            expected = (seen.segment.seq + seen.length) & 0xFFFFFFFF
            fits = more is not None and self.flows.same(seen, more) and more.segment.seq == expected
            if more is None or not fits or seen.length + more.length > packet.length:
                self.leftover = sniffed
                return
            wire.add(seen, more)

    def _timestamps(self, event: Event, packet: Packet, seen: wire.Seen, flow: wire.Flow) -> None:
        """Remember which of our timestamps is the script's, and, given a tick, whether they run at its pace."""
        value = wire.timestamp(seen.segment)
        said = next((option.numbers[0] for option in packet.options or () if option.name == "TS"), None)
        if value is None or said is None:
            return
        flow.ts[said] = value
        if flow.first_ts is None:
            flow.first_ts = (said, value, seen.at)
        elif self.tick:
            first_said, first_value, _ = flow.first_ts
            expected = (said - first_said) & 0xFFFFFFFF
            saw = (value - first_value) & 0xFFFFFFFF
            if abs(expected - saw) * self.tick > self._tolerated(seen.at) + self.tick:
                raise Mismatch(event.line, "TS val", str(said), str((first_said + saw) & 0xFFFFFFFF), seen.why)

    def _nothing(self, line: int, until: int) -> None:
        seen = self._next(until)
        if seen is not None:
            flow = self.flows.of(seen)
            raise Mismatch(line, "segment", "nothing", f"{wire.describe(seen, flow)} at {_seconds(seen.at)}", seen.why)

    def _icmp(self, icmp: Icmp, event: Event) -> None:
        flow = self.flows.current
        if flow is None or wire.icmp_numbers(icmp) is None:
            raise ScriptError(self.script.file, event.line, f"no connection to quote, or no such ICMP: {event.text}")
        self.stack.inject(wire.build_icmp(icmp, flow, self.local, self.remote))

    def _state(self) -> str:
        info = self.stack.info(self.calls.fds.get(self._fd(), -1))
        names = {
            number: name for name, number in symbols.STATES.items() if name.startswith("TCP_") and "CA" not in name
        }
        return f"the connection is in {names.get(info['tcpi_state'], '?')}" if "tcpi_state" in info else ""

    # --- calls ----------------------------------------------------------------------------------------------

    def _call(self, event: Event, call: Call, due: int, step: Step) -> None:
        self._finish_call()
        name, args = self.calls.prepare(event)
        began = self.stack.now()
        self.flows.before(name, args, self.calls.fds)
        try:
            pending = self.stack.start(name, args)
        except NotImplementedError as missing:
            raise NotHere(self.script.file, event.line, f"{name}: {missing}") from None
        if call.until is None:
            self.stack.finish(pending, began + (0 if self.stack.exact else _PATIENCE))
            if pending.outcome is None:
                raise Mismatch(event.line, f"{name}()", str(call.result), "it blocks", "give it a range: +0...0.2")
            step.saw = self._outcome(pending)
            self._judge(event, args, pending)
            if not self.stack.exact and pending.at - began > self._tolerated(began):
                raise Mismatch(event.line, "time", _seconds(began), _seconds(pending.at), "the call blocked")
            if not self.exact:
                self.stack.advance(self.stack.now() + _CALL_TAKES)
        else:
            base = self.began if event.when.kind == ABSOLUTE else due - event.when.start
            self.waiting = Waiting(event, args, pending, base + call.until)

    def _finish_call(self) -> None:
        """packetdrill has one thread for calls: the next one waits for the one that blocks."""
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            return
        event, pending = waiting.event, waiting.pending
        tolerated = self._tolerated(waiting.until)
        self.stack.finish(pending, waiting.until + max(tolerated, _PATIENCE))
        last = max((step.at for step in self.story.steps if step.at < waiting.until), default=0)
        if not self.exact or not self.stack.exact:  # a part of the time since what happened before it ended
            tolerated = max(tolerated, int(self.percent * (waiting.until - last) / 100))
        if pending.outcome is None:
            raise Mismatch(event.line, "time", _seconds(waiting.until), "the call still blocks", self._state())
        tolerated = max(tolerated, 0 if self.exact and self.stack.exact else self.tolerance)
        if abs(pending.at - waiting.until) > tolerated:
            raise Mismatch(event.line, "time", _seconds(waiting.until), _seconds(pending.at), "when the call ended")
        self._judge(event, waiting.args, pending)

    def _judge(self, event: Event, args: dict[str, Any], pending: Pending) -> None:
        assert pending.outcome is not None
        self.calls.judge(event, args, pending.outcome)
        self.flows.after(event, args, pending.outcome)

    @staticmethod
    def _outcome(pending: Pending) -> str:
        outcome = pending.outcome
        assert outcome is not None
        return f"-1 errno {outcome.errno}" if outcome.errno else f"= {outcome.value}"

    # --- commands -------------------------------------------------------------------------------------------

    def _command(self, command: Command, line: int) -> None:
        for deed in shell.understand(command.text, self.script.file, line):
            if deed.kind == "sleep":
                self.stack.advance(self.stack.now() + int(deed.value))
                continue
            try:
                note = self.stack.configure(deed)
            except OSError as refused:
                raise ScriptError(self.script.file, line, f"`{command.text.strip()}`: {refused.strerror}") from None
            if deed.kind == "counted" and note:
                expected = f"that it moved by {deed.value}" if deed.value else "that it moved"
                raise Mismatch(line, f"counter {deed.name}", expected, note)
            if note and note not in self.story.notes:
                self.story.notes.append(note)


def _seconds(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d} s"
