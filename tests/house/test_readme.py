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


def test_every_exercise_is_listed_in_its_track() -> None:
    listed: dict[str, list[str]] = {}
    for info in catalogue.all():
        listed.setdefault(info.track, []).append(info.id)
    table = README.partition("| track | what it is about | exercises |\n")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE))
    assert {track: re.findall(r"`([a-z0-9-]+)`", row) for track, row in rows.items()} == listed
    assert f"There are {len(catalogue.all())} exercises" in README


def test_the_table_of_fidelity_is_made_from_its_file() -> None:
    assert fidelity.written(README) == README, "python -m tcplab.lab.compare.fidelity README.md"
