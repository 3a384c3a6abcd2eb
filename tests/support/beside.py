"""Programs that wait for the kernel's real time begin before the first test, and are asked when their turn comes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 500


class Beside:
    """A Python program at work in a small process of its own: the tests' memory would make it late."""

    def __init__(self, *words: str) -> None:
        self._out = tempfile.TemporaryFile("w+")  # noqa: SIM115  `lines` closes them
        self._err = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, *words]
        self._process = subprocess.Popen(command, stdout=self._out, stderr=self._err, text=True, cwd=ROOT)

    def lines(self) -> list[str]:
        """What it said, when it has ended."""
        self._process.wait(_PATIENCE)
        found = []
        for file in (self._err, self._out):
            file.seek(0)
            found.append(file.read())
            file.close()
        assert "Traceback" not in found[0], found[0]
        return found[1].splitlines()

    def stop(self) -> None:
        """Nobody will ask any more."""
        self._process.kill()
        self._process.wait()
