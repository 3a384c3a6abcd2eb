"""The README tells the truth: its commands, its diagram, its picture."""

from __future__ import annotations

import re
from pathlib import Path

from tcplab.api.states import diagram
from tcplab.lab import catalogue
from tcplab.lab.compare import fidelity

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_calls_the_test_command_word_for_word() -> None:
    command = blocks("sh")[1].strip()
    assert command.endswith("pytest")
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert blocks("mermaid") == [diagram()]


def test_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).stat().st_size > 10_000


def test_every_exercise_is_listed() -> None:
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", README, re.MULTILINE))
    assert {info.id for info in catalogue.all()} <= listed


def test_the_table_of_fidelity_is_made_from_its_file() -> None:
    assert fidelity.written(README) == README, "python -m tcplab.lab.compare.fidelity README.md"
