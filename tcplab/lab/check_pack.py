"""Labs prove themselves: each passes as written, with any seed; each mutant fails exactly the checks that it names.

A check that cannot fail teaches nothing, so a mutant that fails nothing is an error like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from tcplab.lab import catalogue
from tcplab.lab.errors import LabError
from tcplab.lab.exercise import Mutant, Source, load, read
from tcplab.lab.runner import Runner

COMPARED = 5
"""So many seeds are run on veth too, where namespaces can be had, and the traces compared."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was proved of a lab, or not."""

    lab: str
    what: str
    ok: bool
    detail: str = ""
    unreadable: bool = False
    """The file itself is wrong, so nothing else could be looked at."""


class Outcome(msgspec.Struct, frozen=True):
    """What a headless run came to."""

    failed: tuple[str, ...]
    error: str
    trace: str
    """SHA-256 of all events as JSON lines."""


def outcome(source: Source, engine: str = "sim", seed: int | None = None) -> Outcome:
    """Run a lab to its end."""
    runner = Runner(source, engine, seed)
    try:
        runner.run_headless()
        failed = tuple(check.id for check in runner.verdicts() if check.status != "passed")
        return Outcome(failed, runner.error, trace_hash(runner))
    finally:
        runner.close()


def trace_hash(runner: Runner) -> str:
    """The same bytes, the same hash: every event of the run as JSON."""
    encode = msgspec.json.Encoder().encode
    digest = sha256()
    for event in runner.events:
        digest.update(encode(event) + b"\n")
    return digest.hexdigest()


def prove(labs: Iterable[str], seeds: int = 20, veth: bool = False) -> Iterator[Finding]:
    """Every finding on `labs` (names or files; none: all that come with tcplab), one after the other."""
    chosen = list(labs) or _every()
    seen: dict[str, str] = {}
    for lab in chosen:
        try:
            source = load(lab)
        except LabError as wrong:
            yield Finding(lab, "the file is right", False, str(wrong), True)
            continue
        exercise = source.exercise
        if exercise is None:
            yield Finding(lab, "it is an exercise", False, "a plain script has nothing to prove")
            continue
        yield Finding(exercise.id, "the file is right", True)
        other = seen.setdefault(exercise.id, source.file)
        yield Finding(exercise.id, "its id is its own", other == source.file, other if other != source.file else "")
        yield from _complete(source)
        yield from _runs(source, seeds, veth)
        yield from _mutants(source)


def _every() -> list[str]:
    """All files of the catalogue's folder, so that one that cannot be read is not passed over."""
    return [str(path) for path in sorted(catalogue.folder().glob("*/*/exercise.toml"))]


def _complete(source: Source) -> Iterator[Finding]:
    """What a learner needs besides the run."""
    exercise = source.exercise
    assert exercise is not None
    wanted = {
        "two hints": len(exercise.hint) == 2 and all(hint.text.strip() for hint in exercise.hint),
        "a question before the run": bool(exercise.predict),
        "checks": bool(exercise.check),
        "mutants": bool(exercise.mutant),
        "references": bool(exercise.refs) and all(exercise.refs),
        "a misconception and a reveal": exercise.misconception is not None and exercise.reveal is not None,
        "needs that exist": all(catalogue.find(need) is not None for need in exercise.needs),
        "a reason for every choice": all(
            option.because for predict in exercise.predict for option in predict.options.values()
        ),
    }
    missing = ", ".join(name for name, there in wanted.items() if not there)
    yield Finding(exercise.id, "it is complete", not missing, f"it lacks: {missing}" if missing else "")


def _runs(source: Source, seeds: int, veth: bool) -> Iterator[Finding]:
    name = source.name
    first = outcome(source)
    yield Finding(name, "it passes as written", _passed(first), _why(first))
    again = outcome(source)
    yield Finding(name, "the same seed gives the same trace", first.trace == again.trace)
    runs = {seed: outcome(source, seed=seed) for seed in range(1, seeds + 1)}
    bad = [f"seed {seed}: {_why(run)}" for seed, run in runs.items() if not _passed(run)]
    yield Finding(name, f"{seeds} seeds give the same verdict", not bad, "; ".join(bad[:3]))
    if veth:
        compared = range(1, COMPARED + 1)
        different = [seed for seed in compared if outcome(source, "veth", seed) != outcome(source, "sim", seed)]
        detail = f"seeds {different}" if different else ""
        yield Finding(name, f"veth and sim give the same trace, {COMPARED} seeds", not different, detail)


def _mutants(source: Source) -> Iterator[Finding]:
    """Each mutant fails exactly what it names."""
    exercise = source.exercise
    assert exercise is not None
    text = Path(source.file).read_text()
    for mutant in exercise.mutant:
        what = f"mutant {mutant.name!r} fails what it names"
        if not mutant.fails:
            yield Finding(exercise.id, what, False, "it names no check: a mutant proves that checks can fail")
            continue
        yield _mutant(exercise.id, what, text, source.file, mutant)


def _mutant(lab: str, what: str, text: str, file: str, mutant: Mutant) -> Finding:
    try:
        run = outcome(read(text, file, mutant))
    except LabError as wrong:
        return Finding(lab, what, False, str(wrong))
    if run.error:
        return Finding(lab, what, False, run.error)
    failed, named = set(run.failed), set(mutant.fails)
    if failed == named:
        return Finding(lab, what, True)
    parts = []
    if failed - named:
        parts.append(f"fails also {', '.join(sorted(failed - named))}")
    if named - failed:
        parts.append(f"does not fail {', '.join(sorted(named - failed))}")
    return Finding(lab, what, False, "; ".join(parts))


def _passed(run: Outcome) -> bool:
    return not run.failed and not run.error


def _why(run: Outcome) -> str:
    return run.error or (f"failed: {', '.join(run.failed)}" if run.failed else "")
