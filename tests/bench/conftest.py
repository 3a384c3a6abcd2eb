"""Prints what the benchmarks measured as rates, side by side, each group with its ratio to the first row."""

from __future__ import annotations

import pytest

_ROWS: list[tuple[str, str, float, str]] = []


@pytest.fixture
def report() -> object:
    """Call it with (group, name, rate, unit)."""

    def add(group: str, name: str, rate: float, unit: str) -> None:
        _ROWS.append((group, name, rate, unit))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    terminalreporter.section("rates")
    first: dict[str, float] = {}
    for group, name, rate, unit in _ROWS:
        base = first.setdefault(group, rate)
        terminalreporter.write_line(f"{group:<28} {name:<34} {rate:>12,.2f} {unit:<12} x{rate / base:.3f}")
