"""How this very program is started again: as an engine process, or through sudo.

By the interpreter's absolute path, because a tool installed in a home directory is not on root's PATH; and with the
safe path (python -P), because a file that happens to lie in the current directory must not be imported, least of all
as root.
"""

from __future__ import annotations

import os
import shlex
import site
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

KEPT: Final = ("NO_COLOR", "COLORTERM", "TERM", "LANG", "LC_ALL", "LC_CTYPE")
"""What the terminal and its person want, to be kept through sudo."""

_ROOT: Final = str(Path(__file__).resolve().parents[2])
"""The directory that holds the package."""


def command() -> list[str]:
    """The words that start tcplab; its arguments come behind them."""
    return [sys.executable, "-P", "-m", "tcplab"]


def environment() -> dict[str, str]:
    """What must be added to this process's environment for `command` to find the package: mostly nothing.

    A checkout that is not installed is found only because it is the current directory, which -P leaves out.
    """
    return {} if _ROOT in sys.path[1:] else {"PYTHONPATH": _with_root()}


def as_root(arguments: Sequence[str]) -> list[str]:
    """The command line that runs tcplab with these arguments through sudo, with all that the screen wants."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return ["sudo", "--", "/usr/bin/env", *_settings(kept | _for_root()), *command(), *arguments]


def as_root_line(arguments: Sequence[str]) -> str:
    """The shortest such line, for a person to type."""
    found = _settings(_for_root())
    return shlex.join(["sudo", *(["env", *found] if found else []), *command(), *arguments])


def _for_root() -> dict[str, str]:
    """Where another user finds the package: sudo forgets PYTHONPATH, and root does not look into a person's home."""
    if "PYTHONPATH" in os.environ or _ROOT not in sys.path[1:] or site.getusersitepackages() == _ROOT:
        return {"PYTHONPATH": _with_root()}
    return {}


def _with_root() -> str:
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != _ROOT]
    return os.pathsep.join([_ROOT, *others])


def _settings(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]
