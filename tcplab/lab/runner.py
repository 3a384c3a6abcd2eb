"""Runs a lab: the script's lines at their lab times, the person's lines when they come, the checks, the view.

The same runner serves a headless run (`run_headless`) and a live one (`start_paced`, then `catch_up` by a server).
"""

from __future__ import annotations

import msgspec

from tcplab.api.events import AnyEvent, Ended, Marked, Ran, Stopped
from tcplab.api.messages import Reply
from tcplab.api.plan import Plan
from tcplab.api.views import CheckView, LabView
from tcplab.engines.errors import EngineError
from tcplab.engines.loop import Handle
from tcplab.engines.world import World
from tcplab.lab import checks, progress, views
from tcplab.lab.actions import Stage
from tcplab.lab.errors import LabError
from tcplab.lab.exercise import Source, load
from tcplab.lab.language import Command, parse
from tcplab.lab.verbs import VERBS
from tcplab.units import NEVER, Nanos, clock, duration

MANY = 20_000
"""With more events than this the checks are not evaluated anew for each view while the script runs."""

PACING = ("wait", "until", "at", "stop")
"""Lines that let a script wait."""


class Runner:
    """One lab, from its first run to the last. EngineError: this machine cannot."""

    def __init__(self, source: Source, engine: str = "sim", seed: int | None = None) -> None:
        self.engine = engine
        self.quit = False
        self._seed = seed
        self._headless = False
        self._open(source)

    def _open(self, source: Source) -> None:
        """Build the world of `source`, at the beginning of its script."""
        plan = source.plan if self._seed is None else msgspec.structs.replace(source.plan, seed=self._seed)
        self.world = self._build(plan)
        self.source = source
        self.stage = Stage(self.world)
        self.record = checks.Record(self.world.events, {}, self.stage.names)
        self.line = 0
        self.phase = "running"
        self.error = ""
        self.hints_shown = 0
        self.given: dict[str, str] = {}
        self.asking: tuple[str, ...] = ()
        self.asked: set[str] = set()
        self._until: tuple[Command, Handle] | None = None
        self._cached: tuple[CheckView, ...] = ()
        self.world.subscribe(self._listen)
        self.world.loop.at(0, self._go, "script: begin")

    def _build(self, plan: Plan) -> World:
        """The world of a plan."""
        return World(plan, self.engine)

    def close(self) -> None:
        """Give the world back."""
        self.world.close()

    # --- for whoever drives ---

    @property
    def events(self) -> list[AnyEvent]:
        """The trace of the present world."""
        return self.world.events

    @property
    def ended(self) -> bool:
        """The script is at its end, or failed."""
        return self.phase in ("done", "error")

    @property
    def halted(self) -> bool:
        """Time must not go on by itself: the script waits for an answer."""
        return bool(self.asking)

    @property
    def passed(self) -> bool | None:
        """All checks hold; None: there are none. A script that failed did not pass."""
        if self.error:
            return False
        verdicts = self.verdicts()
        return all(check.status == "passed" for check in verdicts) if verdicts else None

    def run_headless(self) -> None:
        """Play the whole script at virtual speed, through its stops."""
        self._headless = True
        self.world.loop.run_until(NEVER - 1, unless=lambda: self.ended)
        if not self.ended:
            self._fail("the script cannot go on: nothing is due any more")

    def start_paced(self, num: int = 1, den: int = 1, headless: bool = False) -> None:
        """Let lab time follow the wall clock at this rate; `catch_up` then moves it. Headless: through its stops."""
        self._headless = headless
        self.world.loop.set_rate(num, den)
        self.world.loop.play()

    def timeout(self) -> float | None:
        """Seconds of wall time until `catch_up` has something to do; None: not by itself."""
        return self.world.loop.timeout()

    def catch_up(self) -> None:
        """Run what is due by the wall clock."""
        self.world.loop.catch_up()

    def view(self) -> LabView:
        """The lab at this instant."""
        return views.of(self)

    def verdicts(self) -> tuple[CheckView, ...]:
        """Where each check stands."""
        exercise = self.source.exercise
        if exercise is None:
            return ()
        if not self._cached or self.ended or len(self.events) <= MANY:
            self._cached = tuple(checks.evaluate(check, self.record) for check in exercise.check)
        return self._cached

    # --- lines ---

    def do(self, line: str, by: str = "console") -> Reply:
        """Run one line. What is wrong with it is said in the reply, whose code then is not 0."""
        try:
            command = parse(line)
            if command is None:
                return Reply("")
            return self._perform(command, by)
        except LabError as wrong:
            return Reply(str(wrong), 2)
        except EngineError as wrong:
            return Reply(wrong.text, wrong.code)
        except OSError as refused:
            return Reply(f"{line.strip()}: {refused.strerror or refused}", 2)

    def _perform(self, command: Command, by: str) -> Reply:
        verb = VERBS.get(command.keyword)
        if verb is not None:
            return Reply(verb(self, command))
        if command.keyword in PACING:
            raise LabError("", f"{command.keyword!r} paces a script; at a running lab use play, jump or next")
        ran = Ran(self.world.loop.now, command.line, by)
        self.world.emit(ran)
        try:
            return Reply(self._mark(command) if command.keyword == "mark" else self.stage.act(command))
        except (LabError, OSError):
            if self.events[-1] is ran:  # it was refused before it did anything: it did not run
                self.events.pop()
            raise

    def load(self, lab: str) -> str:
        """Open another lab in this session."""
        self._reopen(load(lab))
        return f"loaded {self.source.name}"

    def restart(self) -> str:
        """Begin again: new hosts, the same seed; nothing of the old run is left."""
        self._reopen(self.source)
        return "the lab begins again"

    def _reopen(self, source: Source) -> None:
        """Give the old world back only when the new one is there."""
        old, notice, loop = self.world, self.world.notice, self.world.loop
        playing, rate = loop.playing, loop.rate
        self._open(source)
        old.close()
        self.world.notice = notice
        if rate is None:
            self.world.loop.set_rate_max()
        else:
            self.world.loop.set_rate(*rate)
        if playing or self.asking:
            self.world.loop.play()

    # --- the script ---

    def _go(self) -> None:
        """Run the script's lines up to the next that lets time pass."""
        script = self.source.script
        while self.line < len(script):
            command = script[self.line]
            self.line += 1
            try:
                if command.keyword in PACING:
                    if self._paces(command):
                        return
                    continue
                self.world.emit(Ran(self.world.loop.now, command.line, "script"))
                if command.keyword == "mark":
                    self._mark(command)
                else:
                    self.stage.act(command)
            except LabError as wrong:
                self._fail(str(wrong))
                return
            except OSError as refused:
                self._fail(f"{command.where}: {command.line}: {refused.strerror or refused}")
                return
        self._end()

    def _paces(self, command: Command) -> bool:
        """True when the line lets time pass: the script goes on later."""
        loop = self.world.loop
        if command.keyword == "wait":
            loop.at(loop.now + command["time"], self._go, f"script: {command.line}")
            return True
        if command.keyword == "at":
            if command["time"] < loop.now:
                raise LabError(command.where, f"it is {duration(loop.now)} already, past {duration(command['time'])}")
            loop.at(command["time"], self._go, f"script: {command.line}")
            return True
        if command.keyword == "until":
            return self._wait_for(command)
        return self._stop(command)

    def _wait_for(self, command: Command) -> bool:
        if self._holds(command):
            return False
        loop = self.world.loop
        late = loop.at(loop.now + command["time"], lambda: self._too_late(command), f"script: {command.line}")
        self._until = (command, late)
        return True

    def _holds(self, command: Command) -> bool:
        wanted: str = command["state"].value
        return self.stage.state(command["host"], command["name"]) == wanted

    def _too_late(self, command: Command) -> None:
        state = self.stage.state(command["host"], command["name"])
        self._fail(f"{command.where}: {command.line}: it is {state} instead")

    def _listen(self, event: AnyEvent) -> None:
        """What `until` waits for may have come: the script goes on at this very instant."""
        if self._until is not None and self._holds(self._until[0]):
            self._until[1].cancel()
            self._until = None
            self.world.loop.at(self.world.loop.now, self._go, "script: goes on")

    def _stop(self, command: Command) -> bool:
        """Ask the learner; a headless run passes through."""
        exercise = self.source.exercise
        asks = tuple(command.get("names", ()) or (predict.id for predict in (exercise.predict if exercise else ())))
        self.world.emit(Stopped(self.world.loop.now, asks))
        self.asked.update(asks)
        self.asking = tuple(name for name in asks if name not in self.given)
        if self._headless or not self.asking:
            self.asking = ()
            return False
        self.phase = "predict"
        self.world.loop.pause()
        return True

    def answered(self) -> None:
        """An answer came. When it was the last one the script goes on."""
        self.asking = tuple(name for name in self.asking if name not in self.given)
        if self.phase == "predict" and not self.asking:
            self.phase = "running"
            self.world.loop.at(self.world.loop.now, self._go, "script: goes on")
            self.world.loop.play()

    def _mark(self, command: Command) -> str:
        self._keep(command["name"])
        self.world.emit(Marked(self.world.loop.now, command["name"]))
        return f"marked {command['name']} at {clock(self.world.loop.now)} s"

    def _keep(self, name: str) -> None:
        """Remember this instant, for the checks."""
        now = self.world.loop.now
        hosts = {host: machine.view(now) for host, machine in self.world.hosts.items()}
        self.record.instants[name] = checks.Instant(now, len(self.events), hosts)

    def _end(self) -> None:
        self.phase = "done"
        self._keep(checks.END)
        self.world.emit(Ended(self.world.loop.now))
        exercise = self.source.exercise
        if exercise is None or self._headless or not self.passed:
            return
        if all(predict.id in self.given for predict in exercise.predict):
            progress.mark_passed(exercise.id)

    def _fail(self, why: str) -> None:
        self.phase = "error"
        self.error = why
        self._until = None
        self._keep(checks.END)
        self.world.emit(Ended(self.world.loop.now, why))

    def run_on(self, span: Nanos | None) -> None:
        """Run `span` of lab time at once, or one event; a stop of the script ends it early."""
        loop = self.world.loop
        if span is None:
            loop.step()
        else:
            loop.run_until(loop.now + span, unless=lambda: self.halted)
