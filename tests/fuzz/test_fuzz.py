"""A little of the fuzzing in each run of the tests: the corpus, and a few inputs at random; `run.py` looks for more."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fuzz import run, segments
from fuzz.targets import TARGETS, seeds
from tcplab.tcp import reassembly

LITTLE = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KEPT = [(name, path) for name in TARGETS for path in seeds(name)]


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}/{path.name}" for name, path in KEPT])
def test_what_is_kept(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("state", range(len(segments.NAMES)), ids=segments.NAMES)
def test_any_octets_in_each_state(state: int) -> None:
    dice = random.Random(state)
    for _ in range(25):
        segments.target(bytes((state,)) + dice.randbytes(dice.randint(1, 120)))


@LITTLE
@given(some.binary(max_size=200))
def test_segments(data: bytes) -> None:
    segments.target(data)


@pytest.mark.parametrize("name", ["script", "lab", "line"])
def test_texts(name: str) -> None:
    """Files that are nearly right: those that are kept, with some octets changed."""
    dice, kept = random.Random(1), [path.read_bytes() for path in seeds(name)]
    for _ in range(150):
        TARGETS[name](run._changed(dice, kept))


def test_what_fails_is_cut_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that is put into the stack is found, written down, and fails again."""
    monkeypatch.setattr(run, "_CUTTING", 0.3)
    monkeypatch.setattr(reassembly, "insert", lambda *_: 1 // 0)
    given = type("Given", (), {"target": "segments", "found": tmp_path, "minutes": 0.03, "seed": 3})
    assert run._at_random(given) == 1  # type: ignore[arg-type]
    (first, *_) = sorted(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError):
        segments.target(first.read_bytes())


def test_the_command_ends_by_itself(tmp_path: Path) -> None:
    script = Path(run.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "line", "--plain", "--minutes", "0.01", "--found", str(tmp_path / "found")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" inputs, 0 ways to fail\n")
