"""One world, from its plan to its verdict."""

from __future__ import annotations

import traceback
from functools import partial
from pathlib import Path as FilePath
from typing import Final

import msgspec

from tcplab.api.events import AnyEvent
from tcplab.api.states import State
from tcplab.lab.simulate import forgery, situation
from tcplab.lab.simulate.plan import Call, Forge, Plan
from tcplab.lab.simulate.rough import RoughWorld
from tcplab.lab.simulate.rules import Keeper, nothing_left
from tcplab.lab.simulate.situation import Situation
from tcplab.lab.simulate.stage import Stage
from tcplab.lab.simulate.streams import Side, Violation
from tcplab.lab.simulate.tap import Tap
from tcplab.tcp.tcb import Tcb
from tcplab.units import NEVER, SEC, Nanos

PATIENCE: Final[Nanos] = 2000 * SEC
"""How long after the last disturbance a connection may take that nothing disturbs any more."""
_AFTERLIFE: Final[Nanos] = 400_000 * SEC
"""No timer of what is left runs longer: 255 repeats 120 s apart, tcp_fin_timeout at its greatest twice."""
_MOST_EVENTS: Final = 400_000
_MOST_AT_ONCE: Final = 20_000
_EVERY: Final = 64
_NOT_SYNCHRONIZED: Final = (State.SYN_SENT, State.SYN_RECV)


class Verdict(msgspec.Struct, frozen=True):
    """How a world went. `kind` is empty when nothing was wrong."""

    seed: int
    kind: str = ""
    text: str = ""
    at: Nanos = 0
    events: int = 0
    frames: int = 0
    octets: int = 0
    strict: int = 0
    """Calls of which nothing may go wrong."""
    digest: str = ""
    """Of every frame and its time, and of what the applications got."""


