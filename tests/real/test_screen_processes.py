"""The screen and its engine as processes: killed at a random moment, they leave nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from support.real import TCPLAB, alive, children, host_state

pytestmark = pytest.mark.namespaces

ROWS, COLUMNS = 48, 160
PATIENCE = 15.0


class Terminal:
    """`tcplab start LAB` on a pseudo-terminal."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(slave)
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        self.process = subprocess.Popen(
            [*TCPLAB, "start", *words], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        self.slave = slave
        self.seen = b""

    def read_until(self, needle: bytes, patience: float = PATIENCE) -> float:
        """Read until `needle` was on the screen; the seconds that took."""
        began = time.monotonic()
        while needle not in self.seen and time.monotonic() - began < patience:
            self.read(0.05)
        assert needle in self.seen, self.seen[-2000:]
        return time.monotonic() - began

    def read(self, wait: float) -> None:
        if select.select([self.master], [], [], wait)[0]:
            with contextlib.suppress(OSError):
                self.seen += os.read(self.master, 1 << 16)

    def engine(self) -> int:
        """The engine's process: the only child of the screen's."""
        deadline = time.monotonic() + PATIENCE
        while not (found := children(self.process.pid)):
            assert time.monotonic() < deadline, "the screen started no engine"
            time.sleep(0.01)
        (pid,) = found
        return pid

    def end(self) -> int:
        """Wait for the screen's end, reading all it writes; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "the screen does not end"
            self.read(0.05)
        for _ in range(5):
            self.read(0.02)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():  # type: ignore[no-untyped-def]
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(*words))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def gone(engine: int, before: dict[str, object]) -> bool:
    """Within three seconds: the engine does not run any more, and the machine is as before."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if not alive(engine) and host_state() == before:
            return True
        time.sleep(0.05)
    return False


def test_a_handshake_is_on_the_screen_within_seconds(terminal) -> None:  # type: ignore[no-untyped-def]
    screen = terminal("handshake", "--engine", "veth")
    assert screen.read_until(b"SYN,ACK") < PATIENCE


@pytest.mark.parametrize("attempt", range(4))
def test_kill_9_of_the_engine_leaves_nothing(terminal, attempt: int) -> None:  # type: ignore[no-untyped-def]
    before = host_state()
    screen = terminal("handshake", "--engine", "veth")
    screen.read_until(b"handshake")
    time.sleep(random.Random(attempt).random())
    engine = screen.engine()
    os.kill(engine, signal.SIGKILL)
    time.sleep(0.3)
    screen.process.terminate()
    screen.end()
    assert gone(engine, before)


@pytest.mark.parametrize("attempt", range(4))
def test_kill_9_of_the_screen_leaves_nothing(terminal, attempt: int) -> None:  # type: ignore[no-untyped-def]
    before = host_state()
    screen = terminal("handshake", "--engine", "veth")
    engine = screen.engine()
    time.sleep(2 * random.Random(attempt).random())
    screen.process.kill()
    screen.process.wait()
    assert gone(engine, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_terminal_is_usable_after_a_signal(terminal, number: int, code: int) -> None:  # type: ignore[no-untyped-def]
    before = host_state()
    screen = terminal("handshake", "--engine", "veth")
    screen.read_until(b"SYN,ACK")
    engine = screen.engine()
    screen.process.send_signal(number)
    assert screen.end() == code
    assert screen.seen.rindex(b"\x1b[?1049l") > screen.seen.rindex(b"\x1b[?1049h")  # out of the alternate screen
    assert b"\x1b[?1000l" in screen.seen  # mouse off
    assert termios.tcgetattr(screen.slave)[3] == screen.before[3]
    assert gone(engine, before)
