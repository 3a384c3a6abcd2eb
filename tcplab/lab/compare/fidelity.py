"""Every difference to Linux that is meant, with its reason: one file, which the README's table is made from.

python -m tcplab.lab.compare.fidelity        prints the table
"""

from __future__ import annotations

import sys
import tomllib
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from tcplab.lab.compare.align import Comparison, Difference

BEGIN, END = "<!-- fidelity -->\n", "<!-- end of fidelity -->\n"
FILE: Final = Path(__file__).with_name("fidelity.toml")


class Sign(msgspec.Struct, forbid_unknown_fields=True):
    """How it shows in a comparison; `*` and `?` as in file names. What is left out may be anything."""

    kind: str
    name: str = "*"
    ours: str = "*"
    linux: str = "*"
    where: str = "*"

    def fits(self, found: Difference) -> bool:
        """Whether `found` is such a one."""
        return all(fnmatchcase(getattr(found, field), getattr(self, field)) for field in self.__struct_fields__)


class Meant(msgspec.Struct, forbid_unknown_fields=True):
    """A difference that is meant. Without a `sign` no comparison can show it: it is told for the reader."""

    id: str
    what: str
    ours: str
    linux: str
    reason: str
    sign: list[Sign] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    difference: list[Meant]


@cache
def table() -> tuple[Meant, ...]:
    """All of the file."""
    return tuple(msgspec.convert(tomllib.loads(FILE.read_text()), _File).difference)


def explain(comparison: Comparison) -> int:
    """Name the reason of each difference that is meant; how many are not."""
    unexplained = 0
    for found in comparison.differences():
        meant = next((one for one in table() if any(sign.fits(found) for sign in one.sign)), None)
        if meant is None:
            unexplained += 1
        else:
            found.id, found.reason = meant.id, meant.reason
    return unexplained


def markdown() -> str:
    """The table of the README."""
    lines = ["| what | tcplab | Linux | why |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.ours} | {one.linux} | {one.reason} |" for one in table()]
    return "\n".join(lines)


def written(text: str) -> str:
    """`text` with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{markdown()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(written(Path(sys.argv[1]).read_text()))
    else:
        print(markdown())
