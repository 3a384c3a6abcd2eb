"""Prints what the benchmarks measured, side by side, each group with its ratio to the first row; --readme keeps it."""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_README = Path(__file__).resolve().parents[2] / "README.md"
_BEGIN, _END = "<!-- costs -->\n", "<!-- end of costs -->\n"
_ROWS: list[tuple[str, str, float, str]] = []
_ELSEWHERE = {
    "bulk, one connection": [("PyTCP, sends", 0.81, "MB/s"), ("PyTCP, receives", 0.46, "MB/s")],
    "open, echo one octet, close": [("PyTCP, opens only", 218, "connects/s")],
    "memory of one of 10,000": [("PyTCP, half-open entry", 7_700, "octets")],
}
"""What another stack was found to do, per group; a README that tells it says that it was not in the same run."""
_NOT_HERE = "*"
_NOTE = (
    f"PyTCP 2.7.10 ({_NOT_HERE}) was not measured in this run but elsewhere, on a machine of this kind, at its best."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--readme", action="store_true", help="write the benchmarks' table into README.md")


@pytest.fixture(autouse=True)
def only_its_own_garbage() -> Iterator[None]:
    """What pytest holds does not count: Python's collector would walk through all of it, again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def best(benchmark: Any) -> Callable[[Callable[[], float]], float]:
    """The greatest of three measurements of a rate: what else the machine does can only take away from it."""

    def of_three(measure: Callable[[], float]) -> float:
        rates: list[float] = []
        benchmark.pedantic(lambda: rates.append(measure()), rounds=3)
        return max(rates)

    return of_three


@pytest.fixture
def report() -> object:
    """Call it with (group, name, rate, unit)."""

    def add(group: str, name: str, rate: float, unit: str) -> None:
        _ROWS.append((group, name, rate, unit))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not _ROWS:
        return
    terminalreporter.section("rates")
    for group, name, rate, unit, ratio in _with_ratios():
        terminalreporter.write_line(f"{group:<30} {name:<30} {rate:>12,.2f} {unit:<12} x{ratio:.2g}")
    if config.getoption("--readme"):
        text = _README.read_text()
        head, rest = text.split(_BEGIN)
        _, tail = rest.split(_END)
        _README.write_text(head + _BEGIN + _table() + _END + tail)
        terminalreporter.write_line(f"{_README.name}: the table of costs is new")


def _with_ratios() -> list[tuple[str, str, float, str, float]]:
    """The rows of each group together, with what was measured elsewhere at its end."""
    groups: dict[str, list[tuple[str, float, str]]] = {}
    for group, name, rate, unit in _ROWS:
        groups.setdefault(group, []).append((name, rate, unit))
    for group, others in _ELSEWHERE.items():
        groups.get(group, []).extend((f"{name} {_NOT_HERE}", rate, unit) for name, rate, unit in others)
    return [(group, name, rate, unit, rate / rows[0][1]) for group, rows in groups.items() for name, rate, unit in rows]


def _table() -> str:
    lines = ["| what | who | measured | ratio |", "|---|---|---:|---:|"]
    seen = ""
    for group, name, rate, unit, ratio in _with_ratios():
        number = f"{rate:,.0f}" if rate >= 100 else f"{rate:,.2f}"
        share = f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"
        lines.append(f"| {group if group != seen else ''} | {name} | {number} {unit} | {share} |")
        seen = group
    where = f"Python {platform.python_version()}, Linux {platform.release().split('-')[0]}, {os.cpu_count()} CPUs"
    return "\n".join([*lines, "", f"Measured with {where}.", _NOTE, ""])
