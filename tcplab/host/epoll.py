"""epoll(7): level and edge, EPOLLONESHOT, EPOLLEXCLUSIVE (Linux eventpoll.c). Nothing here blocks."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from tcplab.host import readiness

if TYPE_CHECKING:
    from tcplab.host.machine import Machine
    from tcplab.host.sockets import Socket

EXCLUSIVE, WAKEUP, ONESHOT, ET = 1 << 28, 1 << 29, 1 << 30, 1 << 31
ADD, DEL, MOD = 1, 2, 3
_PRIVATE: Final = EXCLUSIVE | WAKEUP | ONESHOT | ET
_WITH_EXCLUSIVE: Final = readiness.IN | readiness.OUT | readiness.ALWAYS | WAKEUP | ET | EXCLUSIVE


class Watch:
    """A socket that an epoll descriptor watches."""

    __slots__ = ("data", "epoll", "events", "sock")

    def __init__(self, epoll: Epoll, sock: Socket, events: int, data: int) -> None:
        self.epoll = epoll
        self.sock = sock
        self.events = events
        self.data = data

    def holds(self) -> int:
        """The events asked for that hold now."""
        return readiness.mask(self.sock) & self.events

    def wake(self, key: int) -> None:
        """Something happened that may make one of `key` hold (ep_poll_callback)."""
        if self.events & ~_PRIVATE and key & self.events:
            self.epoll.ready[self.sock.fd] = self

    def end(self) -> None:
        """The socket is not watched any more."""
        self.sock.watches = tuple(other for other in self.sock.watches if other is not self)


class Epoll:
    """What one epoll descriptor watches."""

    __slots__ = ("ready", "watches")

    def __init__(self) -> None:
        self.watches: dict[int, Watch] = {}
        self.ready: dict[int, Watch] = {}
        """Those to look at in the next wait, the oldest first."""

    def ctl(self, op: int, sock: Socket, events: int = 0, data: int = 0) -> None:
        """epoll_ctl(2): EPOLL_CTL_ADD, MOD or DEL. EEXIST, ENOENT; EINVAL: no such op, or EPOLLEXCLUSIVE with more."""
        watch = self.watches.get(sock.fd)
        if op not in (ADD, DEL, MOD):
            raise OSError(errno.EINVAL, "epoll_ctl() takes EPOLL_CTL_ADD, MOD or DEL")
        exclusive = (events | (watch.events if watch is not None else 0)) & EXCLUSIVE
        if op != DEL and exclusive and (op == MOD or events & ~_WITH_EXCLUSIVE):
            raise OSError(errno.EINVAL, "EPOLLEXCLUSIVE goes with EPOLL_CTL_ADD, and with few other flags")
        if op == ADD and watch is not None:
            raise OSError(errno.EEXIST, "the descriptor is watched already")
        if op != ADD and watch is None:
            raise OSError(errno.ENOENT, "the descriptor is not watched")
        if watch is None:
            watch = self.watches[sock.fd] = Watch(self, sock, 0, 0)
            sock.watches += (watch,)
        if op == DEL:
            watch.end()
            self.forget(sock.fd)
            return
        watch.events, watch.data = events | readiness.ALWAYS, data
        if watch.holds():
            self.ready.setdefault(sock.fd, watch)

    def forget(self, fd: int) -> None:
        """The descriptor is watched no more."""
        self.watches.pop(fd, None)
        self.ready.pop(fd, None)

    def wait(self, most: int) -> list[tuple[int, int]]:
        """epoll_wait(2) without waiting: up to `most` pairs (events, data)."""
        if most <= 0:
            raise OSError(errno.EINVAL, "epoll_wait() takes room for one event at least")
        found: list[tuple[int, int]] = []
        again: list[Watch] = []
        for fd, watch in list(self.ready.items()):
            if len(found) == most:
                break
            del self.ready[fd]
            holds = watch.holds()
            if not holds:
                continue
            found.append((holds, watch.data))
            if watch.events & ONESHOT:
                watch.events &= _PRIVATE
            elif not watch.events & ET:
                again.append(watch)
        for watch in again:
            self.ready[watch.sock.fd] = watch
        return found


def close(machine: Machine, fd: int) -> None:
    """close(2) of an epoll descriptor."""
    for watch in machine.epolls.pop(fd).watches.values():
        watch.end()


def call(machine: Machine, op: str, args: tuple[Any, ...]) -> Any:
    """`epoll_create`, `epoll_ctl` (descriptor, op, socket, events, data), `epoll_wait` (descriptor, most)."""
    if op == "epoll_create":
        fd = machine.new_descriptor()
        machine.epolls[fd] = Epoll()
        return fd
    epoll = machine.epolls.get(args[0])
    if epoll is None:
        known = args[0] in machine.sockets
        raise OSError(errno.EINVAL if known else errno.EBADF, f"descriptor {args[0]} is no epoll descriptor")
    if op == "epoll_wait":
        return epoll.wait(*args[1:])
    sock = machine.sockets.get(args[2])
    if sock is None:
        raise OSError(errno.EINVAL if args[2] == args[0] else errno.EBADF, f"descriptor {args[2]} is no socket")
    epoll.ctl(args[1], sock, *args[3:])
    return None


CALLS: Final = ("epoll_create", "epoll_ctl", "epoll_wait")
