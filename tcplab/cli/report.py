"""What `tcplab run` says at the end: a summary, as text or as JSON, and the trace as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from tcplab.api.events import AnyEvent
from tcplab.api.views import CheckView
from tcplab.lab.runner import Runner
from tcplab.units import Nanos, duration

_WORDS = {"passed": "passed", "failed": "FAILED", "waiting": "waits"}


class Summary(msgspec.Struct, frozen=True):
    """A run that ended. `passed` is None where there was nothing to check."""

    lab: str
    title: str
    engine: str
    notice: str
    seed: int
    passed: bool | None
    checks: tuple[CheckView, ...]
    error: str
    frames: int
    events: int
    lab_time_ns: Nanos
    wall_time_s: float


def summarize(lab: str, runner: Runner, wall: float) -> Summary:
    """The summary of `runner`'s run, which took `wall` seconds; `lab` is how it was called."""
    view = runner.view()
    return Summary(
        lab=view.exercise.id or lab,
        title=view.exercise.title if view.exercise.id else "",
        engine=view.engine,
        notice=view.notice,
        seed=view.seed,
        passed=runner.passed,
        checks=runner.verdicts(),
        error=view.exercise.error,
        frames=view.frames,
        events=len(runner.events),
        lab_time_ns=view.t,
        wall_time_s=round(wall, 3),
    )


def as_json(summary: Summary) -> str:
    """For other programs."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode()


def as_text(summary: Summary) -> str:
    """For people."""
    lines = [f"{summary.lab}  {summary.title}".rstrip()]
    if summary.notice:
        lines.append(summary.notice)
    width = max((len(check.id) for check in summary.checks), default=0)
    for check in summary.checks:
        lines.append(f"  {_WORDS[check.status]:<6}  {check.id:<{width}}  {check.text}")
        if check.status != "passed":
            indent = " " * (width + 12)
            details = (("expected", check.expected), ("saw", check.saw), ("why", check.why))
            lines += [f"{indent}{name:<8}  {text}" for name, text in details if text]
    if summary.error:
        lines.append(f"  error: {summary.error}")
    lines.append(_total(summary))
    return "\n".join(lines)


def write_trace(events: Iterable[AnyEvent], file: BinaryIO) -> None:
    """All events, one JSON object a line, in order; frames are in base64."""
    encode = msgspec.json.Encoder().encode
    for event in events:
        file.write(encode(event) + b"\n")


def _total(summary: Summary) -> str:
    passed = sum(check.status == "passed" for check in summary.checks)
    checks = f"{passed} of {len(summary.checks)} checks passed" if summary.checks else "nothing to check"
    ran = f"{summary.frames} frames, {duration(summary.lab_time_ns)} of lab time in {summary.wall_time_s:.2f} s"
    return f"{checks}; {ran}; engine {summary.engine}, seed {summary.seed}"
