"""What the tests of real processes share: how tcplab is started, and what must be as before afterwards."""

from __future__ import annotations

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
    }


def children(parent: int) -> list[int]:
    """The processes that `parent` has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """A process that runs still (a dead one that nobody waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
