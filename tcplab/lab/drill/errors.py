"""What can go wrong with a script: it is wrong itself, or what happened was not what it says."""

from __future__ import annotations


class ScriptError(Exception):
    """The script cannot be understood: `file:line: what, and what was expected`."""

    def __init__(self, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")
        self.line = line
        self.text = text


class NotHere(ScriptError):
    """The script is right, but asks for what this machine or this stack cannot do."""


class Mismatch(Exception):
    """What happened differs from the script. `field`: what differs; `expected`, `saw`: the two values, in words."""

    def __init__(self, line: int, field: str, expected: str, saw: str, why: str = "") -> None:
        super().__init__(f"{field}: expected {expected}, saw {saw}")
        self.line = line
        self.field = field
        self.expected = expected
        self.saw = saw
        self.why = why
