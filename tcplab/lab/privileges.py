"""Whose lab it is, and how a screen that was started by root stops being root.

`sudo tcplab start` needs root for the engine's namespaces and for nothing else: once the engine is its own process,
the screen becomes the person who typed sudo, for good. Somebody who is logged in as root stays user 0, but without
any capability. See capabilities(7), credentials(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_PDEATHSIG: Final = 1
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522
_SIGKILL: Final = 9


def person() -> int:
    """The user id of the person at the keyboard: under sudo the one who typed it, else the process's own."""
    if os.geteuid() == 0:
        typed = os.environ.get("SUDO_UID", "")
        return int(typed) if typed.isascii() and typed.isdigit() else 0
    return os.geteuid()


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Meanwhile root's effective user is `uid`; whoever is not root stays what he is."""
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def give_up_root() -> None:
    """Never have root's powers again, nor any program that this process starts. Before any thread is started.

    Not root: nothing to do. OSError if it cannot be done, or if the person then could not read this very program;
    nothing more should be done then.
    """
    if os.geteuid() != 0:
        return
    uid = person()
    if uid != 0:
        _become(uid)
        for file in (__file__, os.__file__):
            if not os.access(file, os.R_OK):
                raise PermissionError(errno.EACCES, f"user {uid} may not read it", file)
    if sys.platform == "linux":
        _drop_capabilities()


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends (Linux; PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def adopt_home() -> None:
    """Have the home directory of the person who typed sudo: what is theirs is kept there, not in root's."""
    uid = person()
    if os.geteuid() != 0 or uid == 0:
        return
    entry = _entry(uid)
    os.environ.update(HOME=entry.home, USER=entry.name, LOGNAME=entry.name, SHELL=entry.shell)
    for name, value in list(os.environ.items()):
        if name.startswith("XDG_") and value.startswith(("/root", "/run/user/0")):
            del os.environ[name]


def _become(uid: int) -> None:
    """Be that user, in all respects."""
    entry = _entry(uid)
    typed = os.environ.get("SUDO_GID", "")
    gid = int(typed) if typed.isascii() and typed.isdigit() else entry.gid
    adopt_home()
    os.initgroups(entry.name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


class _Entry(NamedTuple):
    name: str
    gid: int
    home: str
    shell: str


def _entry(uid: int) -> _Entry:
    try:
        found = pwd.getpwuid(uid)
    except KeyError:  # a user without an entry, in a container say
        return _Entry(str(uid), uid, "/", "/bin/sh")
    return _Entry(found.pw_name, found.pw_gid, found.pw_dir, found.pw_shell)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _drop_capabilities() -> None:
    """Empty every set, and let no program get any back (a set-user-ID program, or user 0 by being user 0)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_last_capability() + 1):  # needs CAP_SETPCAP; without it no_new_privs does it alone
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    header, data = _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)()
    _check(libc.capset(ctypes.byref(header), data))


def _last_capability() -> int:
    try:
        return int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    except (OSError, ValueError):
        return 63


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
