"""The world of a plan: the sim engine on a wire that spoils frames, with hosts whose numbers are about to wrap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final

from tcplab.api import plan as api_plan
from tcplab.api.stack import Outgoing
from tcplab.engines.world import World
from tcplab.host.machine import Machine
from tcplab.lab.simulate import forgery
from tcplab.lab.simulate.plan import Forge, Knob, Path, Plan, Spoil, Wrap
from tcplab.link.inject import X_MAC
from tcplab.link.stages import Fate, Link, Verdict
from tcplab.rng import Rng
from tcplab.tcp.isn import IsnSource
from tcplab.tcp.tcb import Tcb
from tcplab.units import Nanos, duration
from tcplab.wire import icmp
from tcplab.wire.frames import ip_frame, tcp_frame
from tcplab.wire.text import Described

_TWO_32: Final = 1 << 32


class NearTheEnd(IsnSource):
    """Numbers that begin a little below 2^32."""

    __slots__ = ("_wrap",)

    def __init__(self, rng: Rng, wrap: Wrap) -> None:
        super().__init__(rng.stream(f"host-{wrap.host}/isn"))
        self._wrap = wrap

    def isn(self, now: Nanos, laddr: int, lport: int, raddr: int, rport: int) -> int:
        """The ISN, by the same clock."""
        number = super().isn(now, laddr, lport, raddr, rport)
        return number if self._wrap.isn < 0 else (_TWO_32 - self._wrap.isn + (now >> 6)) % _TWO_32

    def ts_offset(self, laddr: int, lport: int, raddr: int, rport: int) -> int:
        """What is added to the clock of timestamps."""
        offset = super().ts_offset(laddr, lport, raddr, rport)
        return offset if self._wrap.ts < 0 else _TWO_32 - self._wrap.ts


class SpoilingLink(Link):
    """Its disturbances each have their own chance, by their number: leaving one out does not change the others."""

    def __init__(self, rng: Rng, delay: Nanos, spoils: list[Spoil]) -> None:
        super().__init__(rng, delay)
        self._spoils = [(spoil, rng.stream(f"spoil/{spoil.id}")) for spoil in spoils]
        self.busy = bool(spoils)

    def frame(self, now: Nanos, direction: str, frame: bytes, segment: Described | None = None) -> list[Verdict]:
        """What happens to it: see `Link.frame`."""
        held, copies = 0, []
        for spoil, dice in self._spoils:
            if spoil.way != direction or not spoil.begin <= now < spoil.end or spoil.kind == "damage":
                continue
            if not dice.chance(spoil.ppm):
                continue
            if spoil.kind == "lose":
                return [Verdict(Fate.LOST, why="lost by chance")]
            by = dice.below(spoil.by + 1)
            if spoil.kind == "hold":
                held += by
            else:
                copies.append(by)
        at = now + self.delay + held if held else self.arrival(now, direction)
        verdicts = [Verdict(Fate.DELAYED, at, f"held for {duration(held)}")] if held else []
        verdicts.append(Verdict(Fate.ARRIVES, at))
        for by in copies:
            verdicts += (Verdict(Fate.COPIED, why=f"a copy, {duration(by)} later"), Verdict(Fate.ARRIVES, at + by))
        return verdicts

    def damage(self, now: Nanos, direction: str, frame: bytes) -> bytes:
        """The frame as it leaves the wire: one octet of it may be another."""
        for spoil, dice in self._spoils:
            active = spoil.kind == "damage" and spoil.way == direction and spoil.begin <= now < spoil.end
            if active and dice.chance(spoil.ppm):
                at, flip = dice.below(len(frame)), 1 + dice.below(255)
                frame = frame[:at] + bytes((frame[at] ^ flip,)) + frame[at + 1 :]
        return frame


class RoughWorld(World):
    """`look` is called when all that belongs to an event has happened; `seen` with each frame that a host sends."""

    def __init__(self, plan: Plan, look: Callable[[], None], seen: Callable[[str, bytes], None], trace: bool) -> None:
        super().__init__(api_plan.Plan(plan.seed, plan.delay), "sim", trace)
        self.machines = {name: host for name, host in self.hosts.items() if isinstance(host, Machine)}
        self._look = look
        self._seen = seen
        self.digest = sha256()
        self.link = self.spoiling = SpoilingLink(
            self.rng, plan.delay, [item for item in plan.items if isinstance(item, Spoil)]
        )
        for item in plan.items:
            if isinstance(item, Knob):
                self.loop.at(item.at, partial(self._turn, item), "a sysctl")
            elif isinstance(item, Path):
                self.machines[item.host].mtu = item.mtu
            elif isinstance(item, Wrap):
                self.machines[item.host].isn = NearTheEnd(self.rng, item)

    def _turn(self, knob: Knob) -> None:
        self.machines[knob.host].call(self.loop.now, "sysctl", knob.name, knob.value)

    def forge(self, item: Forge, host: Machine, tcb: Tcb | None, port: int) -> None:
        """What the third party sends now."""
        if item.kind == forgery.UNREACHABLE and tcb is not None:
            message = forgery.unreachable(tcb, item.n)
            frame = ip_frame(X_MAC, host.mac, tcb.raddr, host.addr, icmp.PROTO, message)
            self.inject(host.name, frame, "forged: a router's ICMP error")
            return
        if item.kind == forgery.FLOOD:
            dice = self.rng.stream(f"forge/{item.id}")
            made = forgery.flood(host, port, dice, item.n.bit_length())
        elif tcb is not None:
            made = [(tcb.raddr, forgery.segment(tcb, item.kind, item.n))]
        else:
            return
        for source, segment in made:
            self.inject(host.name, tcp_frame(X_MAC, host.mac, source, host.addr, 0, segment), f"forged: {item.kind}")

    # --- World's own steps, with more to see ---

    def _settle(self) -> None:
        super()._settle()
        self._look()

    def _enter(self, src: str, out: Outgoing) -> None:
        self.digest.update(b"%d%s" % (self.loop.now, src.encode()))
        self.digest.update(out.frame)
        if not out.why:
            raise AssertionError("a frame left without a reason")
        self._seen(src, out.frame)
        super()._enter(src, out)

    def _under_way(self, number: int, dst: str, frame: bytes, at: Nanos) -> None:
        way = "a>b" if dst == "b" else "b>a"
        super()._under_way(number, dst, self.spoiling.damage(self.loop.now, way, frame), at)
