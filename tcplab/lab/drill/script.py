"""A script as data: options, events with their times, packets, calls, code, commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

ANY_TIME: Final = "any"
ABSOLUTE: Final = "absolute"
RELATIVE: Final = "relative"


@dataclass(frozen=True, slots=True)
class When:
    """When an event happens, in microseconds: `start`, or anywhere in `start` .. `end`; from the start, or from now."""

    kind: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A name: a constant of Linux, or a word of the language."""

    name: str


@dataclass(frozen=True, slots=True)
class Struct:
    """`{name=value, ...}`."""

    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Either:
    """`A|B`: the bits of both."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `more`: the result may go on behind it (`"GET"...`)."""

    octets: bytes
    more: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """`{sa_family=AF_INET, sin_port=htons(PORT), sin_addr=inet_addr("ADDR")}`."""

    addr: str
    port: int


class Dots:
    """`...`: not said."""

    def __repr__(self) -> str:
        return "..."


DOTS: Final = Dots()
NULL: Final = Word("NULL")
Expr: TypeAlias = "int | Word | Struct | Either | Text | Address | Dots | list[Any]"


@dataclass(frozen=True, slots=True)
class Option:
    """A TCP option: its name in the script and its numbers, or hexadecimal digits."""

    name: str
    numbers: tuple[int, ...] = ()
    digits: str = ""


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment. `options` None: not checked. `nothing`: no segment may have left (our addition)."""

    inbound: bool
    flags: str = ""
    seq: int = 0
    length: int = 0
    ack: int | None = None
    win: int | None = None
    urg: int = 0
    options: tuple[Option, ...] | None = ()
    ports: tuple[int, int] | None = None
    ecn: str = ""
    tos: int | None = None
    ttl: int | None = None
    nothing: bool = False


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP error that quotes a segment of ours, `seq` and `length` of it."""

    inbound: bool
    type: str
    code: str = ""
    mtu: int | None = None
    seq: int = 0
    length: int = 0
    udp: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A system call. `until`: it blocks, and ends at this time (microseconds from its start). `errno`: its name."""

    name: str
    args: tuple[Any, ...]
    result: Any
    errno: str = ""
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """Assertions between `%{` and `}%`."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command in backticks."""

    text: str


Action: TypeAlias = Packet | Icmp | Call | Code | Command


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that is done or expected."""

    line: int
    when: When
    action: Action
    text: str


@dataclass(slots=True)
class Script:
    """A whole file."""

    file: str
    options: dict[str, str] = field(default_factory=dict)
    init: tuple[int, Command] | None = None
    events: list[Event] = field(default_factory=list)
    cleanup: tuple[int, Command] | None = None
    lines: list[str] = field(default_factory=list)
