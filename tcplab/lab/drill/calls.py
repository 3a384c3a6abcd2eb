"""System calls: from the script's arguments to plain values, and from what came back to the script's words."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from tcplab.lab.drill import symbols
from tcplab.lab.drill.errors import Mismatch, NotHere, ScriptError
from tcplab.lab.drill.script import DOTS, Address, Call, Dots, Event, Struct, Text, Word
from tcplab.lab.drill.stack import Outcome

NEW_FD: Final = ("socket", "accept", "accept4", "epoll_create", "epoll_create1", "dup")
_TIMESTAMP: Final = (1, 37)
"""SOL_SOCKET, SCM_TIMESTAMPING: its value is seconds and nanoseconds since the script began."""


class Calls:
    """The calls of one script; `fds` maps its descriptors to the stack's."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.fds: dict[int, int] = {}
        self.line = 0
        self.tolerance = 0
        """Microseconds that a timestamp of a control message may be off."""

    # --- arguments ------------------------------------------------------------------------------------------

    def prepare(self, event: Event) -> tuple[str, dict[str, Any]]:
        """The call's name and its arguments by name. ScriptError: wrong ones, or a call that is not known."""
        call = event.action
        assert isinstance(call, Call)
        self.line = event.line
        shape = _SHAPES.get(call.name)
        if shape is None:
            raise NotHere(
                self.file, self.line, f"{call.name}: no such system call here; there are {', '.join(_SHAPES)}"
            )
        names = shape.split()
        needed = [name for name in names if not name.startswith("[")]
        if not len(needed) <= len(call.args) <= len(names):
            raise ScriptError(self.file, self.line, f"{call.name} takes {len(names)} arguments, not {len(call.args)}")
        args: dict[str, Any] = {}
        for name, value in zip(names, call.args, strict=False):
            name = name.strip("[]")
            if not name.startswith("_"):
                args[name] = _TAKE[name](self, value) if name in _TAKE else self._number(value)
        if "data" in args and "size" in args:
            args["data"] = (args["data"] + bytes(max(args["size"] - len(args["data"]), 0)))[: args["size"]]
        return call.name, args

    def _wrong(self, what: str, value: Any) -> ScriptError:
        return ScriptError(self.file, self.line, f"{value!r} stands here, where {what} was expected")

    def _number(self, value: Any) -> int:
        return symbols.number(value, self.file, self.line)

    def _optional(self, value: Any) -> int | None:
        return None if isinstance(value, Dots) else self._number(value)

    def _fd(self, value: Any) -> int:
        number = self._number(value)
        return self.fds.get(number, -1 if number < 0 else number + 10_000)

    def _address(self, value: Any) -> tuple[str, int] | None:
        if isinstance(value, Dots):
            return None
        if isinstance(value, Address):
            return value.addr, value.port
        family = value.fields.get("sa_family") if isinstance(value, Struct) else value
        if family == Word("AF_UNSPEC"):
            return "unspec", 0
        raise self._wrong("... or an address", value)

    def _data(self, value: Any) -> bytes:
        if isinstance(value, Dots):
            return b""
        if isinstance(value, Text):
            return value.octets
        raise self._wrong("... or a string", value)

    def _buffer(self, value: Any) -> Text | None:
        if isinstance(value, Dots):
            return None
        if isinstance(value, Text):
            return value
        raise self._wrong("... or a string", value)

    def _setting(self, value: Any) -> int | tuple[int, int] | bytes | None:
        """`[1]`, `{onoff=1, linger=0}`, a string, or `...`."""
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, Dots):
            return None
        if isinstance(value, Text):
            return value.octets
        if isinstance(value, Struct) and {"onoff", "linger"} <= value.fields.keys():
            return self._number(value.fields["onoff"]), self._number(value.fields["linger"])
        if isinstance(value, list):
            raise self._wrong("a value in brackets", value)
        return self._number(value)

    def _expected(self, value: Any) -> Any:
        return value

    def _polled(self, value: Any) -> list[tuple[int, int, int]]:
        """(descriptor, events, revents)."""
        if not isinstance(value, list):
            raise self._wrong("[{fd=, events=, revents=}, ...]", value)
        found = []
        for entry in value:
            if not isinstance(entry, Struct) or not {"fd", "events"} <= entry.fields.keys():
                raise self._wrong("{fd=, events=, revents=}", entry)
            fields = entry.fields
            found.append(
                (self._fd(fields["fd"]), self._number(fields["events"]), self._number(fields.get("revents", 0)))
            )
        return found

    def _epoll_event(self, value: Any) -> tuple[int, int]:
        """(events, descriptor)."""
        if isinstance(value, Dots):
            return 0, -1
        if not isinstance(value, Struct) or "events" not in value.fields:
            raise self._wrong("{events=, fd=}", value)
        data = value.fields.get("fd", value.fields.get("ptr", value.fields.get("u32", value.fields.get("u64", 0))))
        return self._number(value.fields["events"]), self._number(data)

    def _message(self, value: Any) -> dict[str, Any]:
        """A msghdr: the octets that it holds room for, and what must stand in it afterwards."""
        if not isinstance(value, Struct) or not isinstance(value.fields.get("msg_iov"), list):
            raise self._wrong("{msg_name(...)=..., msg_iov(1)=[{..., SIZE}], msg_flags=...}", value)
        size, data, parts = 0, b"", []
        for part in value.fields["msg_iov"]:
            if not isinstance(part, list) or len(part) != 2:
                raise self._wrong("{..., SIZE}", part)
            length = self._number(part[1])
            size += length
            parts.append(length)
            data += (self._data(part[0]) + bytes(length))[:length]
        flags = value.fields.get("msg_flags", DOTS)
        return {
            "size": size,
            "data": data,
            "parts": parts,
            "flags": None if isinstance(flags, Dots) else self._number(flags),
            "control": value.fields.get("msg_control"),
        }

    # --- results --------------------------------------------------------------------------------------------

    def judge(self, event: Event, args: dict[str, Any], outcome: Outcome) -> None:
        """Mismatch: another result, another errno, another value in an argument."""
        call = event.action
        assert isinstance(call, Call)
        self.line = event.line
        expected_errno = self._errno(call)
        if not isinstance(call.result, Dots):
            expected = self._number(call.result)
            self._result(event, expected, expected_errno, outcome)
            if call.name in NEW_FD and not outcome.errno and expected >= 0:
                self.fds[expected] = outcome.value
                return
        if not outcome.errno:
            self._arguments(event, args, outcome)
            if call.name == "close" and isinstance(call.args[0], int):
                self.fds.pop(call.args[0], None)

    def _errno(self, call: Call) -> int:
        if not call.errno:
            return 0
        number = getattr(errno, call.errno, None)
        if not isinstance(number, int):
            raise ScriptError(self.file, self.line, f"{call.errno} is no errno of Linux")
        return number

    def _result(self, event: Event, expected: int, expected_errno: int, outcome: Outcome) -> None:
        call = event.action
        assert isinstance(call, Call)
        saw = f"-1 {errno.errorcode.get(outcome.errno, outcome.errno)}" if outcome.errno else str(outcome.value)
        said = f"{expected} {call.errno}".strip()
        if outcome.errno:
            same = expected == -1 and (not expected_errno or expected_errno == outcome.errno)
        elif call.name in NEW_FD:
            same = expected >= 0 and not expected_errno
        else:
            same = expected == outcome.value and not expected_errno
        if not same:
            raise Mismatch(event.line, f"{call.name}()", said, saw)

    def _arguments(self, event: Event, args: dict[str, Any], outcome: Outcome) -> None:
        for name in args.keys() & _JUDGE.keys():
            _JUDGE[name](self, event, args[name], outcome)

    def _same(self, event: Event, field: str, expected: object, saw: object) -> None:
        if expected != saw:
            raise Mismatch(event.line, field, str(expected), str(saw))

    def _judge_value(self, event: Event, expected: Any, outcome: Outcome) -> None:
        if "value" not in outcome.out:
            return
        wanted = self._setting(expected)
        if wanted is not None:
            saw = outcome.out["value"]
            if isinstance(wanted, int) and isinstance(saw, int):
                wanted, saw = wanted & 0xFFFFFFFF, saw & 0xFFFFFFFF
            self._same(event, "the option's value", wanted, saw)

    def _judge_buffer(self, event: Event, expected: Text | None, outcome: Outcome) -> None:
        if expected is not None and "data" in outcome.out:
            saw = bytes(outcome.out["data"])
            wanted = expected.octets
            self._same(event, "the octets", wanted, saw[: len(wanted)] if expected.more else saw)

    def _judge_polled(self, event: Event, expected: list[tuple[int, int, int]], outcome: Outcome) -> None:
        for (_, _, wanted), saw in zip(expected, outcome.out.get("revents", ()), strict=False):
            self._same(event, "revents", wanted, saw)

    def _judge_epoll(self, event: Event, expected: tuple[int, int], outcome: Outcome) -> None:
        events = outcome.out.get("events")
        if events:
            self._same(event, "events", expected, events[0])

    def _judge_message(self, event: Event, expected: dict[str, Any], outcome: Outcome) -> None:
        if "flags" not in outcome.out:
            return
        if expected["flags"] is not None:
            self._same(event, "msg_flags", expected["flags"], outcome.out["flags"])
        if expected["control"] is not None:
            wanted = [self._control(entry) for entry in expected["control"]]
            saw = outcome.out.get("control", [])
            for one, other in zip(wanted, saw, strict=False):
                if one[:2] == other[:2] == _TIMESTAMP and abs(_micros(one[2]) - _micros(other[2])) > self.tolerance:
                    self._same(event, "the timestamp", one[2], other[2])
            others = [entry for entry in saw if entry[:2] != _TIMESTAMP]
            self._same(event, "msg_control", [entry for entry in wanted if entry[:2] != _TIMESTAMP], others)

    def _control(self, entry: Any) -> tuple[int, int, Any]:
        if not isinstance(entry, Struct) or "cmsg_data" not in entry.fields:
            raise self._wrong("{cmsg_level=, cmsg_type=, cmsg_data=}", entry)
        data = entry.fields["cmsg_data"]
        if isinstance(data, Struct):
            value: Any = tuple(self._number(part) for part in data.fields.values())
        else:
            value = self._number(data[0] if isinstance(data, list) and data else data)
        return self._number(entry.fields["cmsg_level"]), self._number(entry.fields["cmsg_type"]), value


