"""What the types of an exercise file do not say: names that must exist, values that must make sense together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tcplab.api.counters import full_name
from tcplab.api.plan import HOSTS
from tcplab.api.states import State
from tcplab.lab.errors import LabError
from tcplab.lab.language import Command, flags
from tcplab.lab.toml_lines import line_of
from tcplab.tcp.profile import PROFILES
from tcplab.tcp.sysctl import KNOBS

if TYPE_CHECKING:
    from tcplab.lab import exercise as files

FORMAT: Final = 1
FACTS: Final = {
    "state": ("host", "conn"),
    "queue": ("host", "which"),
    "counter": ("host", "name"),
    "packets": (),
    "gaps": (),
    "order": (),
    "field": ("flags", "name"),
    "errno": ("host", "conn"),
    "window": ("host", "conn"),
    "cwnd": ("host", "conn"),
    "delivered": ("host", "conn"),
}
"""Each fact with the keys that it cannot do without."""
FIELDS: Final = ("seq", "ack", "rseq", "rack", "win", "len", "opts", "kinds")
_NUMBERS: Final = ("queue", "counter", "packets", "window", "cwnd", "delivered")
_WORDS: Final = ("state", "errno")
_LISTS: Final = ("gaps", "order")
_COMPARISONS: Final = ("eq", "in_", "min", "max")


def names(script: list[Command]) -> None:
    """Every name that a script uses was made by a connect or accept before it. LabError at the first that was not."""
    known: set[str] = set()
    for command in script:
        if command.keyword in ("connect", "accept"):
            known.add(command["name"])
            continue
        used = command.get("conn") or (command.get("name") if command.keyword != "mark" else None)
        socket = command.get("socket")
        if used is None and socket is not None and not socket.isdigit():
            used = socket
        if used is not None and used not in known:
            there = ", ".join(sorted(known)) or "none"
            raise LabError(command.where, f"no connection {used!r} so far; named before this line: {there}")


class Exercise:
    """Looks through one exercise file; `run` raises LabError at the first thing that is wrong."""

    def __init__(self, exercise: files.Exercise, script: list[Command], file: str, lines: dict[str, int]) -> None:
        self.exercise = exercise
        self.script = script
        self.file = file
        self.lines = lines

    def run(self) -> None:
        """Head, settings, script, checks, questions, mutants."""
        exercise = self.exercise
        if exercise.format != FORMAT:
            raise self._wrong("format", f"format {exercise.format} is not known; this is format {FORMAT}")
        if not re.fullmatch(r"[a-z0-9-]+", exercise.id):
            raise self._wrong("id", f"id {exercise.id!r}: expected lower case letters, digits and -")
        if exercise.level not in (1, 2, 3):
            raise self._wrong("level", f"level {exercise.level}: expected 1 first contact, 2 core or 3 deep")
        self._profiles()
        self._sysctls()
        names(self.script)
        self._unique("check", [check.id for check in exercise.check])
        self._unique("predict", [predict.id for predict in exercise.predict])
        for at, check in enumerate(exercise.check):
            self._check(f"check[{at}]", check)
            self._comparison(f"check[{at}]", check)
        for at, predict in enumerate(exercise.predict):
            self._predict(f"predict[{at}]", predict)
        self._stops()
        for at, mutant in enumerate(exercise.mutant):
            for name in mutant.fails:
                if name not in {check.id for check in exercise.check}:
                    raise self._wrong(f"mutant[{at}].fails", f"no check {name!r}")

    def _profiles(self) -> None:
        for host, name in self.exercise.lab.profile.items():
            if host not in HOSTS:
                raise self._wrong(f"lab.profile.{host}", f"no host {host!r}; the hosts are a and b")
            if name not in PROFILES:
                raise self._wrong(f"lab.profile.{host}", f"no profile {name!r}; there are {', '.join(PROFILES)}")

    def _sysctls(self) -> None:
        for host, settings in self.exercise.lab.sysctl.items():
            if host not in HOSTS:
                raise self._wrong(f"lab.sysctl.{host}", f"no host {host!r}; the hosts are a and b")
            for name, value in settings.items():
                knob = KNOBS.get(name)
                if knob is None:
                    raise self._wrong(f"lab.sysctl.{host}.{name}", f"no sysctl {name!r} here")
                try:
                    knob.take(value)
                except OSError as refused:
                    raise self._wrong(f"lab.sysctl.{host}.{name}", refused.strerror or "") from None

    def _unique(self, table: str, found: list[str]) -> None:
        for at, name in enumerate(found):
            if name in found[:at]:
                raise self._wrong(f"{table}[{at}].id", f"there are two of id {name!r}")

    def _check(self, path: str, check: files.Check) -> None:
        """Each key of a check names something that there is."""
        known = {command["name"] for command in self.script if command.keyword in ("connect", "accept")}
        marks = {command["name"] for command in self.script if command.keyword == "mark"}
        offers = {
            "fact": (check.fact in FACTS, f"there are {', '.join(FACTS)}"),
            "host": (check.host in ("", *HOSTS), "the hosts are a and b"),
            "dir": (check.dir in ("", "a>b", "b>a"), "expected a>b or b>a"),
            "which": (check.which in ("", "syn", "accept"), "there are syn and accept"),
            "state": (check.state in ("", *State), f"there are {', '.join(State)}"),
            "conn": (not check.conn or check.conn in known, f"the script names {', '.join(sorted(known)) or 'none'}"),
            "at": (not check.at or check.at in marks, f"the script marks {', '.join(sorted(marks)) or 'nothing'}"),
            "flags": (not check.flags or _is_flags(check.flags), "expected flags as traces write them: S, SA, PA, FA"),
        }
        for key, (good, expected) in offers.items():
            if not good:
                raise self._wrong(f"{path}.{key}", f"no {key} {getattr(check, key)!r}; {expected}")
        for key in FACTS[check.fact]:
            if not getattr(check, key):
                raise self._wrong(path, f"a {check.fact} check needs {key!r}")
        if check.measure and (check.measure != "time" or check.fact != "errno"):
            raise self._wrong(f"{path}.measure", "measure = 'time' goes with fact = 'errno': when it was told")
        if check.fact == "counter" and full_name(check.name) is None:
            raise self._wrong(f"{path}.name", f'no counter {check.name!r}; `tcplab do "nstat b"` shows names')
        if check.fact == "field" and check.name not in FIELDS:
            raise self._wrong(f"{path}.name", f"no field {check.name!r}; there are {', '.join(FIELDS)}")
        if check.fact == "gaps" and check.state and not check.conn:
            raise self._wrong(path, "a gaps check with a state needs 'conn'")

    def _comparison(self, path: str, check: files.Check) -> None:
        """What is compared with must be of the fact's own kind."""
        if all(getattr(check, key) is None for key in _COMPARISONS):
            raise self._wrong(path, "nothing to compare with: expected eq, in, min or max")
        number = check.fact in _NUMBERS or bool(check.measure)
        if (check.min is not None or check.max is not None) and not number and check.fact != "field":
            raise self._wrong(path, f"min and max do not go with a {check.fact} check")
        for key in ("eq", "in_"):
            wanted = getattr(check, key)
            if wanted is None:
                continue
            values = wanted if key == "in_" else [wanted]
            for one in values:
                if not _fits(check, one, number):
                    kind = "a number" if number else "a list" if check.fact in _LISTS else "a word"
                    raise self._wrong(
                        f"{path}.{key.rstrip('_')}", f"{one!r}: a {check.fact} check compares with {kind}"
                    )
                if check.fact == "state" and one not in tuple(State):
                    raise self._wrong(f"{path}.{key.rstrip('_')}", f"no state {one!r}; there are {', '.join(State)}")

    def _predict(self, path: str, predict: files.Predict) -> None:
        answer = predict.answer
        if not isinstance(answer, str | int | float):
            if answer.from_ not in {check.id for check in self.exercise.check}:
                raise self._wrong(f"{path}.answer", f"no check {answer.from_!r} to take the answer from")
        elif predict.options and answer not in predict.options:
            raise self._wrong(f"{path}.answer", f"{answer!r} is none of the options {', '.join(predict.options)}")

    def _stops(self) -> None:
        questions = {predict.id for predict in self.exercise.predict}
        for command in self.script:
            for name in command.get("names", []) if command.keyword == "stop" else []:
                if name not in questions:
                    raise LabError(command.where, f"no question {name!r} to stop for")

    def _wrong(self, path: str, what: str) -> LabError:
        return LabError(f"{self.file}:{line_of(self.lines, path)}", what)


def _is_flags(text: str) -> bool:
    try:
        return flags(text) == text
    except ValueError:
        return False


def _fits(check: files.Check, wanted: object, number: bool) -> bool:
    if number:
        return isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if check.fact in _LISTS:
        return isinstance(wanted, list) and all(isinstance(one, str) == (check.fact == "order") for one in wanted)
    return isinstance(wanted, str) if check.fact in _WORDS else isinstance(wanted, str | int | float)
