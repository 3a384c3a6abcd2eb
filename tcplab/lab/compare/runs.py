"""An exercise or a script, played on our stack in virtual time, and with the kernel in one seat or both."""

from __future__ import annotations

import re
import select
from typing import Final

from tcplab.engines.haste import calm, hurry
from tcplab.lab.compare import rows
from tcplab.lab.compare.rows import Run
from tcplab.lab.exercise import Source
from tcplab.lab.runner import Runner
from tcplab.units import MS, SEC

ENGINES: Final = {"a": "mixed-a", "b": "mixed-b", "both": "kernel"}
"""Who is the kernel's -> the engine."""
_HEARTBEAT: Final = 20 * MS / SEC
"""Seconds between two looks at the kernel's states, when nothing else happens."""


def ours(source: Source, seed: int | None, engine: str = "sim") -> Run:
    """On our stack in both seats."""
    runner = Runner(source, engine, seed)
    try:
        runner.run_headless()
        return _run(runner, "tcplab")
    finally:
        runner.close()


def linux(source: Source, seed: int | None, seats: str = "both") -> Run:
    """With the kernel in `seats`, in real time. EngineError: this machine cannot, or may not."""
    runner = Runner(source, ENGINES[seats], seed)
    haste = hurry()
    try:
        runner.start_paced(headless=True)
        while not runner.ended:
            left = runner.timeout()
            select.select(runner.world.filenos(), [], [], _HEARTBEAT if left is None else min(left, _HEARTBEAT))
            runner.catch_up()
        return _run(runner, "linux")
    finally:
        calm(haste)
        runner.close()


def _run(runner: Runner, stack: str) -> Run:
    found, flows = rows.of_events(runner.events, runner.stage.names)
    variables: dict[str, dict[str, str]] = {}
    counters: dict[str, dict[str, int]] = {}
    for mark, instant in runner.record.instants.items():
        variables[mark] = {}
        for host, view in instant.hosts.items():
            variables[mark] |= rows.variables_of(view, flows)
            counters[host] = view.counters
    notes = [note for kernel in runner.world.kernels for note in kernel.notes]
    return Run(stack, found, counters, variables, runner.world.loop.now, _where(runner.error), notes)


def _where(error: str) -> str:
    """Where a script ended before its end; the stacks have their own words for why, and its errno is a call's."""
    found = re.match(r".+:(\d+): ", error)
    return f"at line {found[1]}" if found else error
