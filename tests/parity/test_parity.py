"""Our TCP beside the kernel's: small scripts in the lab's language, and packet scripts, each without a difference
but those that are meant. The folders are the sections of what was measured on Linux.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from parity.judge import Judged
from support.beside import Beside

from tcplab.lab.compare import fidelity
from tcplab.lab.drill import drill

HERE = Path(__file__).parent
PACKETS = HERE.parent / "pkt"
ALSO = ("opening/closed-*", "opening/listen-*", "opening/rst-*", "rfc5961/*", "ooo/*", "matrix/time_wait/*")
"""Packet scripts of the drill that are compared as well: what no lab can send (sections 3, 8, 10 and 15)."""
SCRIPTS = [
    *sorted(path for path in HERE.rglob("*") if path.suffix in (".lab", ".pkt")),
    *(path for glob in ALSO for path in sorted(PACKETS.glob(f"{glob}.pkt")) if not drill.mark(path.read_text())),
]
NAMES = {str(path.relative_to(HERE.parent)): path for path in SCRIPTS}
BY_CHANCE = {"psh-on-bursts"}
"""Differences that real time makes in some runs only."""
_RUNS: list[tuple[list[Path], Beside]] = []

pytestmark = pytest.mark.root


def begin_beside(names: list[str]) -> Callable[[], None] | None:
    """Compare the scripts of the chosen tests."""
    if os.geteuid() != 0:
        return None
    wanted = [path for name, path in NAMES.items() if any(f"[{name}]" in test for test in names)]
    if not wanted or len(wanted) < len(names):  # another test wants all
        wanted = SCRIPTS
    _RUNS.append((wanted, Beside(str(HERE / "judge.py"), *map(str, wanted))))
    return _RUNS[0][1].stop


@pytest.fixture(scope="module")
def judged() -> dict[Path, Judged]:
    """What became of them."""
    if not _RUNS and begin_beside([]) is None:
        pytest.skip("the kernel's TCP is compared as root only")
    scripts, run = _RUNS[0]
    return dict(zip(scripts, (msgspec.json.decode(line, type=Judged) for line in run.lines()), strict=True))


@pytest.mark.parametrize("path", NAMES.values(), ids=NAMES)
def test_no_difference_that_is_not_meant(path: Path, judged: dict[Path, Judged]) -> None:
    found = judged[path]
    assert found.good, found.text


def test_every_difference_that_is_meant_is_one(judged: dict[Path, Judged]) -> None:
    needed = frozenset[str]().union(*(found.needed for found in judged.values()))
    told = {one.id for one in fidelity.table() if one.sign} - BY_CHANCE
    assert told <= needed, "these do not show in any script: either they are gone, or a script is missing"
