"""Where a second terminal finds a running lab: an abstract Unix socket, `@tcplab-<uid>-<pid>`.

Nothing of it is on the disk, and it is gone with its process. It belongs to the network namespace in which it was
bound, so an engine binds it before it makes its own. Such a socket has no file mode: whoever accepts or connects
asks who is at the other end (SO_PEERCRED). See unix(7).
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from pathlib import Path
from typing import Final

import msgspec

from tcplab.lab import privileges
from tcplab.lab.session import Remote

_LISTENING: Final = "00010000"  # __SO_ACCEPTCON in the Flags column of /proc/net/unix
_NAME: Final = re.compile(r"@tcplab-(\d+)-(\d+)")


class NoLab(Exception):
    """No running lab fits; str() says so in words."""


class Found(msgspec.Struct, frozen=True):
    """A running lab: its engine's process, whose it is, when it began (clock ticks since boot)."""

    pid: int
    uid: int
    started: int


def open_door() -> socket.socket | None:
    """A listening socket for the lab of this process; None where there is no such thing, or its name is taken."""
    if sys.platform != "linux":
        return None
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        door.bind(f"\0tcplab-{privileges.person()}-{os.getpid()}")
        door.listen(8)
    except OSError:
        door.close()
        return None
    return door


def running() -> list[Found]:
    """The labs of this person, and root's if root asks; the newest first."""
    try:
        table = Path("/proc/net/unix").read_text(errors="replace")
    except OSError:
        return []
    mine = {privileges.person(), os.geteuid()}
    labs: list[Found] = []
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) != 8 or columns[3] != _LISTENING or not (name := _NAME.fullmatch(columns[7])):
            continue
        uid, pid = map(int, name.groups())
        started = _started(pid)
        if uid in mine and started is not None:
            labs.append(Found(pid, uid, started))
    return sorted(labs, key=lambda lab: (lab.started, lab.pid), reverse=True)


def connect(pid: int | None = None) -> Remote:
    """A session with the newest running lab, or with that of process `pid`. Raises NoLab."""
    labs = running()
    if pid is not None:
        labs = [lab for lab in labs if lab.pid == pid]
    if not labs:
        which = "" if pid is None else f" with process {pid}"
        raise NoLab(f"no lab{which} is running; start one with: tcplab start")
    lab = labs[0]
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with privileges.acting_as(lab.uid):
            sock.connect(f"\0tcplab-{lab.uid}-{lab.pid}")
        peer, uid = peer_of(sock)
        if peer != lab.pid or uid not in (0, lab.uid):
            raise NoLab(f"@tcplab-{lab.uid}-{lab.pid} belongs to somebody else")
    except OSError as error:
        sock.close()
        raise NoLab(f"the lab of process {lab.pid} cannot be reached: {error}") from error
    except NoLab:
        sock.close()
        raise
    return Remote(sock)


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the process at the other end, as this process's namespaces see them."""
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return pid, uid


class Guests:
    """Who may join this lab: the person whose it is, and root. Made before the lab's namespaces are.

    In a user namespace of its own the engine and its person keep their number, and everybody else, root included,
    appears as nobody; so does the engine itself if its number was not mapped, and then nobody is let in.
    """

    def __init__(self) -> None:
        self._uid = os.geteuid()
        self._welcome = {0, self._uid, privileges.person()}

    def welcome(self, uid: int) -> bool:
        """May a process of this user, as SO_PEERCRED tells it, join?"""
        return os.geteuid() == self._uid and uid in self._welcome


def _started(pid: int) -> int | None:
    """When the process began, in clock ticks since boot (field 22 of /proc/PID/stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
