"""The Lab pane: goal, brief, predictions, checks, hints, debrief; and what to do in free play."""

from __future__ import annotations

import re
from typing import Final

from tcplab.api.views import CheckView, ExerciseView, PredictView
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, wrap

_FREE: Final = (
    ("i", "trouble and traffic from a menu; each entry shows its command line"),
    (":", "the console: `b serve echo 80`, then `a connect b:80 as c1`"),
    ("enter", "on a segment: why it was sent, what became of it"),
    ("> J", "run to the next change of state; jump to the next event"),
)


def asked(exercise: ExerciseView) -> list[PredictView]:
    """The questions that are put and not answered yet."""
    return [question for question in exercise.predicts if question.asked and not question.given]


def pane(exercise: ExerciseView, room: int, glyphs: Glyphs, cursor: int) -> list[Line]:
    """What the learner has to know now. `cursor`: which choice of the open question is marked."""
    if not exercise.id:
        return _free(exercise, room)
    if exercise.error:
        return [[(text, "trouble")] for text in wrap(exercise.error, room)]
    open_questions = asked(exercise)
    if open_questions:
        question = _question(open_questions[0], len(open_questions), room, glyphs, cursor)
        about = [
            [(text, "dim")] for part in (exercise.goal, _flowing(exercise.brief)) if part for text in wrap(part, room)
        ]
        return [*question, [], *about]
    lines: list[Line] = [[(text, "value")] for text in wrap(exercise.goal, room)]
    if exercise.phase == "predict":
        return [*lines, [], [("Locked. ", "ok+"), ("enter or space: run on and look.", "accent")], *_given(exercise)]
    finished = exercise.phase == "done"
    if not finished:
        lines += [[(text, "dim")] for text in wrap(_flowing(exercise.brief), room)]
    lines.append([])
    if finished:
        lines += _debrief(exercise, room, glyphs)
    for check in exercise.checks:
        lines += _check(check, room, glyphs)
    lines += _hints(exercise, room)
    return lines


def _flowing(text: str) -> str:
    """Paragraphs as one line each: the file's own line ends mean nothing, its indented lines do."""
    return re.sub(r"(?<!\n)\n(?![\n ])", " ", text)


def _free(exercise: ExerciseView, room: int) -> list[Line]:
    """Free play, or a script without questions."""
    if exercise.phase == "error" and exercise.error:
        return [[(text, "trouble")] for text in wrap(exercise.error, room)]
    lines: list[Line] = [[("Free play: two hosts, one wire, nothing to prove.", "value")], []]
    for key, text in _FREE:
        first, *rest = wrap(text, max(10, room - 7))
        lines.append([(f" {key:<5} ", "accent"), (first, "")])
        lines += [[("       ", ""), (more, "")] for more in rest]
    return lines


def _question(question: PredictView, left: int, room: int, glyphs: Glyphs, cursor: int) -> list[Line]:
    count = f"  ({left} to answer)" if left > 1 else ""
    lines: list[Line] = [[("Predict", "accent"), (count, "dim")]]
    lines += [[(text, "value")] for text in wrap(question.ask, room)]
    for index, choice in enumerate(question.choices):
        here = index == cursor % len(question.choices)
        first, *rest = wrap(choice.text, max(10, room - 7))
        mark = glyphs.here if here else " "
        letter = chr(ord("a") + index)
        lines.append([(f" {mark} {letter}) ", "accent" if here else "dim"), (first, "value" if here else "")])
        lines += [[("      ", ""), (text, "value" if here else "")] for text in rest]
    if question.choices:
        hint = "arrows or a letter choose, enter locks; a wrong guess costs nothing"
    else:
        hint = "type your answer: it opens a line; enter locks"
    return [*lines, *[[(text, "dim")] for text in wrap(hint, room)]]


def _given(exercise: ExerciseView) -> list[Line]:
    return [[(" you said ", "dim"), (_said(one, one.given), "value")] for one in exercise.predicts if one.given]


def _said(question: PredictView, answer: str) -> str:
    for choice in question.choices:
        if choice.id == answer:
            return choice.text
    return answer


def _check(check: CheckView, room: int, glyphs: Glyphs) -> list[Line]:
    sign, role = {"passed": (glyphs.done, "ok+"), "failed": (glyphs.failed, "trouble")}.get(
        check.status, (glyphs.open, "dim")
    )
    first, *rest = wrap(check.text, max(10, room - 3)) or [check.id]
    lines: list[Line] = [[(f" {sign} ", role), (first, "dim" if check.status == "waiting" else "")]]
    lines += [[("   ", ""), (text, "dim" if check.status == "waiting" else "")] for text in rest]
    if check.status == "failed":
        story = f"expected {check.expected}, saw {check.saw}." + (f" {check.why}" if check.why else "")
        lines += [[("     ", ""), (text, "trouble")] for text in wrap(story, max(10, room - 5))]
    return lines


def _hints(exercise: ExerciseView, room: int) -> list[Line]:
    lines: list[Line] = []
    shown = exercise.hints[: exercise.hints_shown]
    for number, hint in enumerate(shown, 1):
        first, *rest = wrap(f"hint {number}: {hint}", room, "  ")
        lines += [[(first, "rtx")], *[[(text, "rtx")] for text in rest]]
    left = len(exercise.hints) - len(shown)
    if left and exercise.phase != "done":
        lines.append([("h", "accent"), (f" hint ({left} left)   ", "dim"), ("c", "accent"), (" check now", "dim")])
    return lines


def _debrief(exercise: ExerciseView, room: int, glyphs: Glyphs) -> list[Line]:
    lines: list[Line] = []
    for question in exercise.predicts:
        if not question.given:
            lines += [[(text, "rtx")] for text in wrap(f"not predicted: {question.ask}", room, "  ")]
            continue
        sign, role = (glyphs.done, "ok+") if question.right else (glyphs.failed, "trouble")
        said = f"you said {_said(question, question.given)}"
        if not question.right and question.answer:
            said += f"; it is {_said(question, question.answer)}"
        lines += [
            [(f" {sign} " if at == 0 else "   ", role), (text, "value")] for at, text in _numbered(said, room - 3)
        ]
        if question.because:
            lines += [[("   ", ""), (text, "dim")] for _, text in _numbered(question.because, room - 3)]
    if exercise.claim:
        lines.append([])
        lines += [[(text, "trouble")] for text in wrap(f"Often believed: {exercise.claim}", room, "  ")]
        lines += [[(text, "ok")] for text in wrap(f"In truth: {exercise.truth}", room, "  ")]
    if exercise.reveal:
        lines += [[(text, "accent")] for text in wrap(f"To try: {exercise.reveal}", room, "  ")]
    return [*lines, []] if lines else []


def _numbered(text: str, room: int) -> list[tuple[int, str]]:
    return list(enumerate(wrap(text, max(10, room))))


def title(exercise: ExerciseView) -> str:
    """`Lab 2/5 checks`, for the border and the tabs."""
    if not exercise.checks:
        return "Lab"
    passed = sum(check.status == "passed" for check in exercise.checks)
    return f"Lab {passed}/{len(exercise.checks)}"


def strip(exercise: ExerciseView) -> str:
    """What is to do next, in a few words, for the continuity strip."""
    if not exercise.id:
        return "free play"
    if asked(exercise):
        return "predict: press 5"
    if exercise.phase == "predict":
        return "space: run on"
    return f"{title(exercise)} checks" if exercise.phase != "done" else f"done, {title(exercise)} (5)"
