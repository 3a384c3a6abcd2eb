"""Which labs a person has passed: one small file, `$XDG_STATE_HOME/tcplab/progress.toml`, to read and to edit."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import tomllib
from pathlib import Path

from tcplab.lab import privileges

_HEAD = "# Labs that you have passed, and when. You may edit this file.\n"


def path() -> Path:
    """Where the file is (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "tcplab" / "progress.toml"


def passed() -> dict[str, str]:
    """Lab -> day. What cannot be read counts as nothing, and is kept aside when something is written."""
    try:
        table = tomllib.loads(path().read_text()).get("passed", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return {str(name): str(day) for name, day in table.items()} if isinstance(table, dict) else {}


def mark_passed(lab: str) -> None:
    """Note that `lab` was passed today; the first time counts. Where nothing can be written nothing is."""
    done = passed()
    if lab in done:
        return
    done[lab] = datetime.date.today().isoformat()
    with contextlib.suppress(OSError), privileges.acting_as(privileges.person()):
        _write(done)


def _write(done: dict[str, str]) -> None:
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not _readable(file):
        file.replace(file.with_suffix(".toml.damaged"))
    lines = [f'{_key(name)} = "{day}"' for name, day in sorted(done.items())]
    fresh = file.with_suffix(".toml.new")
    fresh.write_text(_HEAD + "\n[passed]\n" + "\n".join(lines) + "\n")
    fresh.replace(file)  # at once: a crash leaves the old file or the new one


def _readable(file: Path) -> bool:
    try:
        tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return True


def _key(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
