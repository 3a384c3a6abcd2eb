"""Exit codes, and the one place where failures become words: no traceback for what a person or a machine did."""

from __future__ import annotations

from typing import Final

import click

PASSED: Final = 0
FAILED: Final = 1
"""A check failed."""
USAGE: Final = 2
"""A wrong command line, or a wrong lab file."""
CANNOT: Final = 3
"""This machine cannot."""
PERMISSION: Final = 4
INTERRUPTED: Final = 130


class Refused(click.ClickException):
    """`text` says what cannot be done and what to do; the program ends with `code`."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def explain(error: Exception) -> tuple[str, int] | None:
    """(words, exit code) for a failure that is nobody's bug; None for the rest."""
    from tcplab.engines.errors import EngineError
    from tcplab.lab.errors import LabError
    from tcplab.lab.rendezvous import NoLab
    from tcplab.lab.session import SessionEnded

    if isinstance(error, EngineError | SessionEnded):
        return str(error), error.code
    if isinstance(error, LabError):
        return str(error), USAGE
    if isinstance(error, NoLab):
        return str(error), CANNOT
    if isinstance(error, OSError):
        return (f"{error.filename}: {error.strerror}", USAGE) if error.filename is not None else (str(error), CANNOT)
    return None
