"""Our TCP beside the kernel's: small scripts in the lab's language, and packet scripts, each without a difference
but those that are meant. The folders are the sections of what was measured on Linux.

The kernel takes its time: the scripts run side by side, in forked processes. What fails beside others is tried again
alone: a busy machine makes a kernel late.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tcplab.lab.compare import align, drilled, fidelity, report, runs
from tcplab.lab.exercise import load


def fast_enough(path: Path) -> bool:
    """Whether the kernel can run it at all."""
    return "\n// Kernel: " not in f"\n{path.read_text()}"


HERE = Path(__file__).parent
PACKETS = HERE.parent / "pkt"
ALSO = ("opening/closed-*", "opening/listen-*", "opening/rst-*", "rfc5961/*", "ooo/*", "matrix/time_wait/*")
"""Packet scripts of the drill that are compared as well: what no lab can send (sections 3, 8, 10 and 15)."""
SCRIPTS = [
    *sorted(path for path in HERE.rglob("*") if path.suffix in (".lab", ".pkt")),
    *(path for pattern in ALSO for path in sorted(PACKETS.glob(f"{pattern}.pkt")) if fast_enough(path)),
]
NAMES = [str(path.relative_to(HERE.parent)) for path in SCRIPTS]
WORKERS = 12
SEED = 7
Judged = tuple[bool, str, frozenset[str]]
"""Whether there is no unexplained difference; the report; the entries of the fidelity table that were needed."""

pytestmark = pytest.mark.root


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
    return unexplained == 0, text, frozenset(one.id for one in found.differences() if one.id)


def seconds(path: Path) -> float:
    """How long the script says that it takes."""
    text = path.read_text()
    waits = re.findall(r"^wait ([\d.]+)(m?)s", text, re.M)
    total = sum(float(number) / (1000 if unit else 1) for number, unit in waits)
    return total + sum(float(number) for number in re.findall(r"^ *\+(\d*\.\d+)", text, re.M))


@pytest.fixture(scope="module")
def judged() -> dict[Path, Judged]:
    """All of them, the longest first."""
    if os.geteuid() != 0:
        pytest.skip("the kernel's TCP is compared as root only")
    scripts = sorted(SCRIPTS, key=seconds, reverse=True)
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("fork")) as pool:
        found = dict(zip(scripts, pool.map(judge, scripts), strict=True))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as alone:
        for _ in range(2):
            again = [path for path, (good, _, _) in found.items() if not good]
            found.update(zip(again, alone.map(judge, again), strict=True))
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=NAMES)
def test_no_difference_that_is_not_meant(path: Path, judged: dict[Path, Judged]) -> None:
    good, text, _ = judged[path]
    assert good, text


def test_every_difference_that_is_meant_is_one(judged: dict[Path, Judged]) -> None:
    needed = frozenset[str]().union(*(ids for _, _, ids in judged.values()))
    told = {one.id for one in fidelity.table() if any(sign.kind != "field" for sign in one.sign)}  # those are chance
    assert told <= needed, "these do not show in any script: either they are gone, or a script is missing"
