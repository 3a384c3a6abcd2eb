"""Loss x delay x receive buffer x congestion control -> goodput, ours beside the kernel's, as a text to keep.

python -m tcplab.lab.compare.grid                  prints our grid
python -m tcplab.lab.compare.grid FILE             writes it, and keeps what FILE tells of Linux
python -m tcplab.lab.compare.grid FILE --linux     measures Linux as well: as root, in real time, some minutes

One connection carries SIZE octets from a to b. What chance loses comes from the same stages of the same link on both
stacks, in both directions, from the moment when the connection stands. Goodput is what b has read by then, in KB/s of
lab time, the median of SEEDS; ours is exact and the same each time, Linux's is what real time made of it.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import select
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.addresses import ADDRESS
from tcplab.engines.errors import EngineError
from tcplab.engines.haste import calm, hurry
from tcplab.engines.world import World
from tcplab.link.match import Match
from tcplab.link.stages import Drop
from tcplab.tcp.cc import CONTROLLERS
from tcplab.units import MS, SEC, Nanos

LOSSES: Final = (0, 1_000, 10_000, 30_000, 100_000)
"""Of a million frames."""
DELAYS: Final = (5, 20, 100)
"""Milliseconds, one way; so long that what our program takes in the kernel's place on the wire matters little."""
BUFFERS: Final = {"64K": "4096 65536 65536", "default": ""}
"""tcp_rmem of the receiver."""
SEEDS: Final = range(1, 16)
SIZE: Final = 300_000
LIMIT: Final[Nanos] = 60 * SEC
"""A run ends here, with what has arrived until then."""
FAR: Final = (80, 125)
"""A ratio outside of these, in %, is marked."""
_TITLE: Final = "Goodput of one connection that carries"
_LINUX: Final = "Linux "
_WHY: Final = """\
What differs is real time: the kernel's frames cross a wire that is a program, which takes some tens of us for each; its
timers wait for the next tick, which costs the more the shorter the delay; and its reader comes a moment later, which
decides of a quick ACK more or less (64K without loss). With loss there is chance: both meet the same dice, but from the
first frame that one of them sends more than the other these lose other frames; and where one RTO more halves a run
(64K, 5 ms, 10 %) the median of so few seeds falls on either side.
"""
_PORT: Final = 9000
_CHUNK: Final = 1 << 16
_HEARTBEAT: Final = 20 * MS / SEC
"""Seconds between two looks at the kernel's sockets, when nothing else happens."""
_WORKERS: Final = {5: 2, 20: 6, 100: 12}
"""Runs of the kernel at a time, by the delay: the shorter, the more a processor that is busy would count."""


class Cell(NamedTuple):
    """One place of the grid."""

    loss: int
    delay: int
    buffer: str
    controller: str


Grid: TypeAlias = dict[Cell, int]
"""KB/s; a cell that was not measured is left out."""
Run: TypeAlias = Callable[[World, Callable[[], bool]], None]
"""Lets a world go on until it is done, or LIMIT is over."""


def cells(controllers: Iterable[str]) -> list[Cell]:
    """All of them, in the order of the text."""
    return [
        Cell(loss, delay, buffer, controller)
        for buffer in BUFFERS
        for delay in DELAYS
        for loss in LOSSES
        for controller in controllers
    ]


def ours(cell: Cell, seed: int) -> int:
    """Our goodput, in virtual time."""

    def run(world: World, done: Callable[[], bool]) -> None:
        world.loop.run_until(world.loop.now + LIMIT, unless=done)

    return _goodput(cell, seed, "sim", run)


def linux(cell: Cell, seed: int) -> int:
    """The kernel's, in real time. EngineError: this machine cannot, or may not."""

    def run(world: World, done: Callable[[], bool]) -> None:
        until = world.loop.now + LIMIT
        while not done() and world.loop.now < until:
            left = world.loop.timeout()
            select.select(world.filenos(), [], [], _HEARTBEAT if left is None else min(left, _HEARTBEAT))
            world.loop.catch_up()

    haste = hurry()
    try:
        return _goodput(cell, seed, "kernel", run)
    finally:
        calm(haste)


def _goodput(cell: Cell, seed: int, engine: str, run: Run) -> int:
    settings: dict[str, int | str] = {"tcp_congestion_control": cell.controller}
    rmem: dict[str, int | str] = {"tcp_rmem": BUFFERS[cell.buffer]} if BUFFERS[cell.buffer] else {}
    plan = Plan(seed, cell.delay * MS, {"a": settings, "b": settings | rmem})
    world = World(plan, engine, trace=False)
    try:
        if notes := [note for kernel in world.kernels for note in kernel.notes if "congest" in note.lower()]:
            raise EngineError(notes[0])
        world.loop.set_rate(1, 1)
        world.loop.play()
        listener = world.apps.start("b", "sink", apps.listen(_PORT, 1)).result
        accepted = world.apps.start("b", "sink", apps.accept_one(listener))
        client = world.apps.start("a", "source", apps.connect(ADDRESS["b"], _PORT))
        run(world, lambda: accepted.done and client.done)
        if cell.loss:
            world.link.add(Drop(Match(ppm=cell.loss), "chance"))
        arrived = [0]
        began = world.loop.now
        sink = world.apps.start("b", "sink", _sink(accepted.result[0], arrived))
        world.apps.start("a", "source", apps.send_all(client.fd, bytes(SIZE)))
        run(world, lambda: sink.done)
        return arrived[0] * SEC // 1000 // (world.loop.now - began)
    finally:
        world.close()


