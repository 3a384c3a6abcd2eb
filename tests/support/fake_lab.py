"""A lab with a world of nothing: what sessions and servers need, and a note of what was asked."""

from __future__ import annotations

from tcplab.api.events import AnyEvent, Ran
from tcplab.api.messages import Reply
from tcplab.api.views import ExerciseView, HostView, LabView
from tcplab.engines.errors import EngineError
from tcplab.units import NEVER


class FakeWorld:
    """Nothing to watch; the namespaces are whatever descriptors the test puts there."""

    def __init__(self) -> None:
        self.fds: dict[str, tuple[int, ...]] = {}
        self.watched: list[int] = []

    def filenos(self) -> list[int]:
        return self.watched

    def namespace_fds(self, host: str) -> tuple[int, ...]:
        if not self.fds:
            raise EngineError("the sim engine has no namespaces")
        return self.fds[host]


class FakeLab:
    """Echoes each line, and traces it as an event. `restart`, `quit` and `crash` do what they say."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.events: list[AnyEvent] = []
        self.quit = False
        self.closed = False
        self.caught_up = 0

    def do(self, line: str, by: str = "console") -> Reply:
        if line == "restart":
            self.world, self.events = FakeWorld(), []
        elif line == "quit":
            self.quit = True
        elif line == "crash":
            raise AssertionError("a bug")
        self.events.append(Ran(len(self.events), line, by))
        return Reply(f"{by}: {line}")

    def view(self) -> LabView:
        hosts = {
            name: HostView(name=name, addr="", stack="tcplab", conns=(), listeners=(), counters={}, sysctl={})
            for name in ("a", "b")
        }
        return LabView(
            t=len(self.events),
            engine="sim",
            seed=1,
            clock="virtual",
            playing=False,
            rate=(1, 1),
            next_at=NEVER,
            next_text="",
            link="delay 5 ms",
            faults=(),
            frames=0,
            exercise=ExerciseView(),
            notice="a notice",
            **hosts,
        )

    def timeout(self) -> float | None:
        return None

    def catch_up(self) -> None:
        self.caught_up += 1

    def close(self) -> None:
        self.closed = True