class Play:
    """A world and its judges."""

    def __init__(self, plan: Plan, trace: bool = False) -> None:
        self.plan = plan
        self.situation = Situation(plan)
        self.world = RoughWorld(plan, self._look, self._seen, trace)
        loop = self.world.loop
        self.stage = Stage(plan, self.world.machines, lambda: loop.now, loop.at)
        self.stage.ghosts_allowed = self.situation.ghosts
        self.tap = Tap(self.stage)
        self.keepers = [Keeper(host) for host in self.world.machines.values()]
        self.events = self._at_once = 0
        self._now: Nanos = -1
        for item in plan.items:
            if isinstance(item, Forge):
                loop.at(item.at, partial(self._forge, item), "the third party")
        for side in self.stage.sides:
            side.tainted = side.call.id in self.situation.hurt
            side.cookie = self.situation.cookies

    @property
    def trace(self) -> list[AnyEvent]:
        """All that happened."""
        return self.world.events

    def run(self) -> Verdict:
        """Play it to the end."""
        kind = text = ""
        try:
            self._run()
        except Violation as found:
            kind, text = found.kind, str(found)
        except Exception as crash:
            kind, text = crashed(crash)
        said = [(side.said, side.heard, side.eof, tuple(side.errors)) for side in self.stage.sides]
        self.world.digest.update(repr(said).encode())
        return Verdict(
            seed=self.plan.seed,
            kind=kind,
            text=text,
            at=self.world.loop.now,
            events=self.events,
            frames=self.world.frames,
            octets=sum(side.heard for side in self.stage.sides),
            strict=sum(isinstance(item, Call) and self.situation.strict(item) for item in self.plan.items),
            digest=self.world.digest.hexdigest()[:16],
        )

    def _run(self) -> None:
        loop = self.world.loop
        until = situation.last_event(self.plan) + PATIENCE
        while self.stage.busy and loop.next_event()[0] <= until:
            loop.step()
        self.close_all()
        self._run_out(loop.now + _AFTERLIFE)
        self.last_look()

    def last_look(self) -> None:
        """Nothing is due any more: nothing may be left, and everything was counted."""
        for name, host in self.world.machines.items():  # of a close() that waited only the descriptor is left
            for fd in list(host.sockets):
                self.world.call(name, "close", fd)
        for keeper in self.keepers:
            keeper.counters()
            nothing_left(keeper.host)
        if any(side.call.how == "own" for side in self.stage.sides):
            return
        for name, host in self.world.machines.items():
            self._counted(name, host.counters, self.tap.sent[name], self.tap.syn_acks[name])

    @staticmethod
    def _counted(name: str, counters: dict[str, int], sent: int, syn_acks: int) -> None:
        """Linux counts each segment: repeats for themselves, and those SYN,ACKs not at all that no connection sends."""
        lost = counters["IpFragFails"] + counters["IpFragOKs"]  # too large, or sent in parts
        most = counters["TcpOutSegs"] + counters["TcpRetransSegs"] + syn_acks
        least = counters["TcpOutSegs"] - lost
        if not least <= sent <= most:
            raise Violation("segments are not counted", f"{name}: {least} .. {most}, but {sent} were sent")

    def close_all(self) -> None:
        """What each side saw is judged, and every application ends."""
        for side in self.stage.sides:
            self._judge(side)
        self.stage.stop()
        for name, host in self.world.machines.items():
            for fd in list(host.sockets):
                try:
                    self.world.call(name, "abort", fd)
                except OSError:  # close() waits already
                    pass

    def _run_out(self, until: Nanos) -> None:
        loop = self.world.loop
        while loop.next_event()[0] <= until:
            loop.step()
        if loop.next_event()[0] < NEVER:
            raise Violation("it never ends", f"next: {loop.next_event()[1]}")

    def _judge(self, side: Side) -> None:
        """What the side saw must be explained by the plan; of one that may have talked to a ghost nothing is known."""
        if side.tainted:
            return
        for op, number in side.errors:
            if not self.situation.explains(side, number):
                raise Violation("an error without a cause", f"{side.name} {op}: {side.told()}")
        if not self.situation.strict(side.call):
            return
        assert side.peer is not None
        if not side.eof or not side.closed:
            raise Violation(
                "stuck", f"{side.name} said {side.said}, heard {side.heard} of {side.peer.said}, end {side.eof}"
            )

    def _forge(self, item: Forge) -> None:
        host = self.world.machines[item.host]
        call = next((one for one in self.plan.items if isinstance(one, Call) and one.id == item.call), None)
        if call is None:
            return
        victims = [
            flow
            for key, flow in host.flows.items()
            if isinstance(flow, Tcb) and flow.raddr != flow.laddr and self._is_of(call, item.host, flow)
        ]
        tcb = victims[0] if victims else None
        if tcb is not None and item.kind in forgery.HARMLESS and tcb.state in _NOT_SYNCHRONIZED:
            return
        self.world.forge(item, host, tcb, call.port)

    def _is_of(self, call: Call, host: str, tcb: Tcb) -> bool:
        ours = self.stage.ports.get((host, tcb.lport))
        theirs = self.stage.ports.get(("b" if host == "a" else "a", tcb.rport))
        return any(side is not None and side.call is call for side in (ours, theirs))

    # --- after each event ---

    def _seen(self, src: str, frame: bytes) -> None:
        self.tap.seen(src, frame)

    def _look(self) -> None:
        self.events += 1
        now = self.world.loop.now
        self._at_once = self._at_once + 1 if now == self._now else 0
        self._now = now
        if self._at_once > _MOST_AT_ONCE:
            raise Violation("time stands still", self.world.loop.next_event()[1])
        if self.events > _MOST_EVENTS:
            raise Violation("too many events", self.world.loop.next_event()[1])
        for keeper in self.keepers:
            keeper.look()
            if not self.events % _EVERY:
                keeper.counters()


def crashed(error: Exception) -> tuple[str, str]:
    """An exception that nobody meant: where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{FilePath(last.filename).name}:{last.name}"
    return f"{type(error).__name__} in {where}", f"{type(error).__name__} in {where}, line {last.lineno}: {error}"


def play(plan: Plan, trace: bool = False) -> Verdict:
    """Play a plan once."""
    return Play(plan, trace).run()
