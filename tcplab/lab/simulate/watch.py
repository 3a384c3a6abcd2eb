"""A simulated world on the screen: it plays as it did, and stands still where something is wrong.

Nobody changes it: of the command language only what looks and what moves the clock is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tcplab.api import plan as api_plan
from tcplab.api.events import Ended
from tcplab.api.messages import Reply
from tcplab.api.views import ExerciseView, LabView
from tcplab.engines.loop import Handle
from tcplab.engines.world import World
from tcplab.lab.errors import LabError
from tcplab.lab.exercise import Source
from tcplab.lab.language import Command
from tcplab.lab.runner import Runner
from tcplab.lab.simulate import situation
from tcplab.lab.simulate.many import load
from tcplab.lab.simulate.plan import Plan, text
from tcplab.lab.simulate.play import PATIENCE, Play, crashed, play
from tcplab.lab.simulate.streams import Violation
from tcplab.units import NEVER, clock, duration

_LOOKING: Final = ("play", "pause", "rate", "step", "next", "jump", "restart", "ss", "nstat", "help", "quit", "check")


class Watched(Play):
    """A world whose judges tell, and do not raise: somebody else's loop plays it."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = False
        super().__init__(plan, trace=True)
        self._end: Handle | None = self.world.loop.at(
            situation.last_event(plan) + PATIENCE, self._close, "the applications' time is over"
        )

    def judge(self, look: Callable[[], None]) -> None:
        """Look once more; what is wrong is told."""
        try:
            look()
        except Violation as found:
            self.failed(str(found))

    def failed(self, why: str) -> None:
        """Tell what is wrong, once."""
        if not self._told:
            self._told = True
            self._tell(why)

    def _look(self) -> None:
        self.judge(super()._look)
        if self._end is not None and not self.stage.busy:
            self._end.cancel()
            self._end = self.world.loop.at(self.world.loop.now, self._close, "all applications have ended")

    def _close(self) -> None:
        self._end = None
        self.judge(self.close_all)


class Replay(Runner):
    """The lab of such a world. `replay`: a seed, what a finding names, or a plan's file; LabError: none of them."""

    def __init__(self, replay: str) -> None:
        self._plan = load(replay)
        self._verdict = play(self._plan)
        name = f"seed {replay}" if not Path(replay).is_file() else Path(replay).name
        super().__init__(Source(name, api_plan.Plan(self._plan.seed, self._plan.delay), [], []))

    def _build(self, plan: api_plan.Plan) -> World:
        self._watched = Watched(self._plan, self._fail)
        return self._watched.world

    def _go(self) -> None:
        """There is no script: the plan's items happen by themselves."""

    @property
    def halted(self) -> bool:
        """Something is wrong, or all is over."""
        return self.ended

    def start_paced(self, num: int = 1, den: int = 1, headless: bool = False) -> None:
        """The clock stands still at first: a failure is soon missed."""
        super().start_paced(num, den, headless)
        self.world.loop.pause()

    def catch_up(self) -> None:
        """Run what is due by the wall clock."""
        self._guard(super().catch_up)

    def view(self) -> LabView:
        """The lab at this instant: the plan stands where the exercise does."""
        return msgspec.structs.replace(super().view(), exercise=self._about())

    def _about(self) -> ExerciseView:
        verdict = self._verdict
        goal = f"At {clock(verdict.at)} s: {verdict.text}" if verdict.kind else "Nothing goes wrong here."
        jump = f"`jump {duration(verdict.at).replace(' ', '')}`" if verdict.kind else "`jump 60s`"
        items = "\n".join(f"  {text(item)}" for item in self._plan.items)
        return ExerciseView(
            id=self.source.name, title=self.source.name, goal=goal, error=self.error, phase=self.phase,
            brief=f"space plays, J runs one event, :{jump} runs up to there. The world is made of\n{items}",
        )  # fmt: skip

    def _perform(self, command: Command, by: str) -> Reply:
        if command.keyword not in _LOOKING:
            raise LabError("", f"{command.keyword!r}: this world is played as it was; only looking is possible")
        if self.ended and command.keyword in ("play", "step", "next", "jump"):
            raise LabError("", f"{self.error or 'it is over'}; `restart` plays it again")
        found: list[Reply] = []
        self._guard(lambda: found.append(super(Replay, self)._perform(command, by)))
        return found[0] if found else Reply(self.error)

    def _guard(self, act: Callable[[], None]) -> None:
        """A bug in a stack may be anything; here it is what somebody wants to see."""
        try:
            self._watched.judge(act)
        except (LabError, OSError):
            raise
        except Exception as crash:
            self._watched.failed(crashed(crash)[1])
        if not self.ended and self.world.loop.next_event()[0] >= NEVER:
            self._watched.judge(self._watched.last_look)
            if not self.ended:
                self.phase = "done"
                self.world.loop.pause()
                self.world.emit(Ended(self.world.loop.now))

    def _fail(self, why: str) -> None:
        super()._fail(why)
        self.world.loop.pause()
