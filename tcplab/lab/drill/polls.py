"""poll() and epoll on our stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tcplab.host import readiness
from tcplab.lab.drill import symbols
from tcplab.lab.drill.stack import Outcome
from tcplab.units import MS, NEVER

if TYPE_CHECKING:
    from tcplab.lab.drill.ours import Ours


class Blocked(Exception):
    """The call waits."""


def _until(ours: Ours, args: dict[str, Any]) -> int:
    return ours.clock + args["timeout"] * MS if args["timeout"] >= 0 else NEVER


def poll(ours: Ours, args: dict[str, Any]) -> Callable[[], Outcome]:
    """poll(2)."""
    end = _until(ours, args)
    always = readiness.ALWAYS | symbols.POLL["POLLNVAL"]

    def mask(fd: int) -> int:
        sock = ours.machine.sockets.get(fd)
        return readiness.mask(sock) if sock is not None else symbols.POLL["POLLNVAL"]

    def attempt() -> Outcome:
        found = [mask(fd) & (events | always) for fd, events, _ in args["polled"]]
        ready = sum(1 for events in found if events)
        if not ready and ours.clock < end:
            raise Blocked
        return Outcome(ready, out={"revents": found})

    return attempt


def epoll_create(ours: Ours, args: dict[str, Any]) -> Callable[[], Outcome]:
    """epoll_create(2)."""
    return lambda: Outcome(ours.call("epoll_create"))


def epoll_ctl(ours: Ours, args: dict[str, Any]) -> Callable[[], Outcome]:
    """epoll_ctl(2)."""

    def attempt() -> Outcome:
        events, data = args["epoll_event"]
        ours.call("epoll_ctl", args["epoll_fd"], args["command"], args["fd"], events, data)
        return Outcome()

    return attempt


def epoll_wait(ours: Ours, args: dict[str, Any]) -> Callable[[], Outcome]:
    """epoll_wait(2)."""
    end = _until(ours, args)

    def attempt() -> Outcome:
        found = ours.call("epoll_wait", args["epoll_fd"], args["most"])
        if not found and ours.clock < end:
            raise Blocked
        return Outcome(len(found), out={"events": found})

    return attempt
