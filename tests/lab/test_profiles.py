"""A lab chooses whose TCP its hosts speak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcplab.lab.errors import LabError
from tcplab.lab.exercise import load
from tcplab.lab.runner import Runner

EXERCISE = Path(__file__).parents[2] / "labs/01-opening/05-syn-retry/exercise.toml"


def changed(folder: Path, line: str) -> str:
    """That exercise, with `line` below [lab]."""
    path = folder / "exercise.toml"
    path.write_text(EXERCISE.read_text().replace("seed   = 20\n", f"seed   = 20\n{line}\n"))
    return str(path)


def test_an_exercise_names_a_profile(tmp_path: Path) -> None:
    runner = Runner(load(changed(tmp_path, 'profile = { a = "textbook" }')))
    runner.run_headless()
    assert runner.passed is True, "of a SYN's ladder both say the same"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('profile = { a = "rfc1" }', "no profile 'rfc1'; there are linux-6, textbook, rfc793"),
        ('profile = { c = "textbook" }', "no host 'c'; the hosts are a and b"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        load(changed(tmp_path, line))
