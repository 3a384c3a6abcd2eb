"""What a simulated world is made of: a seed, and a list of items, each of which can be left out.

All that happens stands in the list, so that a world can be shrunk by leaving items out; what chance decides while it
runs is drawn from a stream that bears the item's own number, so the items that stay do the same as before.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tcplab.units import MS, Nanos

CALLER, CALLED = "caller", "called"
SIDES = (CALLER, CALLED)
OTHER = {"a": "b", "b": "a"}


class Knob(msgspec.Struct, frozen=True, tag=True):
    """A sysctl of one host, from `at` on."""

    host: str
    name: str
    value: int | tuple[int, ...] | str
    at: Nanos = 0


class Path(msgspec.Struct, frozen=True, tag=True):
    """The MTU of one host's interface."""

    host: str
    mtu: int


class Wrap(msgspec.Struct, frozen=True, tag=True):
    """So far below 2^32 one host's sequence numbers and timestamps begin; -1: anywhere."""

    host: str
    isn: int = -1
    ts: int = -1


class Spoil(msgspec.Struct, frozen=True, tag=True):
    """The wire loses, copies, holds or damages frames in one direction for a while."""

    id: int
    kind: str
    """`lose`, `copy`, `hold` (by up to `by`), `damage`."""
    way: str
    begin: Nanos
    end: Nanos
    ppm: int
    by: Nanos = 0


class Serve(msgspec.Struct, frozen=True, tag=True):
    """A listener; accept() comes `slow` after the one before. At `ends` it is closed; 0: it stays."""

    host: str
    port: int
    backlog: int
    slow: Nanos = 0
    ends: Nanos = 0


class Option(msgspec.Struct, frozen=True, tag=True):
    """A socket option of a listener, before listen()."""

    port: int
    name: str
    value: int | tuple[int, ...] | str


class Call(msgspec.Struct, frozen=True, tag=True):
    """A connection: `how` is `connect`, `early` (MSG_FASTOPEN), `later` (TCP_FASTOPEN_CONNECT), `both` sides at once,
    or `own` (to the host's own address)."""

    id: int
    host: str
    port: int
    how: str
    at: Nanos
    local: int = 0
    skew: Nanos = 0
    """`both`: so much later the other side calls."""

    @property
    def target(self) -> str:
        """The host that is called."""
        return self.host if self.how == "own" else OTHER[self.host]


class Step(msgspec.Struct, frozen=True, tag=True):
    """A step of an application: on one side of a connection, in what opens it, writes or reads.

    `set` (an option), `write` (`n` octets, `m` in each call, with `flags`), `wait`, `portion` (`n` octets a recv()),
    `peek`, and the ends: `shut`, `deaf` (SHUT_RD), `close`, `abort`, `again` (connect with AF_UNSPEC).
    """

    call: int
    side: str
    part: str
    op: str
    n: int = 0
    m: int = 0
    flags: int = 0
    name: str = ""
    value: int | tuple[int, ...] | str = 0


class Forge(msgspec.Struct, frozen=True, tag=True):
    """A third party sends a segment as if from a peer: `kind` is of `tcplab.lab.simulate.forgery`."""

    id: int
    at: Nanos
    host: str
    call: int
    kind: str
    n: int = 0


Item: TypeAlias = Knob | Path | Wrap | Spoil | Serve | Option | Call | Step | Forge


class Plan(msgspec.Struct, frozen=True):
    """A world before it runs; the same plan does the same, octet for octet, on every machine."""

    seed: int
    delay: Nanos = 5 * MS
    items: tuple[Item, ...] = ()

    def only(self, mask: int) -> Plan:
        """The items whose bits are set."""
        kept = tuple(item for at, item in enumerate(self.items) if mask >> at & 1)
        return Plan(self.seed, self.delay, kept)


def text(item: Item) -> str:
    """An item in one line, without what is at its default."""
    fields = msgspec.structs.fields(type(item))
    shown = (
        f"{field.name}={getattr(item, field.name)}" for field in fields if getattr(item, field.name) != field.default
    )
    return f"{type(item).__name__.lower():<6} {' '.join(shown)}"
