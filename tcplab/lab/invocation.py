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


def command() -> list[str]:
    """The words that start tcplab; its arguments come behind them."""
    return [sys.executable, "-P", "-m", "tcplab"]


def environment() -> dict[str, str]:
    """What must be in the environment for `command` to find the package: mostly nothing."""
    root = str(Path(__file__).resolve().parents[2])
    if root not in (sys.path[0], os.getcwd(), site.getusersitepackages()):
        return {}
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    return {"PYTHONPATH": os.pathsep.join([root, *others])}


def as_root(arguments: Sequence[str]) -> list[str]:
    """The command line that runs tcplab with these arguments through sudo."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ} | environment()
    return ["sudo", "--", "/usr/bin/env", *(f"{name}={value}" for name, value in kept.items()), *command(), *arguments]


def as_root_line(arguments: Sequence[str]) -> str:
    """The shortest such line for a person to type."""
    found = [f"{name}={value}" for name, value in environment().items()]
    return shlex.join(["sudo", *(["env", *found] if found else []), *command(), *arguments])
