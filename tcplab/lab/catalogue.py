"""The labs that come with tcplab: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import msgspec


class ExerciseInfo(msgspec.Struct, frozen=True):
    """What a list of labs shows of one."""

    id: str
    title: str
    track: str
    level: int
    minutes: int
    goal: str
    path: Path
    needs: tuple[str, ...] = ()


def folder() -> Path:
    """Where the labs are."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_labs"
    return inside if inside.is_dir() else package.parent / "labs"


@cache
def all() -> tuple[ExerciseInfo, ...]:
    """Every lab, in the order of the folders. A file that cannot be read is left to `tcplab check` to complain of."""
    found = []
    for path in sorted(folder().glob("*/*/exercise.toml")):
        try:
            raw = tomllib.loads(path.read_text())
            info = msgspec.convert({**raw, "path": path}, ExerciseInfo, dec_hook=lambda _, value: value)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError):
            continue
        found.append(info)
    return tuple(found)


def find(id: str) -> Path | None:
    """The file of lab `id`; its folder's number may stand in front (`12-accept-full`). Also one that cannot be read.

    Folders are named for their labs, so that no file needs to be read for this but where one is not.
    """
    if not id.replace("-", "").isalnum():
        return None
    for path in sorted(folder().glob(f"*/*{id}/exercise.toml")):
        name = path.parent.name
        if id in (name, name.lstrip("0123456789").removeprefix("-")):
            return path
    return next((info.path for info in all() if info.id == id), None)
