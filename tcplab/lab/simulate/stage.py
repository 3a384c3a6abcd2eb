"""The applications of a simulated world: a program that opens, one that writes, one that reads, on each side.

A program is a generator. It yields `("pause", nanos)`, or a socket call, which is retried while it would block;
`("try", ...)` gives it the BlockingIOError instead.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias

from tcplab.engines.addresses import ADDRESS
from tcplab.host.machine import Machine
from tcplab.lab.simulate.plan import CALLED, CALLER, Call, Option, Plan, Serve, Step
from tcplab.lab.simulate.streams import Side, Violation
from tcplab.tcp.fastopen import MSG_FASTOPEN
from tcplab.tcp.user import MSG_PEEK
from tcplab.units import Nanos

Program: TypeAlias = Generator[tuple[Any, ...], Any, None]
At: TypeAlias = Callable[[Nanos, Callable[[], None]], object]

_WRITERS: Final = ("send", "sendto", "connect", "close")
_MOST_CALLS: Final = 100_000
_PORTION: Final = 1 << 16
_EARLY: Final = 2000
"""Octets that Fast Open is given with the SYN."""
_ENDS: Final = ("close", "abort", "again")


class Thread:
    """A program at work."""

    __slots__ = ("_at", "_host", "_pending", "_program", "_waits", "done", "now")

    def __init__(self, host: Machine, program: Program, now: Callable[[], Nanos], at: At) -> None:
        self._host = host
        self._program = program
        self.now = now
        self._at = at
        self._pending: tuple[Any, ...] | None = None
        self._waits = False
        self.done = False

    def run(self) -> None:
        """Up to what blocks or pauses."""
        if self.done:
            return
        program = self._program
        self._waits = False
        try:
            call = self._pending or next(program)
            for _ in range(_MOST_CALLS):
                if call[0] == "pause":
                    self._pending = None
                    self._at(self.now() + call[1], self._resume)
                    return
                try:
                    call = program.send(self._call(call))
                except BlockingIOError as blocks:
                    if call[0] != "try":
                        self._block(call)
                        return
                    call = program.throw(blocks)
                except OSError as error:
                    call = program.throw(error)
            raise Violation("a program never blocks", str(call[0]))
        except StopIteration:
            self.done = True

    def _resume(self) -> None:
        self._pending = ("nothing",)
        self.run()

    def _call(self, call: tuple[Any, ...]) -> Any:
        if call[0] == "nothing":
            return None
        op, *args = call[1:] if call[0] == "try" else call
        return self._host.call(self.now(), op, *args)

    def _block(self, call: tuple[Any, ...]) -> None:
        self._pending = call
        self._waits = True
        self._host.wait(call[1], call[0] in _WRITERS, self._wake)

    def _wake(self) -> None:
        if self._waits:
            self._waits = False
            self._at(self.now(), self.run)


class Stage:
    """All applications of a world."""

    def __init__(self, plan: Plan, hosts: dict[str, Machine], now: Callable[[], Nanos], at: At) -> None:
        self.plan = plan
        self.hosts = hosts
        self._now = now
        self._at = at
        self.sides: list[Side] = []
        self.threads: list[Thread] = []
        self.ports: dict[tuple[str, int], Side] = {}
        """Who calls from this port of this host."""
        self.ghosts = 0
        """Connections that nobody called for: old segments can open some, with a cookie."""
        self.ghosts_allowed = False
        for item in plan.items:
            if isinstance(item, Serve):
                self._start(item.host, self._server(item))
        for item in plan.items:
            if isinstance(item, Call):
                self._prepare(item)

    @property
    def busy(self) -> bool:
        """A program still runs, but those that wait for connections."""
        return any(side.parts for side in self.sides)

    def stop(self) -> None:
        """No application does anything more."""
        for thread in self.threads:
            thread.done = True

    def _start(self, host: str, program: Program, at: Nanos = 0) -> None:
        thread = Thread(self.hosts[host], program, self._now, self._at)
        self.threads.append(thread)
        self._at(at, thread.run)

    def _prepare(self, call: Call) -> None:
        caller, called = Side(call, CALLER), Side(call, CALLED)
        caller.peer, called.peer = called, caller
        self.sides += (caller, called)
        caller.parts = 1
        self._start(call.host, self._caller(caller), call.at)
        if call.how == "both":
            called.parts = 1
            self._start(called.host, self._caller(called), call.at + call.skew)

    def _steps(self, side: Side, part: str) -> list[Step]:
        return [
            item
            for item in self.plan.items
            if isinstance(item, Step) and item.call == side.call.id and item.side == side.side and item.part == part
        ]

    # --- opening ---

    def _server(self, serve: Serve) -> Program:
        fd = yield ("socket",)
        yield "setsockopt", fd, "SO_REUSEADDR", 1
        for option in self.plan.items:
            if isinstance(option, Option) and option.port == serve.port:
                yield from _set(fd, option.name, option.value)
        yield "bind", fd, 0, serve.port
        yield "listen", fd, serve.backlog
        if serve.ends:
            self._start(serve.host, _close_listener(fd), serve.ends)
        try:
            while True:
                if serve.slow:
                    yield "pause", serve.slow
                accepted, (addr, port) = yield "accept", fd
                self._accepted(serve, accepted, addr, port)
        except OSError as error:
            if not serve.ends:
                raise Violation("accept failed", errno.errorcode[error.errno or 0]) from None

    def _accepted(self, serve: Serve, fd: int, addr: int, port: int) -> None:
        names = {number: name for name, number in ADDRESS.items()}
        caller = self.ports.get((names.get(addr, ""), port))
        side = caller.peer if caller is not None else None
        if side is None or side.fd >= 0 or side.host != serve.host or side.call.port != serve.port:
            if not self.ghosts_allowed:
                raise Violation("connection from nowhere", f"port {serve.port} accepted one from port {port}")
            self.ghosts += 1
            if side is not None and side.peer is not None:
                side.tainted = side.peer.tainted = True  # the caller may talk to the ghost
            self._start(serve.host, _ghost(fd))
            return
        self._opened(side, fd)

    def _caller(self, side: Side) -> Program:
        call = side.call
        fd = side.fd = yield ("socket",)
        mirror = call.how == "both"
        local, port = call.local, call.port
        if mirror:
            local, port = (2000 + call.id, 3000 + call.id) if side.side == CALLER else (3000 + call.id, 2000 + call.id)
        if local:
            yield "setsockopt", fd, "SO_REUSEADDR", 1
            yield "bind", fd, 0, local
        for step in self._steps(side, "open"):
            yield from _set(fd, step.name, step.value)
        if call.how == "later":
            yield from _set(fd, "TCP_FASTOPEN_CONNECT", 1)
        there = ADDRESS[call.target if side.side == CALLER else call.host]
        try:
            yield from self._open(side, there, port)
        except OSError as error:
            side.fails("connect", error.errno or 0)
            yield from self._finish(side)
            side.parts -= 1
            return
        self._opened(side, fd)
        side.parts -= 1

    def _open(self, side: Side, there: int, port: int) -> Program:
        """connect(), or sendto() with MSG_FASTOPEN; over when it is known how it went."""
        fd, how = side.fd, side.call.how
        try:
            if how == "early":
                yield from self._early(side, there, port)
            else:
                yield "try", "connect", fd, there, port
                if how == "later":  # it returned before the SYN: that waits for data
                    yield from self._know(side)
                    taken = yield "try", "send", fd, side.next(_EARLY)
                    side.said += taken
        except BlockingIOError:
            pass
        yield from self._know(side)
        yield "connect", fd, there, port

    def _early(self, side: Side, there: int, port: int) -> Program:
        try:
            taken = yield "try", "sendto", side.fd, side.next(_EARLY), MSG_FASTOPEN, there, port
            side.said += taken
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            yield "try", "connect", side.fd, there, port

    def _know(self, side: Side) -> Program:
        _, port = yield "getsockname", side.fd
        self.ports[side.host, port] = side

    def _opened(self, side: Side, fd: int) -> None:
        side.fd, side.opened = fd, True
        side.parts += 2
        self._start(side.host, self._writer(side), self._now())
        self._start(side.host, self._reader(side), self._now())

    # --- talking ---

    def _writer(self, side: Side) -> Program:
        try:
            for step in self._steps(side, "write"):
                if step.op == "write":
                    yield from self._write(side, step)
                elif (yield from self._act(side, step)):
                    break
            else:
                if not side.shut:
                    side.shut = True
                    yield "shutdown", side.fd, "wr"
        except OSError as error:
            if not side.closed:
                side.fails("write", error.errno or 0)
        yield from self._part_over(side)

    def _write(self, side: Side, step: Step) -> Program:
        rest = step.n
        while rest:
            taken = yield "send", side.fd, side.next(min(step.m or rest, rest)), step.flags
            side.said += taken
            rest -= taken

    def _reader(self, side: Side) -> Program:
        portion = _PORTION
        try:
            for step in self._steps(side, "read"):
                if step.op == "portion":
                    portion = step.n
                elif step.op in ("some", "peek"):
                    if not (yield from self._read(side, step.n, MSG_PEEK if step.op == "peek" else 0)):
                        break
                elif (yield from self._act(side, step)):
                    break
            while not side.closed and (yield from self._read(side, portion, 0)):
                pass
        except OSError as error:
            if not side.closed:
                side.fails("read", error.errno or 0)
        yield from self._part_over(side)

    def _read(self, side: Side, most: int, flags: int) -> Generator[tuple[Any, ...], Any, bool]:
        data = yield "recv", side.fd, most, flags
        if data:
            side.hears(data, bool(flags))
            return True
        side.ends()
        return False

    def _act(self, side: Side, step: Step) -> Generator[tuple[Any, ...], Any, bool]:
        """A step that neither writes nor reads. True: it was the last."""
        if step.op == "wait":
            yield "pause", step.n
        elif step.op == "set":
            yield from _set(side.fd, step.name, step.value)
        elif step.op == "shut":
            side.shut = True
            yield "shutdown", side.fd, "wr"
        elif step.op == "deaf":
            side.deaf = True
            yield "shutdown", side.fd, "rd"
        elif not side.closed:
            yield from self._finish(side, step.op)
        return step.op in _ENDS

    def _part_over(self, side: Side) -> Program:
        """The last of a side's programs closes it."""
        if side.parts == 1 and not side.closed:
            yield from self._finish(side)
        side.parts -= 1

    def _finish(self, side: Side, how: str = "close") -> Program:
        side.closed = side.shut = True
        if how == "again":
            side.mute = True
            yield "disconnect", side.fd
            how = "close"
        side.mute = side.mute or how == "abort"
        if how == "abort":
            yield "abort", side.fd
        else:
            yield "close", side.fd


def _set(fd: int, name: str, value: Any) -> Program:
    """An option may be refused at this moment."""
    try:
        yield "setsockopt", fd, name, value
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM, errno.EISCONN):
            raise Violation("option refused", f"{name} {value}: {error}") from None


def _close_listener(fd: int) -> Program:
    yield "close", fd


def _ghost(fd: int) -> Program:
    yield "close", fd
