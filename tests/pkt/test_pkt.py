"""Packet scripts, one idea each: exact on our stack, within the tolerance on the kernel's, and sharp.

A line `// Kernel: ...` in a script says why it may not run on the kernel (too slow in real time, or our own addition).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.beside import Beside

from tcplab.lab.drill import drill, parser
from tcplab.lab.drill.ours import Ours
from tcplab.lab.drill.runner import Runner

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.rglob("*.pkt"))
NAMES = [str(path.relative_to(HERE)) for path in SCRIPTS]
ON_THE_KERNEL = [path for path in SCRIPTS if not drill.mark(path.read_text())]
_JOBS = 12
_RUNS: list[Beside] = []
_EXPECTED = re.compile(
    r"""
      (?<=\ >\ )(?P<seq>(?:\d+>\d+\ )?[SFPRUEW.]+\ \d+:\d+\(\d+\).*)  # a segment of the host
    | (?<=\)\ =\ )(?P<result>-?\d+)                         # the result of a call
    | (?<===\ )(?P<value>\d+)                               # an assertion
    | (?<=\ \*)(?P<count>\d+)(?=\ ")                       # by how much a counter moved
    """,
    re.VERBOSE,
)


@pytest.mark.parametrize("path", SCRIPTS, ids=NAMES)
def test_exact_on_ours(path: Path) -> None:
    verdict = drill.play(path, exact=True)
    assert verdict.status == drill.PASSED, verdict.text


@pytest.mark.parametrize("path", SCRIPTS, ids=NAMES)
def test_each_says_what_it_is_about(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("// "), "the first line says what the script is about"
    assert all(len(why) > 10 for why in [drill.mark(path.read_text())] if why), "a mark says why"
    assert sum(line.startswith("//") or line.strip().startswith("//") for line in lines) >= 2, "prose between packets"


def mutants(text: str) -> list[str]:
    """The script with one expected number changed, one after the other; evenly chosen, five at most."""
    found: list[str] = []
    for match in _EXPECTED.finditer(text):
        begin = match.start("seq") if match["seq"] is not None else match.start()
        if match["result"] not in (None, "-1") and re.search(r"accept4?\([^()]*\) = $", text[:begin]):
            continue  # a new descriptor: its number is the script's own
        if match["seq"] is not None:
            for name in (r"ack (\d+)", r"win (\d+)", r"mss (\d+)", r"sack (\d+)"):
                number = re.search(name, match["seq"])
                if number is not None:
                    at, old = begin + number.start(1), int(number[1])
                    new = old - 1 if old == 65535 else old + 1
                    found.append(f"{text[:at]}{new}{text[begin + number.end(1) :]}")
        else:
            new = "1" if match[0] == "-1" else str(int(match[0]) + 1)
            found.append(f"{text[:begin]}{new}{text[match.end() :]}")
    step = max(1, -(-len(found) // 5))
    return found[::step]


@pytest.mark.parametrize("path", SCRIPTS, ids=NAMES)
def test_one_wrong_number_fails(path: Path) -> None:
    changed = mutants(path.read_text())
    assert changed, "the script expects nothing that could be wrong"
    for text in changed:
        script = parser.parse(text, str(path), drill.DEFINES)
        with pytest.raises(Exception):  # noqa: B017  # a mismatch, or a script that makes no sense any more
            Runner(script, Ours(script.options), exact=True).run()


def _begin(paths: list[Path], jobs: int) -> Beside:
    return Beside("-m", "tcplab", "drill", "--stack", "kernel", "--json", "--jobs", str(jobs), *map(str, paths))


def _failed(run: Beside) -> dict[Path, str]:
    """What is said of those that fail."""
    verdicts = [json.loads(line) for line in run.lines()]
    return {Path(verdict["file"]): verdict["text"] for verdict in verdicts if verdict["status"] != drill.PASSED}


def begin_beside(names: list[str]) -> Callable[[], None] | None:
    """All that the kernel can run in its own time."""
    if os.geteuid() != 0 or test_on_the_kernel.__name__ not in names:
        return None
    _RUNS.append(_begin(ON_THE_KERNEL, _JOBS))
    return _RUNS[0].stop


@pytest.mark.root
def test_on_the_kernel() -> None:
    """What fails beside others is tried again alone, three times: one timer in fifty is later than a script allows."""
    if not _RUNS and begin_beside([test_on_the_kernel.__name__]) is None:
        pytest.skip("the kernel's TCP is drilled as root only")
    failed = _failed(_RUNS[0])
    for _ in range(3):
        failed = _failed(_begin(list(failed), 1)) if failed else failed
    assert not failed, f"{len(failed)} of {len(ON_THE_KERNEL)} fail on the kernel:\n" + "\n".join(failed.values())
