"""The order of the tests: what only computes first, and beside it already runs what has to wait for the kernel.

A module that has such runs says so by `begin_beside(names)`: it begins those that the chosen tests need, and returns
what ends them in an emergency.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPUTING = ("tcp", "wire", "host", "link", "sim", "grid", "fuzz", "house", "pkt", "tui")
"""Folders whose tests take as long on a busy machine, or nearly; all others look at a clock."""
LAST = ("parity",)


def _rank(item: pytest.Item) -> tuple[bool, bool]:
    folder = item.path.relative_to(HERE).parts[0]
    waits = folder in LAST or item.name == "test_on_the_kernel"
    return waits, folder not in COMPUTING


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return  # of several processes (pytest-xdist) the one that needs such runs begins them itself
    chosen: dict[object, list[str]] = {}
    for item in session.items:
        chosen.setdefault(getattr(item, "module", None), []).append(item.name)
    for module, names in chosen.items():
        begin = getattr(module, "begin_beside", None)
        if begin is not None and (stop := begin(names)) is not None:
            session.config.add_cleanup(stop)
