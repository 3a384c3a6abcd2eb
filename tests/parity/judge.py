"""Compares scripts on our stack and on the kernel's: one JSON object for each, in the order of the arguments.

    PYTHONPATH=. python tests/parity/judge.py tests/parity/01-syn/*.lab

The kernel takes its time: the scripts run side by side, in forked processes. What fails beside others is tried again
alone: a busy machine makes a kernel late.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from tcplab.lab.compare import align, drilled, fidelity, report, runs
from tcplab.lab.exercise import load

WORKERS = 8
SEED = 7


class Judged(msgspec.Struct):
    """What became of one script."""

    good: bool
    """There is no unexplained difference."""
    text: str
    """The report."""
    needed: list[str]
    """The entries of the fidelity table that were needed."""


def judge(path: Path) -> Judged:
    """Compare one script."""
    if path.suffix == ".pkt":
        ours, linux = drilled.both(path)
    else:
        source = load(str(path))
        linux = runs.linux(source, SEED)
        ours = runs.ours(source, SEED)
    found = align.compare(ours, linux, align.Tolerance())
    unexplained = fidelity.explain(found)
    text = report.as_text(report.of(path.name, "both", "Linux", found, unexplained, linux))
    return Judged(unexplained == 0, text, sorted({one.id for one in found.differences() if one.id}))


def seconds(path: Path) -> float:
    """How long the script says that it takes."""
    text = path.read_text()
    waits = re.findall(r"^wait ([\d.]+)(m?)s", text, re.M)
    total = sum(float(number) / (1000 if unit else 1) for number, unit in waits)
    return total + sum(float(number) for number in re.findall(r"^ *\+(\d*\.\d+)", text, re.M))


def judge_all(scripts: list[Path]) -> list[Judged]:
    """All of them, the longest first."""
    order = sorted(scripts, key=seconds, reverse=True)
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("fork")) as pool:
        found = dict(zip(order, pool.map(judge, order), strict=True))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as alone:
        for _ in range(2):
            again = [path for path, judged in found.items() if not judged.good]
            found.update(zip(again, alone.map(judge, again), strict=True))
    return [found[path] for path in scripts]


if __name__ == "__main__":
    for judged in judge_all([Path(word) for word in sys.argv[1:]]):
        print(msgspec.json.encode(judged).decode())
