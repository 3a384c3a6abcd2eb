"""Enter a lab's namespaces, as `tcplab exec` does before it becomes the program.

In a user namespace capabilities are lost at execve(2), unless the program is root there or they are ambient
(capabilities(7)). We keep the person's own uid, so they are made ambient: tcpdump, ping and ip then work for the
program and what it starts, in the lab's namespaces only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Final

from tcplab.engines.libc import CLONE_NEWNET, CLONE_NEWUSER, check, libc

_CAPABILITY_VERSION_3: Final = 0x20080522
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_MOST_CAPABILITIES: Final = 64


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def enter(fds: Sequence[int]) -> None:
    """Join the namespaces of `World.namespace_fds`: (user, net), or (net,) of a lab that root runs.

    The process must have one thread. PermissionError: the lab belongs to somebody else, or root runs it.
    """
    *user, net = fds
    if user:
        check(libc.setns(user[0], CLONE_NEWUSER))
    check(libc.setns(net, CLONE_NEWNET))
    if user:
        _keep_capabilities()


def _keep_capabilities() -> None:
    """Make all that is permitted inheritable and ambient."""
    header, sets = _Header(_CAPABILITY_VERSION_3, 0), (_Sets * 2)()
    check(libc.capget(ctypes.byref(header), sets))
    for part in sets:
        part.inheritable = part.permitted
    check(libc.capset(ctypes.byref(header), sets))
    for capability in range(_MOST_CAPABILITIES):
        if sets[capability // 32].permitted >> capability % 32 & 1:
            check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))
