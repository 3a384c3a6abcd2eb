"""A plan from a seed: everything that can be uncommon is so now and then, and most of it most of the time is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from tcplab.host.options import OPTIONS
from tcplab.lab.simulate import forgery, situation
from tcplab.lab.simulate.plan import (
    CALLER,
    OTHER,
    SIDES,
    Call,
    Forge,
    Item,
    Knob,
    Option,
    Path,
    Plan,
    Serve,
    Spoil,
    Step,
    Wrap,
)
from tcplab.rng import Rng, Stream
from tcplab.tcp.sysctl import KNOBS
from tcplab.units import MS, SEC, US, Nanos

T = TypeVar("T")
_WAYS: Final = ("a>b", "b>a")
_HOSTS: Final = ("a", "b")
_UNSUITABLE: Final = (
    "tcp_fastopen_key",
    "ip_local_port_range",
    "ip_default_ttl",
    "icmp_echo_ignore_all",
    "tcp_min_snd_mss",  # segments may be so large then that no path carries them
    *(name for name, knob in KNOBS.items() if knob.accepts.endswith("can only be read")),
)
_KNOBS: Final = tuple(name for name in KNOBS if name not in _UNSUITABLE)
_CALM_KNOBS: Final = tuple(name for name in _KNOBS if name not in situation.PATIENCE + situation.QUEUES)
_CONTROLS: Final = ("reno", "cubic", "bbr")
_MSG_EOR, _MSG_MORE, _MSG_ZEROCOPY = 0x80, 0x8000, 0x4000000
_MOST: Final = 40_000
"""Octets that one side writes, mostly far fewer."""


class Dice:
    """What a plan is drawn with."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def one(self, of: Sequence[T]) -> T:
        """One of several, each as likely."""
        return of[self.stream.below(len(of))]

    def chance(self, percent: int) -> bool:
        """True so often."""
        return self.stream.below(100) < percent

    def between(self, low: int, high: int) -> int:
        """Evenly, both included."""
        return low + self.stream.below(high - low + 1)

    def scale(self, low: int, high: int) -> int:
        """Each order of magnitude between `low` (1 or more) and `high` as likely as the other."""
        bits = self.between(low.bit_length(), high.bit_length())
        return min(max(self.between(1 << (bits - 1), (1 << bits) - 1), low), high)


def plan(seed: int) -> Plan:
    """The world of this seed."""
    return _Drawing(seed).plan()