def _sink(fd: int, arrived: list[int]) -> apps.Program:
    while arrived[0] < SIZE:
        arrived[0] += len((yield "recv", fd, _CHUNK))


# --- the text -----------------------------------------------------------------------------------------------------


def text(ours: Grid, linux: Grid, release: str) -> str:
    """The grid as it is kept: a line per loss, delay and buffer, three columns per controller."""
    controllers = list(dict.fromkeys(cell.controller for cell in ours))
    lines = [
        f"{_TITLE} {SIZE:,} octets; KB/s, the median of {len(SEEDS)} seeds.",
        f"tcplab: virtual time. {_LINUX}{release if linux else 'not measured'}, the same rules of loss, in real time.",
        "",
        f"{'':<24}" + "".join(f"{name:>12}{'':>14}" for name in controllers),
        f"{'buffer':<8}{'delay':>8}{'loss':>8}" + f"{'tcplab':>12}{'Linux':>8}{'ratio':>6}" * len(controllers),
    ]
    rows: dict[tuple[str, int, int], str] = {}
    for cell, kbs in ours.items():
        place = cell.buffer, cell.delay, cell.loss
        head = f"{cell.buffer:<8}{cell.delay:>6}ms{cell.loss / 10_000:>7g}%"
        rows[place] = rows.get(place, head) + f"{kbs:>12}{linux.get(cell, '-'):>8}{_ratio(kbs, linux.get(cell)):>6}"
    last = ""
    for (buffer, delay, _), row in rows.items():
        if last != f"{buffer} {delay}":
            lines.append("")
        last = f"{buffer} {delay}"
        lines.append(row)
    return "\n".join([*lines, "", *_closing(ours, linux), ""])


def _ratio(kbs: int, other: int | None) -> str:
    return f"{kbs / other:.2f}" if other else "-"


def _closing(ours: Grid, linux: Grid) -> list[str]:
    """How they differ."""
    ratios = {cell: round(100 * kbs / linux[cell]) for cell, kbs in ours.items() if linux.get(cell)}
    if not ratios:
        return ["Nothing was measured on Linux."]
    near = sum(FAR[0] <= ratio <= FAR[1] for ratio in ratios.values())
    found = sorted(ratios.values())
    return [
        f"Ratio of tcplab to Linux: median {median(found) / 100:.2f}, least {found[0] / 100:.2f}, greatest "
        f"{found[-1] / 100:.2f}; {near} of {len(found)} cells within {FAR[0] / 100:.2f} .. {FAR[1] / 100:.2f}.",
        *_WHY.splitlines(),
    ]


def read(kept: str) -> tuple[Grid, Grid, str]:
    """Ours, Linux's and Linux's release, from a text."""
    ours: Grid = {}
    linux: Grid = {}
    controllers: list[str] = []
    lines = kept.split("\n")
    release = next((line.split(_LINUX)[1].split(",")[0] for line in lines if _LINUX in line), "")
    for before, line in zip(lines, lines[1:], strict=False):
        if line.startswith("buffer"):
            controllers = before.split()
        found = re.match(r"(\w+) +(\d+)ms +([\d.]+)%((?: +\d+ +[\d-]+ +[\d.-]+)+)$", line)
        if found is None:
            continue
        numbers = found[4].split()
        for at, controller in enumerate(controllers):
            cell = Cell(round(float(found[3]) * 10_000), int(found[2]), found[1], controller)
            ours[cell] = int(numbers[3 * at])
            if numbers[3 * at + 1] != "-":
                linux[cell] = int(numbers[3 * at + 1])
    return ours, linux, release if linux else ""


# --- the command --------------------------------------------------------------------------------------------------


def measure(wanted: list[Cell], how: Callable[[Cell, int], int], workers: int) -> Grid:
    """The median of each, its runs in processes of their own, as namespaces want it; the slow ones first."""
    order = sorted(wanted, key=lambda cell: -cell.loss * cell.delay)
    jobs = [(cell, seed) for cell in order for seed in SEEDS]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        found = pool.map(how, *zip(*jobs, strict=True))
        runs = {cell: sorted(next(found) for _ in SEEDS) for cell in order}
    return {cell: int(median(runs[cell])) for cell in wanted}


def main(words: list[str]) -> None:
    """The command of this module."""
    file = next((Path(word) for word in words if not word.startswith("-")), None)
    _, others, release = read(file.read_text()) if file is not None and file.is_file() else ({}, {}, "")
    wanted = cells(CONTROLLERS)
    found = measure(wanted, ours, os.cpu_count() or 1)
    if "--linux" in words:
        for delay, workers in _WORKERS.items():
            others |= measure([cell for cell in wanted if cell.delay == delay], linux, workers)
        release = platform.release().split("-")[0]
    kept = text(found, others, release)
    if file is None:
        print(kept, end="")
    else:
        file.write_text(kept)


if __name__ == "__main__":
    main(sys.argv[1:])
