"""The command line is quick because it loads little: proved in fresh processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("textual", "scapy", "pyroute2", "asyncio", "rich", "hypothesis", "tcplab.tui")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["labs"],
        ["run", "handshake", "--engine", "sim"],
        ["do", "x"],
        ["exec", "a", "--", "x"],
    ],
    ids=" ".join,
)
def test_the_command_line_loads_neither_screen_nor_netlink(words: list[str]) -> None:
    code = f"""
import sys
from tcplab.cli.group import run
sys.argv = ["tcplab", *{words!r}]
run()
print("loaded", *sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r})))
print("screen", "tcplab.tui" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-2:] == ["loaded", "screen False"], done.stdout + done.stderr


def test_help_is_there_at_once() -> None:
    def took() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tcplab", "--help"], cwd=ROOT, capture_output=True, check=True)
        return time.perf_counter() - began

    bare = min(took_by_python() for _ in range(3))
    assert min(took() for _ in range(5)) - bare < 0.1


def took_by_python() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], capture_output=True, check=True)
    return time.perf_counter() - began
