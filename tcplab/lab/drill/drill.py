"""`tcplab drill`: scripts found, played and judged; a failure told as an exchange."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from tcplab.lab.drill import parser
from tcplab.lab.drill.errors import Mismatch, NotHere, ScriptError
from tcplab.lab.drill.ours import Ours
from tcplab.lab.drill.runner import Runner, Step
from tcplab.lab.drill.script import Script
from tcplab.lab.drill.stack import Stack
from tcplab.tcp.profile import LINUX

PASSED, FAILED, REFUSED, NOT_HERE, MARKED = "passed", "failed", "refused", "not here", "marked"
_MARK: Final = re.compile(r"^// Kernel: (\S.*)$", re.MULTILINE)
"""A script's own word why it may not pass on the kernel: too slow in real time, or something that only ours has."""
DEFINES: Final = {
    "CMSG_LEVEL_IP": "SOL_IP",
    "CMSG_TYPE_RECVERR": "IP_RECVERR",
    "TFO_COOKIE": "3021b9d889017eeb",
    "TFO_COOKIE_ZERO": "b7c12350a90dc8f5",
}
"""What the kernel's own runner gives its scripts with -D."""
_CONTEXT: Final = 12


class Difference(msgspec.Struct, frozen=True):
    """Where a script and what happened part."""

    line: int
    field: str
    expected: str
    saw: str
    why: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one script. `text`: the story of a failure, or why it was refused."""

    file: str
    status: str
    text: str = ""
    difference: Difference | None = None
    notes: list[str] = []
    events: int = 0


Make = Callable[[dict[str, str]], Stack]


def scripts(paths: list[Path]) -> Iterator[Path]:
    """The files themselves, and every `.pkt` below a folder, in order. OSError: there is no such file."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.pkt"))
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"there is no file {path}")


def play(path: Path, make: Make = Ours, exact: bool = False, defines: dict[str, str] | None = None) -> Verdict:
    """Run one script on a fresh stack."""
    file = str(path)
    try:
        script = parser.load(path, {**DEFINES, **(defines or {})})
        refuse_profile(script, make is Ours)
        stack = make(script.options)
    except ScriptError as wrong:
        return Verdict(file, NOT_HERE if isinstance(wrong, NotHere) else REFUSED, str(wrong))
    try:
        runner = Runner(script, stack, exact)
        runner.run()
    except Mismatch as mismatch:
        difference = Difference(mismatch.line, mismatch.field, mismatch.expected, mismatch.saw, mismatch.why)
        text = story(file, runner.story.steps, difference)
        return Verdict(file, FAILED, text, difference, runner.story.notes, len(script.events))
    except ScriptError as wrong:
        return Verdict(file, NOT_HERE if isinstance(wrong, NotHere) else REFUSED, str(wrong))
    finally:
        stack.close()
    return Verdict(file, PASSED, notes=runner.story.notes, events=len(script.events))


def refuse_profile(script: Script, ours: bool) -> None:
    """NotHere: the kernel cannot speak TCP as the script wants it."""
    name = script.options.get("profile", LINUX.name)
    if not ours and name != LINUX.name:
        raise NotHere(script.file, 1, f"no profile {name} on the kernel: it speaks its own TCP")


def play_all(
    paths: list[Path], stack: str, exact: bool = False, defines: dict[str, str] | None = None, jobs: int = 1
) -> Iterator[Verdict]:
    """Each on a fresh `stack`, `jobs` at a time, each of these in a process of its own; the verdicts in order.

    Beside others a script may be late: what fails on the kernel then is tried again alone.
    """
    one = partial(_play_on, stack, exact, defines)
    if jobs == 1:
        yield from map(one, paths)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(jobs) as pool:
        verdicts = list(pool.map(one, paths))
    for path, verdict in zip(paths, verdicts, strict=True):
        yield one(path) if verdict.status == FAILED and stack == "kernel" else verdict


def mark(text: str) -> str:
    """Why the script says that it may fail on the kernel; empty if it does not say so."""
    found = _MARK.search(text)
    return found[1] if found is not None else ""


def _play_on(stack: str, exact: bool, defines: dict[str, str] | None, path: Path) -> Verdict:
    verdict = play(path, maker(stack), exact, defines)
    if stack == "kernel" and verdict.status in (FAILED, NOT_HERE):
        why = mark(path.read_text())
        if why:
            text = f"{path}: it may fail on the kernel: {why}"
            return msgspec.structs.replace(verdict, status=MARKED, text=text)
    return verdict


def story(file: str, steps: list[Step], difference: Difference) -> str:
    """The exchange up to the failure, as a diff: `-` the script, `+` what happened."""
    lines = [f"{file}:{difference.line}: {difference.field}: expected {difference.expected}, saw {difference.saw}"]
    for step in steps[-_CONTEXT:]:
        lines.append(f"  {'-' if not step.ok else ' '} {step.line:>4}  {step.at / 1e6:>11.6f}  {_first(step.said)}")
        if not step.ok and step.saw:
            lines.append(f"  +       {step.at / 1e6:>11.6f}  {step.saw}")
    if difference.why:
        lines.append(f"    why: {difference.why}")
    return "\n".join(lines)


def _first(text: str) -> str:
    first, *rest = text.split("\n")
    return first.strip() + (" ..." if rest else "")


def summary(verdicts: list[Verdict]) -> str:
    """A line per folder, and one of all."""
    folders: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        folders.setdefault(str(Path(verdict.file).parent), []).append(verdict)
    width = max(len(name) for name in folders)
    lines = [f"{name:<{width}}  {_counts(found)}" for name, found in folders.items()]
    if len(folders) > 1:
        lines.append(f"{'all':<{width}}  {_counts(verdicts)}")
    return "\n".join(lines)


def _counts(verdicts: list[Verdict]) -> str:
    counts = dict.fromkeys((PASSED, FAILED, REFUSED, NOT_HERE, MARKED), 0)
    for verdict in verdicts:
        counts[verdict.status] += 1
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == PASSED)


def maker(stack: str) -> Make:
    """How to make a fresh host: `ours` or `kernel`."""
    if stack == "ours":
        return Ours
    from tcplab.lab.drill.kernel import Kernel

    def kernel(options: dict[str, str]) -> Stack:
        return Kernel(options)

    return kernel
