"""Where a key of a TOML file stands: tomllib reads values, but forgets lines."""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*=")


def key_lines(text: str) -> dict[str, int]:
    """Path of each table and key (`lab.script`, `check[2].fact`) to its line, from 1."""
    lines: dict[str, int] = {"": 1}
    counts: dict[str, int] = {}
    table = ""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            if fence in line:
                fence = ""
            continue
        header = _HEADER.match(line)
        if header is not None:
            table = _table(header[1], header[2], counts)
            lines.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key is not None:
            path = ".".join(part.strip().strip("\"'") for part in key[1].split("."))
            lines.setdefault(f"{table}.{path}" if table else path, number)
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2:
                fence = quotes
    return lines


def _table(brackets: str, name: str, counts: dict[str, int]) -> str:
    """The path of a table; entries of arrays are numbered, `[predict.options]` belongs to the newest `[[predict]]`."""
    parts = [part.strip().strip("\"'") for part in name.split(".")]
    path = ""
    for at, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if brackets == "[[" and at == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path


def line_of(lines: dict[str, int], path: str) -> int:
    """The line of `path`, or of the nearest table around it."""
    while path not in lines:  # each turn makes it shorter
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines[path]
