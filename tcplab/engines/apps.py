"""Scripted applications: generators that yield socket calls, and the runner that retries them.

A program is a generator. It yields `(op, *args)`, one socket call as api.stack.Host.call knows it, and gets its result,
or the OSError thrown in. It never sees EAGAIN: the runner waits until retrying makes sense, as a blocking socket does.
`("spawn", program)` starts another program beside it. The same program runs on every engine.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Protocol, TypeAlias

from tcplab.api.events import Called
from tcplab.api.stack import Emit, Host
from tcplab.tcp.fastopen import MSG_FASTOPEN
from tcplab.units import Nanos
from tcplab.wire import ipv4

Program: TypeAlias = Generator[tuple[Any, ...], Any, Any]

_WRITERS: Final = ("send", "sendto", "connect", "close")
_CHUNK: Final = 1 << 16  # octets per send or recv of the programs below
_SHOWN: Final = 24  # octets of data that a Called event quotes


class Task:
    """A program at work. `done` once it ended: then `error` or `result` (what it returned) holds.

    `fd` is the newest socket that it opened or accepted, -1 before.
    """

    __slots__ = ("app", "done", "error", "fd", "host", "pending", "program", "result", "woken")

    def __init__(self, host: str, app: str, program: Program) -> None:
        self.host = host
        self.app = app
        self.program = program
        self.pending: tuple[Any, ...] | None = None
        """The call that would have blocked."""
        self.woken = True
        self.fd = -1
        self.done = False
        self.result: Any = None
        self.error: OSError | None = None


class Clock(Protocol):
    """Whoever knows the time (`tcplab.engines.loop.Loop`)."""

    now: Nanos


class Apps:
    """Runs the programs of all hosts. `settle` is called after `start`, so that frames leave at once."""

    def __init__(
        self,
        hosts: Mapping[str, Host],
        clock: Clock,
        emit: Emit | None,
        settle: Callable[[], None],
    ) -> None:
        self._hosts = hosts
        self._clock = clock
        self._emit = emit
        self._settle = settle
        self.ready: deque[Task] = deque()
        """Who was woken: `run_ready` runs them."""

    def start(self, host: str, name: str, program: Program) -> Task:
        """Run `program` on `host`, up to its first call that blocks. `name` is what its calls are shown under."""
        task = Task(host, name, program)
        self.ready.append(task)
        self._settle()
        return task

    def run_ready(self) -> bool:
        """Run each task that was woken until it blocks again. False: there was none."""
        if not self.ready:
            return False
        while self.ready:
            self._run(self.ready.popleft())
        return True

    def _run(self, task: Task) -> None:
        """Feed the program the outcome of its calls until one blocks or the program ends."""
        program = task.program
        try:
            call = task.pending or next(program)
            while True:
                try:
                    result = self._call(task, call, retry=call is task.pending)
                except BlockingIOError:
                    self._block(task, call)
                    return
                except OSError as error:
                    call = program.throw(error)
                else:
                    call = program.send(result)
        except StopIteration as end:
            task.done, task.result = True, end.value
        except OSError as error:
            task.done, task.error = True, error

    def _call(self, task: Task, call: tuple[Any, ...], retry: bool) -> Any:
        """Make one call. BlockingIOError: not yet; it is tried again with `retry` set."""
        op = call[0]
        if op == "spawn":
            self.ready.append(Task(task.host, task.app, call[1]))
            return None
        if self._emit is not None:
            result = self._call_and_tell(task, call, retry)
        elif retry and op == "connect":
            self._finish_connect(task, call[1])
            result = None
        else:
            result = self._hosts[task.host].call(self._clock.now, *call)
        if op == "socket":
            task.fd = result
        elif op == "accept":
            task.fd = result[0]
        return result

    def _finish_connect(self, task: Task, fd: int) -> None:
        """connect(2): once writable, SO_ERROR tells how it went."""
        number = self._hosts[task.host].call(self._clock.now, "getsockopt", fd, "SO_ERROR")
        if number:
            raise OSError(number, errno.errorcode.get(number, "error"))

    def _call_and_tell(self, task: Task, call: tuple[Any, ...], retry: bool) -> Any:
        op, *args = call
        conn = self._conn(task, args)
        result: Any = None
        try:
            if retry and op == "connect":
                self._finish_connect(task, args[0])
            else:
                result = self._hosts[task.host].call(self._clock.now, *call)
        except BlockingIOError:
            raise
        except OSError as error:
            self._tell(task, op, args, "", error, conn or self._conn(task, args))
            raise
        conn = self._conn(task, [result[0]]) if op == "accept" else conn or self._conn(task, args)
        self._tell(task, op, args, result, None, conn)
        return result

    def _block(self, task: Task, call: tuple[Any, ...]) -> None:
        task.pending = call
        task.woken = False

        def wake() -> None:
            if not task.woken:
                task.woken = True
                self.ready.append(task)

        self._hosts[task.host].wait(call[1], call[0] in _WRITERS, wake)

    def _conn(self, task: Task, args: list[Any]) -> str:
        """The connection that the call is about, named before it may be closed."""
        if not args or not isinstance(args[0], int):
            return ""
        try:
            return str(self._hosts[task.host].call(self._clock.now, "conn", args[0]))
        except OSError:
            return ""

    def _tell(self, task: Task, op: str, args: list[Any], result: Any, error: OSError | None, conn: str) -> None:
        assert self._emit is not None
        octets = 0
        if error is None:
            octets = result if op in ("send", "sendto") else len(result) if op == "recv" else 0
        symbol = errno.errorcode.get(error.errno or 0, str(error.errno)) if error else ""
        shown = "" if error else _result_text(op, result)
        self._emit(Called(self._clock.now, task.host, task.app, op, _args_text(op, args), shown, symbol, conn, octets))


def _quote(data: bytes) -> str:
    if len(data) > _SHOWN or not data.isascii():
        return f"{len(data)} octets"
    return '"' + data.decode("ascii").encode("unicode_escape").decode("ascii") + '"'


def _args_text(op: str, args: list[Any]) -> str:
    """The arguments without the descriptor, as the command language writes them."""
    match op, args:
        case (("bind" | "connect"), [_, addr, port]):
            return f"{ipv4.text(addr)}:{port}"
        case "send", [_, data, *flags]:
            return " ".join([_quote(bytes(data)), *(f"flags {flag:#x}" for flag in flags)])
        case "recv", [_, most, flag]:
            return f"{most} flags {flag:#x}"
        case "sendto", [_, data, _, addr, port]:
            return f"{_quote(bytes(data))} MSG_FASTOPEN {ipv4.text(addr)}:{port}"
        case "socket", _:
            return ""
        case _:
            return " ".join(str(arg) for arg in args[1:])


def _result_text(op: str, result: Any) -> str:
    match op, result:
        case "recv", b"":
            return "end of file"
        case "recv", data:
            return _quote(data)
        case "accept", [fd, [addr, port]]:
            return f"{fd} from {ipv4.text(addr)}:{port}"
        case _, None:
            return ""
        case _, dict():
            return f"{len(result)} fields"
        case _:
            return str(result)


# --- programs ---------------------------------------------------------------------------------------------------


def single(op: str, *args: Any) -> Program:
    """One call; its result is the program's."""
    return (yield (op, *args))


