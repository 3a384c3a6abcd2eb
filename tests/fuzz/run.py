"""Look for inputs that a target does not stand: `python tests/fuzz/run.py TARGET --minutes N`.

With atheris (`pip install atheris`) the search follows the code's branches; without it inputs are changed at random.
What is found is written beside the corpus, cut to the least that fails in the same way, with the command to try it
again: `python tests/fuzz/run.py TARGET --input FILE`. Exit code 0: nothing was found, 1: something was.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

Target = Callable[[bytes], None]
LONGEST = 400
_CUTTING = 5.0
"""Seconds that an input is cut for."""


def main() -> int:
    """The command line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("target", choices=["segments", "script", "lab", "line"])
    words.add_argument("--minutes", type=float, default=1)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--input", type=Path, help="try one input, and show the traceback")
    words.add_argument("--plain", action="store_true", help="at random, even where atheris is installed")
    words.add_argument("--found", type=Path, default=Path("fuzz-found"), help="folder for what is found")
    given = words.parse_args()
    if given.input is not None:
        _load()[given.target](given.input.read_bytes())
        print("it stands this input")
        return 0
    guided = None if given.plain else _atheris()
    if guided is not None:
        return _guided(guided, given)
    return _at_random(given)


def _load() -> dict[str, Target]:
    from fuzz.targets import TARGETS

    return TARGETS


def _atheris() -> object:
    try:
        import atheris
    except ImportError:
        return None
    return atheris


def _guided(atheris: object, given: argparse.Namespace) -> int:
    """Coverage leads (libFuzzer). It ends at the first finding."""
    from fuzz import targets  # noqa: F401  # the standard library first, without instruments

    for name in [name for name in sys.modules if name.split(".")[0] in ("tcplab", "fuzz")]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["tcplab", "fuzz"]):  # type: ignore[attr-defined]
        found = _load()[given.target]

    def one(data: bytes) -> None:
        try:
            found(data)
        except Exception:
            _keep(found, data, given)
            raise

    with tempfile.TemporaryDirectory() as grown:
        arguments = [
            sys.argv[0], grown, str(HERE / "corpus" / given.target), f"-max_total_time={round(given.minutes * 60)}",
            f"-max_len={LONGEST}", f"-seed={given.seed}", "-print_final_stats=1", f"-artifact_prefix={grown}/",
        ]  # fmt: skip
        atheris.Setup(arguments, one)  # type: ignore[attr-defined]
        atheris.Fuzz()  # type: ignore[attr-defined]  # ends the process itself, with libFuzzer's exit code
    return 0


def _at_random(given: argparse.Namespace) -> int:
    target, dice = _load()[given.target], random.Random(given.seed)
    corpus = [path.read_bytes() for path in sorted((HERE / "corpus" / given.target).iterdir())]
    until, runs, kinds = time.monotonic() + given.minutes * 60, 0, set()
    while time.monotonic() < until:
        data = _changed(dice, corpus)
        runs += 1
        kind = _fails(target, data)
        if kind is not None and kind not in kinds:
            kinds.add(kind)
            _keep(target, data, given)
    print(f"{runs} inputs, {len(kinds)} ways to fail")
    return 1 if kinds else 0


def _changed(dice: random.Random, corpus: list[bytes]) -> bytes:
    """A new input: an old one with some octets changed, two joined, or none of that."""
    if not corpus or dice.random() < 0.2:
        return dice.randbytes(dice.randint(1, 150))
    data = bytearray(dice.choice(corpus))
    for _ in range(dice.randint(1, 8)):
        at = dice.randint(0, len(data))
        match dice.randint(0, 3):
            case 0:
                data[at : at + 1] = bytes((dice.getrandbits(8),))
            case 1:
                data[at:at] = dice.randbytes(dice.randint(1, 8))
            case 2:
                del data[at : at + dice.randint(1, 8)]
            case _:
                data[at:] = dice.choice(corpus)[at:]
    return bytes(data[:LONGEST])


def _fails(target: Target, data: bytes) -> str | None:
    """How it fails, in words that do not vary with the numbers; None: it does not."""
    try:
        target(data)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} {getattr(error, 'kind', '')} in {Path(last.filename).name}:{last.lineno}"
    return None


def _keep(target: Target, data: bytes, given: argparse.Namespace) -> None:
    """Cut an input to the least that fails in the same way, and write it down."""
    kind, dice = _fails(target, data), random.Random(0)
    until = time.monotonic() + _CUTTING
    while time.monotonic() < until:
        least = bytearray(data)
        at = dice.randrange(len(data)) if data else 0
        if dice.random() < 0.5:
            del least[at : at + dice.randint(1, 6)]
        else:
            least[at : at + 1] = b"\0"
        if bytes(least) != data and _fails(target, bytes(least)) == kind:
            data = bytes(least)
    given.found.mkdir(exist_ok=True)
    file = given.found / f"{given.target}-{abs(hash(kind)) % 10**8}"
    file.write_bytes(data)
    print(f"{kind}\n  {data.hex()}\n  again: python tests/fuzz/run.py {given.target} --input {file}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
