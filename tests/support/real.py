"""What the tests of real processes share: how tcplab is started, and what must be as before afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TCPLAB = (sys.executable, "-m", "tcplab")


def run(*words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """A command of tcplab, to its end."""
    return subprocess.run([*TCPLAB, *words], capture_output=True, text=True, timeout=timeout, check=False)


def host_state() -> dict[str, object]:
    """What a lab must leave as it was: namespaces, links, sysctls, processes of ours."""

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    sysctls = {}
    for path in sorted(Path("/proc/sys/net/ipv4").glob("tcp_*")):
        try:
            sysctls[path.name] = path.read_text()
        except OSError:
            continue
    return {
        "netns": output("ip", "netns", "list"),
        "links": output("ip", "-br", "link"),
        "sysctls": sysctls,
        "processes": engines(),
    }


def engines() -> list[int]:
    """Engine processes on this machine that this test could have started (its own descendants are gone from /proc)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"tcplab" in words and b"engine" in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return sorted(found)