def listen(port: int, backlog: int, setup: tuple[tuple[Any, ...], ...] = ()) -> Program:
    """A listening socket on every address of the host; returns its descriptor. `setup`: see `connect`."""
    fd = yield ("socket",)
    yield "setsockopt", fd, "SO_REUSEADDR", 1
    for op, *args in setup:
        yield op, fd, *args
    yield "bind", fd, 0, port
    yield "listen", fd, backlog
    return fd


def connect(addr: int, port: int, setup: tuple[tuple[Any, ...], ...] = (), early: bytes = b"") -> Program:
    """Connect to `addr`:`port`; returns the descriptor. `early`: data to send at once, by Fast Open if it can be.

    `setup`: calls on the new socket before that, without the descriptor: `(("bind", 0, 4000), ("setsockopt",
    "TCP_NODELAY", 1))`. If the connection fails the socket stays open, as in any program that does not close it.
    """
    fd = yield ("socket",)
    for op, *args in setup:
        yield op, fd, *args
    if early:
        taken = yield "sendto", fd, early, MSG_FASTOPEN, addr, port
        yield from send_all(fd, early[taken:])
    else:
        yield "connect", fd, addr, port
    return fd


def accept_one(listener: int) -> Program:
    """Wait for one connection; returns (descriptor, (addr, port))."""
    return (yield "accept", listener)


def send_all(fd: int, data: bytes, flags: int = 0) -> Program:
    """Send everything, the last of it with `flags`; returns how many octets that were."""
    rest = memoryview(data)
    while rest:
        last = (flags,) if flags and len(rest) <= _CHUNK else ()
        taken = yield "send", fd, bytes(rest[:_CHUNK]), *last
        rest = rest[taken:]
    return len(data)


def recv_some(fd: int, most: int, flags: int = 0) -> Program:
    """What is there, at most `most` octets; b"" at the end of the stream."""
    return (yield "recv", fd, most, *((flags,) if flags else ()))


def recv_until_eof(fd: int, most: int = 1 << 62) -> Program:
    """Everything up to the end of the stream, or the first `most` octets."""
    parts: list[bytes] = []
    total = 0
    while total < most and (data := (yield "recv", fd, min(_CHUNK, most - total))):
        parts.append(data)
        total += len(data)
    return b"".join(parts)


def echo_server(port: int, backlog: int = 16) -> Program:
    """Sends back whatever each client sends, until the client closes; many clients at once."""
    listener = yield from listen(port, backlog)
    while True:
        fd, _ = yield "accept", listener
        yield "spawn", _echo(fd)


def _echo(fd: int) -> Program:
    try:
        while data := (yield "recv", fd, _CHUNK):
            yield from send_all(fd, data)
    except OSError:  # the client is gone; the server goes on
        pass
    yield "close", fd
