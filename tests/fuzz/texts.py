"""Files that a person wrote, or did not: packet scripts, exercises, lines of the command language."""

from __future__ import annotations

from tcplab.lab import exercise, language
from tcplab.lab.drill import drill, parser
from tcplab.lab.drill.errors import Mismatch, ScriptError
from tcplab.lab.drill.ours import Ours
from tcplab.lab.drill.runner import Runner
from tcplab.lab.errors import LabError

LONGEST = 20_000


def script(data: bytes) -> None:
    """A packet script: it is refused at a line, or it runs."""
    text = data[:LONGEST].decode("utf-8", "replace")
    try:
        parsed = parser.parse(text, "fuzz.pkt", drill.DEFINES)
        Runner(parsed, Ours(parsed.options), exact=True).run()
    except (ScriptError, Mismatch):
        pass


def lab(data: bytes) -> None:
    """An exercise: it is refused at a line, or it is one."""
    try:
        exercise.read(data[:LONGEST].decode("utf-8", "replace"), "fuzz.toml")
    except LabError:
        pass


def line(data: bytes) -> None:
    """Lines of the command language."""
    text = data[:LONGEST].decode("utf-8", "replace")
    for one in text.splitlines():
        try:
            language.parse(one, "fuzz:1")
        except LabError:
            pass
    try:
        language.parse_script(text, "fuzz")
    except LabError:
        pass
