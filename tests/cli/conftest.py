"""Runs tcplab as its own process, as a person would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tcplab.engines.probe import choose_engine

Tcplab = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = [sys.executable, "-m", "tcplab"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A person's empty home directory."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """What a process of that person has in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUDO_", "XDG_"))}
    return kept | {"HOME": str(home), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.fixture
def tcplab(environment: dict[str, str], tmp_path: Path) -> Tcplab:
    """`tcplab("run", "x.toml")`: the finished process; never a traceback."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *words],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
        return done

    return run


@pytest.fixture(scope="session")
def _refused() -> str:
    return choose_engine()[1]


@pytest.fixture
def namespaces(_refused: str) -> None:
    """Skip, with the reason, where there are none."""
    if _refused:
        pytest.skip(_refused)


@pytest.fixture
def program() -> Callable[[str], str]:
    """The path of a program, or skip."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find
