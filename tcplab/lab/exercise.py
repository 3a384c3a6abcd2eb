"""An exercise file: read strictly, so that a wrong key, type, command or name is told with its line.

The format is TOML. Nothing in it is code and nothing runs a shell: a file from a stranger can only say what the
command language says, inside the lab.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from tcplab.api.plan import Plan
from tcplab.lab import catalogue, validate
from tcplab.lab.errors import LabError
from tcplab.lab.language import Command, parse_script
from tcplab.lab.toml_lines import key_lines, line_of
from tcplab.units import MS, Nanos, parse_duration

__all__ = ["Check", "Exercise", "LabError", "Source", "load", "read"]

Value: TypeAlias = int | float | str | bool | list[int | float | str]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Option(_Strict):
    """One choice of a question, and what there is to say about it."""

    text: str
    because: str = ""


class From(_Strict):
    """The answer is what a check sees: for numbers that differ from run to run."""

    from_: str = msgspec.field(name="from")


class Predict(_Strict):
    """A question before the run goes on."""

    id: str
    ask: str
    answer: str | int | float | From
    options: dict[str, Option] = {}
    because: str = ""


class Check(_Strict):
    """A fact that must hold. `at`: a mark of the script; without it the end of the run."""

    id: str
    fact: str
    host: str = ""
    conn: str = ""
    which: str = ""
    name: str = ""
    op: str = ""
    state: str = ""
    dir: str = ""
    flags: str = ""
    data: bool = False
    nth: int = 1
    port: int = 0
    measure: str = ""
    at: str = ""
    eq: Value | None = None
    in_: list[Value] | None = msgspec.field(name="in", default=None)
    min: int | float | None = None
    max: int | float | None = None
    tol: int | float = 0
    text: str = ""
    why: str = ""


class Hint(_Strict):
    """A hint: it names a pane or a packet to look at."""

    text: str


class Misconception(_Strict):
    """What many believe, and what is true."""

    claim: str
    truth: str


class Reveal(_Strict):
    """What to try next."""

    text: str


class Mutant(_Strict):
    """A change that must make exactly the named checks fail: the proof that they can."""

    name: str
    fails: list[str]
    set: dict[str, Any] = {}
    script: dict[str, str] = {}


class Link(_Strict):
    """The wire."""

    delay: str = "5ms"


class Lab(_Strict):
    """All that the run depends on."""

    script: str
    seed: int = 1
    link: Link = msgspec.field(default_factory=Link)
    sysctl: dict[str, dict[str, int | str]] = {}
    profile: dict[str, str] = {}


class Exercise(_Strict):
    """A whole file."""

    format: int
    id: str
    title: str
    track: str
    level: int
    minutes: int
    goal: str
    lab: Lab
    brief: str = ""
    needs: list[str] = []
    refs: list[str] = []
    predict: list[Predict] = []
    check: list[Check] = []
    hint: list[Hint] = []
    misconception: Misconception | None = None
    reveal: Reveal | None = None
    mutant: list[Mutant] = []


class Source(msgspec.Struct):
    """What a runner runs: an exercise, a plain script (`exercise` is None), or free play (no commands either)."""

    name: str
    plan: Plan
    script: list[Command]
    lines: list[str]
    exercise: Exercise | None = None
    file: str = ""


LONGEST: Final = 1 << 20
"""Characters of a lab file."""

FREE_PLAY: Final = """\
b sysctl tcp_syncookies=0
b listen 80 backlog=4
b serve http 8080
wait 500ms
a connect b:80 as c1
b accept 80 as s1
until b c1 ESTABLISHED within 5s
wait 500ms
a send c1 "hello"
b recv s1 100
wait 500ms
"""
"""What `tcplab start` shows without a lab: one connection is there, and cookies are off, so that a flood shows."""


def load(lab: str | None) -> Source:
    """An exercise by its id, an exercise file, a script file, or (None) free play. LabError says what is wrong."""
    if lab is None:
        return _script("free play", FREE_PLAY, "free play")
    found = catalogue.find(lab)
    path = found if found is not None else Path(lab)
    if path.is_dir():
        path /= "exercise.toml"
    try:
        with path.open() as file:
            text = file.read(LONGEST + 1)
    except FileNotFoundError:
        known = ", ".join(info.id for info in catalogue.all())
        raise LabError("", f"no lab and no file {lab!r}; the labs are {known}") from None
    except (OSError, UnicodeDecodeError) as wrong:
        raise LabError(str(path), f"cannot be read: {wrong}") from None
    if len(text) > LONGEST:
        raise LabError(str(path), f"longer than {LONGEST} characters: not a lab")
    if path.suffix == ".toml":
        return read(text, str(path))
    return _script(path.name, text, str(path))


def _script(name: str, text: str, file: str) -> Source:
    commands = parse_script(text, file)
    validate.names(commands)
    return Source(name, Plan(), commands, [command.line for command in commands], None, file)


def read(text: str, file: str, changes: Mutant | None = None) -> Source:
    """Read an exercise; with `changes`, as a mutant."""
    lines = key_lines(text)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        found = re.search(r"line (\d+)", str(wrong))
        raise LabError(f"{file}:{found[1] if found else 1}", f"not TOML: {wrong}") from None
    if changes is not None:
        _mutate(raw, changes, file)
    try:
        exercise = msgspec.convert(raw, Exercise)
    except msgspec.ValidationError as wrong:
        what, path = _explain(str(wrong))
        raise LabError(f"{file}:{line_of(lines, path)}", what) from None
    script = parse_script(exercise.lab.script, file, _first_line(text, line_of(lines, "lab.script")))
    validate.Exercise(exercise, script, file, lines).run()
    plan = Plan(exercise.lab.seed, _delay(exercise, file, lines), exercise.lab.sysctl, exercise.lab.profile)
    return Source(exercise.id, plan, script, [command.line for command in script], exercise, file)


def _explain(message: str) -> tuple[str, str]:
    """msgspec's words and place (`Expected `int`, got `str` - at `$.lab.seed``) as ours."""
    what, _, place = message.partition(" - at `$")
    path = place.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `(.+?)`", what)
    if unknown is not None:
        path = f"{path}.{unknown[1]}" if path else unknown[1]
        what = f"unknown key {unknown[1]!r}"
    missing = re.search(r"missing required field `(.+?)`", what)
    if missing is not None:
        what = f"the key {missing[1]!r} is missing"
    return what.replace("`", "'") + (f" ({path})" if path and unknown is None else ""), path


def _first_line(text: str, line: int) -> int:
    """The file's line on which the script begins: the one behind `script = \"\"\"`, or that one itself."""
    opening = text.splitlines()[line - 1]
    return line + 1 if re.search(r"(\"\"\"|''')\s*$", opening) else line


def _delay(exercise: Exercise, file: str, lines: dict[str, int]) -> Nanos:
    try:
        return parse_duration(exercise.lab.link.delay) if exercise.lab.link.delay else 5 * MS
    except ValueError as wrong:
        raise LabError(f"{file}:{line_of(lines, 'lab.link')}", str(wrong)) from None


def _mutate(raw: dict[str, Any], changes: Mutant, file: str) -> None:
    """Apply a mutant to the file's own data."""
    for path, value in changes.set.items():
        *parents, last = path.split(".")
        table: Any = raw
        for part in parents:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise LabError(file, f"mutant {changes.name!r}: {path} is not a key of a table")
        table[last] = value
    script = [line.partition("#")[0].strip() for line in raw["lab"]["script"].splitlines()]
    for old in changes.script:
        if old not in script:
            raise LabError(file, f"mutant {changes.name!r}: the script has no line {old!r}")
    raw["lab"]["script"] = "\n".join(changes.script.get(line, line) for line in script)
