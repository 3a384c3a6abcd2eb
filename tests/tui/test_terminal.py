"""A real terminal: whatever signal ends the screen, the terminal is given back."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys
sys.path.insert(0, {here!r})
from fake_lab import flooded
from tcplab.tui.app import run
sys.exit(run(flooded()))
"""


def read(fd: int, until: bytes, seconds: float) -> bytes:
    """What comes from the terminal until `until` was seen, or the time is over."""
    seen = b""
    end = time.monotonic() + seconds
    while until not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.05)[0]:
            try:
                seen += os.read(fd, 1 << 16)
            except OSError:  # the other end is closed
                break
    return seen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)])
def test_a_signal_gives_the_terminal_back(number: signal.Signals, code: int) -> None:
    ours, theirs = pty.openpty()
    here = str(Path(__file__).parent)
    environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(here=here)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert b"\x1b[?1049h" in read(ours, b"SYN_SENT", 10)
        process.send_signal(number)
        left = read(ours, b"\x1b[?1049l", 5)
        assert b"\x1b[?1049l" in left
        left += read(ours, b"\x1b[?1000l", 0.2)
        assert process.wait(5) == code
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
