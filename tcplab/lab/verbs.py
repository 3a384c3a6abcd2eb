"""What a person tells a running lab beside the script's lines: the clock, the answers, the looking."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tcplab.lab import checks
from tcplab.lab.errors import LabError
from tcplab.lab.exercise import From, Predict, Value
from tcplab.lab.language import Command, help_text
from tcplab.lab.nstat import nstat
from tcplab.lab.ss import ss
from tcplab.units import SEC, clock

if TYPE_CHECKING:
    from tcplab.lab.runner import Runner

FURTHEST: Final = 4 * 3600 * SEC
"""`next` looks this far ahead for a change of a state."""


def _not_while_asking(runner: Runner) -> None:
    if runner.asking:
        raise LabError("", f"first answer: predict {runner.asking[0]} ...")


def _play(runner: Runner, command: Command) -> str:
    _not_while_asking(runner)
    runner.world.loop.play()
    return "lab time runs"


def _pause(runner: Runner, command: Command) -> str:
    runner.world.loop.pause()
    return f"lab time stands still at {clock(runner.world.loop.now)} s"


def _rate(runner: Runner, command: Command) -> str:
    speed = command["speed"]
    if speed is None:
        runner.world.loop.set_rate_max()
        return "as fast as it can"
    runner.world.loop.set_rate(*speed)
    num, den = speed
    return f"lab time runs at x{num}" + (f"/{den}" if den > 1 else "")


def _step(runner: Runner, command: Command) -> str:
    _not_while_asking(runner)
    runner.world.loop.pause()
    text = runner.world.loop.next_event()[1]
    if not runner.world.loop.step():
        return "nothing is due: connect, send or close something"
    return f"{clock(runner.world.loop.now)} s: {text}"


def _next(runner: Runner, command: Command) -> str:
    _not_while_asking(runner)
    loop, stage = runner.world.loop, runner.stage
    loop.pause()
    before = stage.changes

    def found() -> bool:
        return stage.changes != before or runner.halted

    limit = loop.now + FURTHEST
    while not found() and loop.next_event()[0] <= limit:
        loop.step()
    return f"{clock(loop.now)} s" if found() else "no state will change by itself"


def _jump(runner: Runner, command: Command) -> str:
    _not_while_asking(runner)
    runner.run_on(command.get("time"))
    return f"{clock(runner.world.loop.now)} s"


def _predict(runner: Runner, command: Command) -> str:
    name, answer = command["name"], " ".join(command["texts"])
    predict = _question(runner, name)
    if name in runner.given:
        raise LabError("", f"{name} was answered with {runner.given[name]!r}; an answer stays")
    if name not in runner.asked:
        raise LabError("", f"{name} is asked later in the script")
    if predict.options and answer not in predict.options:
        raise LabError("", f"{answer!r} is none of the choices; there are {', '.join(predict.options)}")
    runner.given[name] = answer
    runner.answered()
    return f"{name}: {answer}"


def _question(runner: Runner, name: str) -> Predict:
    questions = runner.source.exercise.predict if runner.source.exercise else []
    for predict in questions:
        if predict.id == name:
            return predict
    raise LabError("", f"no question {name!r}; there are {', '.join(one.id for one in questions) or 'none'}")


def _check(runner: Runner, command: Command) -> str:
    verdicts = runner.verdicts()
    if not verdicts:
        return "nothing to check here"
    lines = []
    for check in verdicts:
        if check.status == "failed":
            lines.append(f"failed   {checks.story(check)}")
        else:
            saw = f", saw {check.saw}" if check.saw else ""
            lines.append(f"{check.status:<8} {check.text}: expected {check.expected}{saw}")
    return "\n".join(lines)


def _hint(runner: Runner, command: Command) -> str:
    hints = runner.source.exercise.hint if runner.source.exercise else []
    if not hints:
        return "there are no hints here"
    runner.hints_shown = min(runner.hints_shown + 1, len(hints))
    return f"hint {runner.hints_shown} of {len(hints)}: {hints[runner.hints_shown - 1].text}"


def _solution(runner: Runner, command: Command) -> str:
    exercise = runner.source.exercise
    if exercise is None:
        return "there is nothing to solve here"
    lines = [f"{predict.ask}\n  {answer_of(runner, predict)}" for predict in exercise.predict]
    if exercise.misconception is not None:
        lines.append(f"It is not so: {exercise.misconception.claim}\n  {exercise.misconception.truth}")
    return "\n".join(lines)


def answer_of(runner: Runner, predict: Predict) -> str:
    """The right answer in words; what a run decides is known when the run has shown it."""
    answer = predict.answer
    if isinstance(answer, From):
        value = right_value(runner, predict)
        return checks.show(value) if value is not None else "the run will show it"
    if predict.options:
        option = predict.options[str(answer)]
        return f"{option.text}. {option.because}".rstrip(". ") + "."
    return f"{answer}. {predict.because}".strip()


def right_value(runner: Runner, predict: Predict) -> Value | None:
    """The value of the right answer; None while the run has not shown it."""
    answer = predict.answer
    if not isinstance(answer, From):
        return answer
    exercise = runner.source.exercise
    check = next(one for one in (exercise.check if exercise else []) if one.id == answer.from_)
    try:
        return checks.value(check, runner.record)
    except checks.Unknown:
        return None


def _ss(runner: Runner, command: Command) -> str:
    view, machine = runner.stage.view(command["host"]), runner.world.hosts[command["host"]]
    return ss(view, machine.infos(), runner.world.loop.now)


def _nstat(runner: Runner, command: Command) -> str:
    return nstat(runner.stage.view(command["host"]).counters, command["all"])


def _quit(runner: Runner, command: Command) -> str:
    runner.quit = True
    return "the lab ends"


VERBS: Final[dict[str, Callable[[Runner, Command], str]]] = {
    "play": _play,
    "pause": _pause,
    "rate": _rate,
    "step": _step,
    "next": _next,
    "jump": _jump,
    "predict": _predict,
    "check": _check,
    "hint": _hint,
    "solution": _solution,
    "restart": lambda runner, command: runner.restart(),
    "load": lambda runner, command: runner.load(command["lab"]),
    "ss": _ss,
    "nstat": _nstat,
    "help": lambda runner, command: help_text(command.get("word")),
    "quit": _quit,
}
