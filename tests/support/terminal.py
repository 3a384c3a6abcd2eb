"""`tcplab start` on a pseudo-terminal, as a person has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte

from support.real import TCPLAB, children

ROWS, COLUMNS = 48, 160
PATIENCE = 15.0


class Terminal:
    """`tcplab start LAB`, or another command with a screen, on a pseudo-terminal."""

    def __init__(self, *words: str, command: str = "start") -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(slave)
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        self.process = subprocess.Popen(
            [*TCPLAB, command, *words], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        self.slave = slave
        self.seen = b""
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)

    def read_until(self, words: str, patience: float = PATIENCE) -> float:
        """Read until `words` stand on the screen; the seconds that took."""
        began = time.monotonic()
        while not self.shows(words):
            assert time.monotonic() - began < patience, f"no {words!r} on the screen:\n" + "\n".join(
                self.screen.display
            )
            self.read(0.05)
        return time.monotonic() - began

    def shows(self, words: str) -> bool:
        """The words stand on one line of the screen."""
        return any(words in line for line in self.screen.display)

    def type(self, text: str) -> None:
        """Type without a pause."""
        os.write(self.master, text.encode())

    def press(self, *keys: str) -> None:
        """Type keys, slowly enough for a menu to open between two."""
        for key in keys:
            os.write(self.master, key.encode())
            for _ in range(4):
                self.read(0.05)

    def read(self, wait: float) -> None:
        if select.select([self.master], [], [], wait)[0]:
            with contextlib.suppress(OSError):
                octets = os.read(self.master, 1 << 16)
                self.seen += octets
                self._stream.feed(octets)

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