class _Drawing:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = Dice(Rng(seed).stream("plan"))
        self.items: list[Item] = []
        self.wild = self.dice.chance(50)
        """A wild world may do anything; the others only what no connection may fail of."""
        self.early = 0

    def plan(self) -> Plan:
        """All of it."""
        dice = self.dice
        delay = dice.one((0, 50 * US, MS, 5 * MS, 5 * MS, 20 * MS, 100 * MS, 600 * MS))
        self._hosts()
        if dice.chance(25):
            self._early()
        self._wire(delay)
        servers = self._servers()
        for number in range(dice.one((1, 1, 1, 2, 2, 3, 5))):
            self._call(number, *dice.one(servers))
        if dice.chance(30):
            self._forgeries()
        return Plan(self.seed, delay, tuple(self.items))

    # --- the hosts ---

    def _hosts(self) -> None:
        dice = self.dice
        for host in _HOSTS:
            if dice.chance(30):
                self.items.append(Path(host, dice.one((576, 600, 1000, 1280, 1499, 1500, 1500))))
            if dice.chance(50):
                isn, ts = dice.scale(1, 1 << 17), dice.scale(1, 1 << 14)
                self.items.append(Wrap(host, isn if dice.chance(80) else -1, ts if dice.chance(60) else -1))
            for _ in range(dice.one((0, 0, 1, 2, 4))):
                self._knob(host)

    def _knob(self, host: str) -> None:
        dice = self.dice
        name = dice.one(_KNOBS if self.wild else _CALM_KNOBS)
        value = self._value(name)
        at = dice.scale(1, 20 * SEC) if self.wild and dice.chance(20) else 0
        self.items.append(Knob(host, name, value, at))

    def _value(self, name: str) -> int | tuple[int, ...] | str:
        knob, dice = KNOBS[name], self.dice
        if isinstance(knob.default, str):
            return dice.one(_CONTROLS)
        if isinstance(knob.default, tuple):
            least = 1 if self.wild else situation.LEAST_BUFFER
            return tuple(sorted(dice.scale(least, min(knob.high, 1 << 22)) for _ in knob.default))
        if name == "tcp_fastopen":
            return dice.one((0, 1, 2, 3, 3, 5, 0x203, 0x403, 0x607))
        if dice.chance(30):
            return dice.one((knob.low, knob.high))
        if knob.high - knob.low < 8:
            return dice.between(knob.low, knob.high)
        return dice.scale(max(knob.low, 1), knob.high)

    def _early(self) -> None:
        """Fast Open on both hosts: with cookies, or without."""
        self.early = self.dice.one((3, 3, 0x607))
        for host in _HOSTS:
            self.items.append(Knob(host, "tcp_fastopen", self.early))

    # --- the wire ---

    def _wire(self, delay: Nanos) -> None:
        dice = self.dice
        for number in range(dice.one((0, 1, 2, 3, 4, 6))):
            begin = dice.one((0, 0, dice.scale(MS, 10 * SEC)))
            kind = dice.one(("lose", "lose", "lose", "copy", "hold", "hold", "damage"))
            ppm = dice.scale(10_000, 250_000)
            end = begin + dice.scale(10 * MS, 30 * SEC)
            if kind == "lose" and dice.chance(30):  # a burst: everything, for a while
                ppm, end = 1_000_000, begin + dice.scale(MS, 60 * SEC if self.wild else 3 * SEC)
            elif kind in ("copy", "hold"):
                ppm *= 2
            by = dice.scale(1, dice.one((max(delay, MS), 100 * MS, 2 * SEC))) if kind in ("hold", "copy") else 0
            self.items.append(Spoil(number, kind, dice.one(_WAYS), begin, end, ppm, by))

    # --- the applications ---

    def _servers(self) -> list[tuple[str, int]]:
        dice = self.dice
        servers = [("b", 80)] if dice.chance(70) else [("b", 80), (dice.one(_HOSTS), 443)]
        for host, port in servers:
            backlog = dice.one((0, 1, 5)) if self.wild else 16
            slow = dice.scale(MS, 5 * SEC) if dice.chance(20) else 0
            ends = dice.scale(10 * MS, 20 * SEC) if self.wild and dice.chance(15) else 0
            self.items.append(Serve(host, port, backlog, slow, ends))
            if self.early or dice.chance(10):
                self.items.append(Option(port, "TCP_FASTOPEN", dice.one((1, 5))))
            if self.wild and dice.chance(20):
                self.items.append(Option(port, "TCP_DEFER_ACCEPT", dice.between(1, 20)))
            if dice.chance(30):
                self.items.append(Option(port, *self._option()))
        return servers

    def _option(self) -> tuple[str, int | tuple[int, ...] | str]:
        """An option that any application may set, and a value within its range."""
        dice = self.dice
        calm = ("TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK", "SO_RCVBUF", "SO_SNDBUF", "TCP_MAXSEG", "TCP_WINDOW_CLAMP",
                "TCP_NOTSENT_LOWAT", "SO_ZEROCOPY", "TCP_INQ", "SO_REUSEADDR", "SO_TIMESTAMPING", "TCP_CONGESTION",
                "IP_TOS", "IP_MTU_DISCOVER")  # fmt: skip
        wild = ("SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT", "TCP_LINGER2",
                "TCP_SYNCNT", "SO_LINGER", "TCP_FASTOPEN_NO_COOKIE")  # fmt: skip
        name = dice.one(calm + wild if self.wild else calm)
        option = OPTIONS[name]
        if name == "SO_LINGER":
            return name, (1, dice.between(0, 5))
        if name == "TCP_CONGESTION":
            return name, dice.one(_CONTROLS)
        if option.unit == "bool":
            return name, dice.between(0, 1)
        if name == "TCP_MAXSEG":
            return name, dice.scale(88, 32767)
        if name == "SO_TIMESTAMPING":
            return name, dice.between(0, 1023)
        if name == "TCP_LINGER2":
            return name, dice.between(-1, 120)
        if name == "IP_MTU_DISCOVER":
            return name, dice.between(0, 5)
        return name, dice.scale(max(option.low, 1), min(option.high, 1 << 17))

    def _call(self, number: int, server: str, port: int) -> None:
        dice = self.dice
        usual = ("early", "early", "later") if self.early else ("connect",) * 6 + ("early", "later")
        how = dice.one((*usual, "connect", "both", "own"))
        local = 2000 + number if dice.chance(30) or how == "both" else 0
        skew = dice.one((0, 0, dice.scale(1, 20 * MS))) if how == "both" else 0
        at = dice.one((0, 0, dice.scale(1, 5 * SEC)))
        host = server if how == "own" else OTHER[server]
        self.items.append(Call(number, host, port, how, at, local, skew))
        for side in SIDES:
            if (side == CALLER or how == "both") and dice.chance(40):
                self._set(number, side, "open")
            self._writes(number, side)
            self._reads(number, side)

    def _set(self, number: int, side: str, part: str) -> None:
        name, value = self._option()
        self.items.append(Step(number, side, part, "set", name=name, value=value))

    def _writes(self, number: int, side: str) -> None:
        dice = self.dice
        for _ in range(dice.one((0, 1, 1, 2, 3, 6))):
            what = dice.between(0, 9)
            if what < 6:
                size = dice.scale(1, _MOST)
                portion = dice.one((size, size, dice.scale(max(size // 60, 1), size)))
                flags = dice.one((0, 0, 0, 0, _MSG_MORE, _MSG_EOR, _MSG_ZEROCOPY))
                self.items.append(Step(number, side, "write", "write", size, portion, flags))
            elif what < 8:
                self.items.append(Step(number, side, "write", "wait", dice.scale(US, 10 * SEC)))
            else:
                self._set(number, side, "write")
        if self.wild and dice.chance(35):
            self.items.append(Step(number, side, "write", dice.one(("shut", "close", "close", "abort", "again"))))
        elif self.wild and dice.chance(10):
            self.items.append(Step(number, side, "write", "deaf"))

    def _reads(self, number: int, side: str) -> None:
        dice = self.dice
        for _ in range(dice.one((0, 0, 1, 2, 4))):
            what = dice.one(("wait", "wait", "portion", "some", "peek"))
            if what == "wait":
                self.items.append(Step(number, side, "read", "wait", dice.scale(MS, 30 * SEC)))
            else:
                self.items.append(Step(number, side, "read", what, dice.scale(1, 1 << 16)))
        if self.wild and dice.chance(15):
            self.items.append(Step(number, side, "read", dice.one(("close", "abort", "deaf"))))

    # --- a third party ---

    def _forgeries(self) -> None:
        dice = self.dice
        calls = [item.id for item in self.items if isinstance(item, Call)]
        kinds = tuple(forgery.KINDS) if self.wild else forgery.HARMLESS
        for number in range(dice.between(1, 8)):
            at = dice.one((dice.scale(MS, 100 * MS), dice.scale(MS, 20 * SEC)))
            kind, call = dice.one(kinds), dice.one(calls)
            self.items.append(Forge(number, at, dice.one(_HOSTS), call, kind, dice.scale(1, 1 << 20)))
