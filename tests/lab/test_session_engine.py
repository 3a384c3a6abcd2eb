"""The engine as a process of its own: how it starts, refuses, and goes when anybody dies."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tcplab.engines.probe import choose_engine
from tcplab.lab.session import SessionEnded, spawn_engine

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 10
SCREEN = """
import sys
from tcplab.lab.session import spawn_engine
session = spawn_engine("handshake", {engine!r})
session.ready()
print(session._process.pid, flush=True)
sys.stdin.read()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd_open(2)")


@pytest.fixture(scope="session")
def _refused() -> str:
    return choose_engine()[1]


@pytest.fixture(params=["sim", pytest.param("veth", marks=pytest.mark.namespaces)])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "veth" and request.getfixturevalue("_refused"):
        pytest.skip(request.getfixturevalue("_refused"))
    return str(request.param)


def ends(pidfd: int) -> bool:
    """The process behind the descriptor ends within PATIENCE."""
    readable, _, _ = select.select([pidfd], [], [], PATIENCE)
    os.close(pidfd)
    return bool(readable)


def devices() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def test_an_engine_starts_answers_and_ends_with_its_session(engine: str) -> None:
    before = devices()
    session = spawn_engine("handshake", engine, 7)
    assert session.ready().code == 0
    view = session.pull(0).view
    assert (view.engine, view.seed, view.exercise.id) == (engine, 7, "handshake")
    assert session.do("pause").code == 0
    assert session.do("no such command").code == 2
    session.close()
    assert session._process is not None
    assert session._process.returncode == 0
    assert devices() == before


def test_without_a_lab_it_is_free_play() -> None:
    session = spawn_engine(None, "sim")
    session.ready()
    assert session.pull(0).view.exercise.id == ""
    assert session.do("b listen 81").code == 0
    assert session.do("load handshake").code == 0
    assert session.pull(0).view.exercise.id == "handshake"
    session.close()


def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.lab"
    wrong.write_text("b listen 80\nb dance\n")
    session = spawn_engine(str(wrong), "sim")
    with pytest.raises(SessionEnded, match=r"wrong\.lab:2: ") as refused:
        session.ready()
    assert refused.value.code == 2
    session.close()


@linux
def test_kill_9_of_the_engine_is_told_to_the_screen(engine: str) -> None:
    before = devices()
    session = spawn_engine("handshake", engine)
    session.ready()
    engine_process = session._process
    assert engine_process is not None
    engine_process.send_signal(signal.SIGKILL)
    engine_process.wait(PATIENCE)
    with pytest.raises(SessionEnded, match="engine is gone"):
        session.pull(0)
    session.close()
    assert devices() == before


@linux
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_the_screen_is_the_end_of_the_engine(engine: str, sign: signal.Signals) -> None:
    before = devices()
    screen = subprocess.Popen(
        [sys.executable, "-c", SCREEN.format(engine=engine)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert screen.stdout is not None
    pidfd = os.pidfd_open(int(screen.stdout.readline()))
    screen.send_signal(sign)
    assert ends(pidfd)
    screen.communicate()
    assert devices() == before
