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
        terminalreporter.write_line(f"{group:<30} {name:<30} {rate:>12,.2f} {unit:<12} x{ratio:.3f}")
    if config.getoption("--readme"):
        text = _README.read_text()
        head, rest = text.split(_BEGIN)
        _, tail = rest.split(_END)
        _README.write_text(head + _BEGIN + _table() + _END + tail)
        terminalreporter.write_line(f"{_README.name}: the table of costs is new")


def _with_ratios() -> list[tuple[str, str, float, str, float]]:
    first: dict[str, float] = {}
    return [(group, name, rate, unit, rate / first.setdefault(group, rate)) for group, name, rate, unit in _ROWS]


def _table() -> str:
    lines = ["| what | who | measured | ratio |", "|---|---|---:|---:|"]
    seen = ""
    for group, name, rate, unit, ratio in _with_ratios():
        number = f"{rate:,.0f}" if rate >= 100 else f"{rate:,.2f}"
        lines.append(f"| {group if group != seen else ''} | {name} | {number} {unit} | {ratio:.2f} |")
        seen = group
    where = f"Python {platform.python_version()}, Linux {platform.release().split('-')[0]}, {os.cpu_count()} CPUs"
    return "\n".join([*lines, "", f"Measured with {where}.", ""])
