"""tests/rfc9293.toml is true: every requirement stands there once, with tests that exist or with a reason."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "rfc9293.toml"

APPENDIX_B = """
    MAY-16 SHLD-27 MAY-15 MUST-60 MUST-61 MAY-17 SHLD-28
    MUST-1 REC-1 SHLD-14 SHLD-15 SHLD-16 SHLD-17 MUST-34 MAY-8 MUST-35 MUST-36 SHLD-29 SHLD-30 MUST-37 MAY-7 MUST-66
    MUST-30 MUST-62 MUST-31 MUST-32 MUST-33 SHLD-13
    MUST-4 MUST-5 MUST-6 MUST-68 MUST-7 MUST-64 MUST-14 SHLD-5 MAY-3 MUST-15 MUST-16 SHLD-6 MUST-65 MUST-67 MUST-69
    MUST-2 MUST-3
    MUST-8 SHLD-1 MUST-9
    MUST-10 MUST-11 MUST-41 MUST-42 MUST-44 MUST-45 MUST-46 MUST-57
    SHLD-2 MUST-12 MAY-1 SHLD-3 MUST-13 MAY-2 SHLD-4
    MUST-19 MAY-4 MUST-18
    MUST-58 SHLD-31 MUST-59 MAY-13 SHLD-18 MUST-40 SHLD-19 MUST-39
    MUST-49 MUST-38 SHLD-7 MUST-17
    MUST-20 MUST-21 SHLD-9 SHLD-10 SHLD-11 MUST-22 MUST-23
    MAY-5 MUST-24 MUST-25 MUST-26 MUST-27 MUST-28 MUST-29 SHLD-12 MAY-6
    MUST-50 MAY-10 MAY-11 MUST-51 MUST-52 MUST-53 SHLD-24
    MUST-54 SHLD-25 MUST-56 SHLD-26 MUST-55
    MUST-63
    MUST-47 SHLD-20 MUST-48 SHLD-22 SHLD-21 SHLD-23 MAY-9 MAY-14 MUST-43
    MAY-12
    SHLD-8 MAY-18
"""
"""The labels of its table, a line for each part; those that it repeats stand at their first place."""

ENTRIES: dict[str, dict[str, Any]] = tomllib.loads(TABLE.read_text())  # a label that stands twice is a TOML error
SECTION = re.compile(r"3\.\d{1,2}(\.\d){0,3}")


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the test functions of a file, of its classes too."""
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = (node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def exists(test: str) -> bool:
    """`tests/x/test_y.py::test_z` as pytest takes it, or the path of a .pkt script."""
    file, _, name = test.partition("::")
    path = ROOT / file
    if not file.startswith("tests/") or not path.is_file():
        return False
    return name in names_in(path) if path.suffix == ".py" else path.suffix == ".pkt" and not name


def sentence(text: str) -> bool:
    """One that says something: a capital letter, five words or more, a full stop."""
    words = text.split()
    return len(words) >= 5 and words[0][0].isupper() and text.endswith(".") and not text.endswith("..")


def test_every_requirement_stands_there_in_the_order_of_the_rfc() -> None:
    assert list(ENTRIES) == APPENDIX_B.split()


@pytest.mark.parametrize(("kind", "count"), [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)])
def test_no_label_is_left_out(kind: str, count: int) -> None:
    numbers = sorted(int(label.rpartition("-")[2]) for label in ENTRIES if label.startswith(f"{kind}-"))
    assert numbers == list(range(1, count + 1))


@pytest.mark.parametrize("label", ENTRIES)
def test_each_says_what_is_asked_where_and_what_proves_it(label: str) -> None:
    entry = ENTRIES[label]
    assert set(entry) in ({"text", "section", "tests"}, {"text", "section", "why"})
    assert sentence(entry["text"])
    assert SECTION.fullmatch(entry["section"])
    assert "why" not in entry or sentence(entry["why"])


@pytest.mark.parametrize("label", [label for label in ENTRIES if "tests" in ENTRIES[label]])
def test_the_tests_exist(label: str) -> None:
    tests = ENTRIES[label]["tests"]
    assert tests
    assert len(set(tests)) == len(tests)
    assert [test for test in tests if not exists(test)] == []


def test_tests_that_a_reason_names_exist() -> None:
    known = frozenset[str]().union(*(names_in(path) for path in (ROOT / "tests").rglob("test_*.py")))
    named = {name for entry in ENTRIES.values() for name in re.findall(r"\btest_\w+", entry.get("why", ""))}
    assert named - known == set()


def test_what_was_written_for_a_requirement_is_named_by_one() -> None:
    table = TABLE.read_text()
    for path in sorted((ROOT / "tests" / "tcp").glob("test_rfc9293_*.py")):
        assert [name for name in sorted(names_in(path)) if not re.search(rf"\b{name}\b", table)] == [], path.name
