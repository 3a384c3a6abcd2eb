"""The snapshot of a lab: both hosts, the clock, the wire, the exercise and how far the learner is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from tcplab.api.views import Choice, ExerciseView, HostView, LabView, PredictView
from tcplab.engines.addresses import ADDRESS
from tcplab.lab.exercise import Predict
from tcplab.lab.verbs import answer_of, right_value
from tcplab.units import duration
from tcplab.wire import ipv4

if TYPE_CHECKING:
    from tcplab.lab.runner import Runner

_HOSTS = {ipv4.text(addr): host for host, addr in ADDRESS.items()}
_LABEL = re.compile(r"(\d+\.\d+\.\d+\.\d+)(:\d+)>\S+")


def of(runner: Runner) -> LabView:
    """The lab of `runner` at this instant."""
    world, loop = runner.world, runner.world.loop
    next_at, next_text = loop.next_event()
    return LabView(
        t=loop.now,
        engine=world.engine,
        seed=world.plan.seed,
        clock="paced",
        playing=loop.playing,
        rate=loop.rate or (0, 1),
        next_at=next_at,
        next_text=_LABEL.sub(_short, next_text),
        a=_host(runner, "a"),
        b=_host(runner, "b"),
        link=f"delay {duration(world.link.delay)}",
        faults=tuple(rule.text for rule in world.link.rules),
        frames=world.frames,
        exercise=_exercise(runner),
        notice=world.notice,
    )


def _short(found: re.Match[str]) -> str:
    """`10.77.0.1:40001>10.77.0.2:80` as `a:40001`."""
    return _HOSTS.get(found[1], found[1]) + found[2]


def _host(runner: Runner, host: str) -> HostView:
    """The host's own snapshot, with the script's names in it."""
    view = runner.stage.view(host)
    conns = tuple(
        msgspec.structs.replace(conn, alias=name) if (name := runner.stage.alias(host, conn.conn)) else conn
        for conn in view.conns
    )
    return msgspec.structs.replace(view, conns=conns)


def _exercise(runner: Runner) -> ExerciseView:
    source = runner.source
    exercise = source.exercise
    if exercise is None:
        return ExerciseView(
            title=source.name, script=tuple(source.lines), line=runner.line, phase=runner.phase, error=runner.error
        )
    debrief = runner.ended
    wrong, reveal = exercise.misconception, exercise.reveal
    return ExerciseView(
        id=exercise.id,
        title=exercise.title,
        track=exercise.track,
        level=exercise.level,
        minutes=exercise.minutes,
        goal=exercise.goal,
        brief=exercise.brief.strip(),
        refs=tuple(exercise.refs),
        script=tuple(source.lines),
        line=runner.line,
        phase=runner.phase,
        checks=runner.verdicts(),
        predicts=tuple(_predict(runner, predict, debrief) for predict in exercise.predict),
        hints=tuple(hint.text for hint in exercise.hint),
        hints_shown=runner.hints_shown,
        claim=wrong.claim if wrong is not None and debrief else "",
        truth=wrong.truth if wrong is not None and debrief else "",
        reveal=reveal.text if reveal is not None and debrief else "",
        error=runner.error,
    )


def _predict(runner: Runner, predict: Predict, debrief: bool) -> PredictView:
    given = runner.given.get(predict.id, "")
    choices = tuple(Choice(name, option.text) for name, option in predict.options.items())
    view = PredictView(predict.id, predict.ask, choices, given, predict.id in runner.asked)
    if not debrief:
        return view
    value = right_value(runner, predict)
    right = None if not given or value is None else _same(given, value)
    because = predict.because
    if given in predict.options:
        because = predict.options[given].because or because
    return msgspec.structs.replace(view, right=right, answer=answer_of(runner, predict), because=because)


def _same(given: str, value: object) -> bool:
    """A typed answer and the right one: numbers as numbers, words as words."""
    try:
        return abs(float(given.rstrip("s ")) - float(str(value))) < 0.05
    except ValueError:
        return given.strip().lower() == str(value).lower()
