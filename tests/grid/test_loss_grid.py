"""Our columns of the grid of goodput are what the code gives; Linux's are what was measured, and not far from it.

After a change of the stack that moves them: python -m tcplab.lab.compare.grid tests/grid/loss_grid.txt
"""

from __future__ import annotations

from pathlib import Path

from tcplab.lab.compare import grid
from tcplab.lab.compare.grid import Cell
from tcplab.tcp.cc import CONTROLLERS

FILE = Path(__file__).with_name("loss_grid.txt")
OURS, LINUX, RELEASE = grid.read(FILE.read_text())
PLAYED = ("default", 20)
"""The rows that are played again here: of this buffer and delay."""


def test_our_goodput_is_what_the_grid_says() -> None:
    wanted = [cell for cell in OURS if (cell.buffer, cell.delay) == PLAYED]
    assert len(wanted) == len(grid.LOSSES) * len({cell.controller for cell in OURS})
    assert grid.measure(wanted, grid.ours, 2) == {cell: OURS[cell] for cell in wanted}


def test_each_controller_of_ours_is_in_it() -> None:
    here = [name for name, made in CONTROLLERS.items() if made.__module__.startswith("tcplab.")]
    assert list(OURS) == grid.cells(here)
    assert set(LINUX) == set(OURS)


def test_where_real_time_counts_little_both_are_alike() -> None:
    """Chance stays: where much is lost, the seeds decide."""
    for cell, kbs in LINUX.items():
        if cell.delay >= 20 and cell.loss <= 10_000:
            assert 0.8 < OURS[cell] / kbs < 1.25, cell


def test_the_text_is_made_of_what_it_says() -> None:
    assert grid.text(OURS, LINUX, RELEASE) == FILE.read_text()


def test_what_was_not_measured_is_told() -> None:
    some = dict.fromkeys(grid.cells(["reno"]), 7)
    text = grid.text(some, {}, "")
    assert "Linux not measured" in text
    assert text.endswith("Nothing was measured on Linux.\n")
    assert grid.read(text) == (some, {}, "")
    least = Cell(0, 5, "64K", "reno")
    text = grid.text(some, {least: 14}, "6.18")
    assert "0.50" in text
    assert grid.read(text) == (some, {least: 14}, "6.18")