def _micros(stamp: tuple[int, int]) -> int:
    return stamp[0] * 1_000_000 + stamp[1] // 1_000


_SHAPES: Final = {
    "socket": "_domain type _protocol",
    "bind": "fd address _size",
    "listen": "fd backlog",
    "accept": "fd _address _size",
    "accept4": "fd _address _size flags",
    "connect": "fd address _size",
    "read": "fd buffer size",
    "write": "fd data size",
    "recv": "fd buffer size flags",
    "send": "fd data size flags",
    "recvfrom": "fd buffer size flags _address _length",
    "sendto": "fd data size flags address _length",
    "recvmsg": "fd message flags",
    "sendmsg": "fd message flags",
    "shutdown": "fd how",
    "close": "fd",
    "setsockopt": "fd level option setting _size",
    "getsockopt": "fd level option value _size",
    "fcntl": "fd command [argument]",
    "ioctl": "fd request [value]",
    "poll": "polled _count timeout",
    "epoll_create": "_size",
    "epoll_create1": "flags",
    "epoll_ctl": "epoll_fd command fd epoll_event",
    "epoll_wait": "epoll_fd epoll_event _most timeout",
    "getsockname": "fd _address _size",
    "getpeername": "fd _address _size",
}
_TAKE: Final[dict[str, Callable[[Calls, Any], Any]]] = {
    "fd": Calls._fd,
    "epoll_fd": Calls._fd,
    "address": Calls._address,
    "data": Calls._data,
    "buffer": Calls._buffer,
    "setting": Calls._setting,
    "value": Calls._expected,
    "polled": Calls._polled,
    "epoll_event": Calls._epoll_event,
    "message": Calls._message,
    "argument": Calls._optional,
}
_JUDGE: Final[dict[str, Callable[[Calls, Event, Any, Outcome], None]]] = {
    "value": Calls._judge_value,
    "buffer": Calls._judge_buffer,
    "polled": Calls._judge_polled,
    "epoll_event": Calls._judge_epoll,
    "message": Calls._judge_message,
}
