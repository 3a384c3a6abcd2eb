"""A packet script, played on both stacks; what the wire and the calls showed becomes rows."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Final

from tcplab.api.events import Called
from tcplab.api.stack import Outgoing
from tcplab.engines.errors import EngineError
from tcplab.engines.haste import calm, hurry
from tcplab.engines.tracer import Tracer
from tcplab.host.options import OPTIONS
from tcplab.lab.compare import rows
from tcplab.lab.compare.rows import Run
from tcplab.lab.drill import drill, parser
from tcplab.lab.drill.errors import Mismatch, NotHere, ScriptError
from tcplab.lab.drill.kernel import Kernel
from tcplab.lab.drill.ours import Ours
from tcplab.lab.drill.runner import Runner
from tcplab.lab.drill.script import Script
from tcplab.lab.drill.shell import Deed
from tcplab.lab.drill.stack import Outcome, Pending, Sniffed, Stack
from tcplab.lab.errors import LabError
from tcplab.units import US
from tcplab.wire import ethernet

_HEADER: Final = ethernet.header(bytes(6), bytes(6), ethernet.ETH_IP)
_NEW_FD: Final = ("socket", "accept", "accept4", "epoll_create", "epoll_create1")
_FORGED: Final = "the script's peer sends it"
_LAST: Final = 20_000
"""Microseconds behind the last event in which the script's host may still answer."""
_LATE: Final = 12_000
"""Microseconds that the script's own times get here: the comparison judges them."""
_CLOSED, _LISTENS = 7, 10
_AT_THE_END: Final = (
    "state", "ca_state", "backoff", "options", "snd_wscale", "rcv_wscale", "snd_mss", "advmss", "unacked", "sacked",
    "lost", "retrans", "snd_ssthresh", "snd_cwnd", "reordering", "total_retrans", "notsent_bytes", "bytes_acked",
    "bytes_received", "delivered",
)  # fmt: skip


class Recorder:
    """A stack that remembers what crosses it: `tcplab.lab.drill.stack.Stack`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.exact, self.local, self.remote = stack.exact, stack.local, stack.remote
        self.tracer = Tracer()
        self.calls: list[tuple[int, str, str, Pending]] = []
        self._frames = 0

    def now(self) -> int:
        """The stack's."""
        return self.stack.now()

    def advance(self, until: int) -> None:
        """The stack's."""
        self.stack.advance(until)

    def inject(self, packet: bytes) -> None:
        """A packet of the script's peer."""
        self._seen(self.stack.now(), "b", packet, _FORGED)
        self.stack.inject(packet)

    def sniff(self, until: int) -> Sniffed | None:
        """A packet of the host."""
        found = self.stack.sniff(until)
        if found is not None:
            self._seen(found.at, "a", found.packet, found.why)
        return found

    def start(self, name: str, args: dict[str, Any]) -> Pending:
        """A call of the script."""
        at = self.stack.now()
        pending = self.stack.start(name, args)
        self.calls.append((at, name, _said(args), pending))
        return pending

    def finish(self, pending: Pending, until: int) -> None:
        """The stack's."""
        self.stack.finish(pending, until)

    def info(self, fd: int) -> dict[str, int]:
        """The stack's."""
        return self.stack.info(fd)

    def configure(self, deed: Deed) -> str:
        """The stack's; the kernel has a congestion control per socket, as ours."""
        if isinstance(self.stack, Kernel) and (deed.kind, deed.name) == ("sysctl", "tcp_congestion_control"):
            self.stack.syscalls.congestion = deed.value
            return ""
        return self.stack.configure(deed)

    def close(self) -> None:
        """The stack's."""
        self.stack.close()

    def _seen(self, at: int, who: str, packet: bytes, why: str) -> None:
        self._frames += 1
        other = "b" if who == "a" else "a"
        self.tracer.sent(at * US, self._frames, who, other, Outgoing(_HEADER + packet, why or "not said"))

    def called(self) -> list[Called]:
        """The calls that ended, as events."""
        return [
            Called(pending.at * US, "a", "", name, args, _result(name, pending.outcome), _errno(pending.outcome))
            for _, name, args, pending in self.calls
            if pending.outcome is not None
        ]


def _info(stack: Stack, fd: int) -> dict[str, int]:
    """What of TCP_INFO does not depend on real time; of a connection that is over only that it is."""
    info = stack.info(fd)
    if info.get("tcpi_state") in (None, _CLOSED, _LISTENS):
        return {name: value for name, value in info.items() if name == "tcpi_state"}
    return {name: value for name, value in info.items() if name.removeprefix("tcpi_") in _AT_THE_END}


def _said(args: dict[str, Any]) -> str:
    """The arguments that are the same on every stack."""
    return " ".join(
        f"{name}={value}" for name, value in args.items() if isinstance(value, int) and not name.endswith("fd")
    )


def _result(name: str, outcome: Outcome | None) -> str:
    return "" if outcome is None or outcome.errno or name in _NEW_FD else str(outcome.value)


def _errno(outcome: Outcome | None) -> str:
    number = outcome.errno if outcome is not None else 0
    return errno.errorcode.get(number, str(number)) if number else ""


def both(path: Path) -> tuple[Run, Run]:
    """Ours and the kernel's. LabError: the script is wrong, or not for this machine; EngineError: it has no TUN."""
    try:
        script = parser.load(path, dict(drill.DEFINES))
        drill.refuse_profile(script, ours=False)
        haste = hurry()
        try:
            linux = _play(script, Kernel(script.options))
        finally:
            calm(haste)
        return _play(script, Ours(script.options)), linux
    except NotHere as wrong:
        raise EngineError(str(wrong)) from None
    except ScriptError as wrong:
        raise LabError("", str(wrong)) from None


def _play(script: Script, stack: Ours | Kernel) -> Run:
    recorder = Recorder(stack)
    before: dict[str, int] = {}
    if isinstance(stack, Kernel):
        before = stack.host.counters()
        stack.syscalls.congestion = str(OPTIONS["TCP_CONGESTION"].default)
        for name in ("tso", "gso"):  # what leaves is seen as a wire would carry it
            stack.host.offload(name, False)
    error = ""
    try:
        runner = Runner(script, recorder)
        runner.tolerance = max(runner.tolerance, _LATE)
        try:
            runner.run()
        except Mismatch as mismatch:
            error = f"line {mismatch.line}: {mismatch.field}: expected {mismatch.expected}, saw {mismatch.saw}"
        last = stack.now() + _LAST
        while recorder.sniff(last) is not None:
            pass
        counters = dict(stack.machine.counters) if isinstance(stack, Ours) else stack.host.counters()
        moved = {name: count - before.get(name, 0) for name, count in counters.items() if count != before.get(name, 0)}
        variables = {
            f"{name} of descriptor {fd}": str(value)
            for fd, number in sorted(runner.calls.fds.items())
            for name, value in _info(stack, number).items()
        }
    finally:
        recorder.close()
    events = sorted([*recorder.tracer.events, *recorder.called()], key=lambda event: event.t)
    found, _ = rows.of_events(events, {})
    return Run(
        "tcplab" if isinstance(stack, Ours) else "linux", found, {"a": moved}, {"": variables}, last * US, error,
        runner.story.notes,
    )  # fmt: skip
