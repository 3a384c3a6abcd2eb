"""The few signs the screen draws with, in three sets: for a terminal that speaks UTF-8, the Linux console, ASCII."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CODE_PAGE: Final = "►◄─│┌┐└┘├┤┬┴█░√○≈·±²∞▼"
"""What code page 437 has of the signs in use."""
_PLAIN: Final = {
    "…": ".",
    "·": ".",
    "×": "x",
    "›": ">",
    "—": "-",
    "–": "-",
    "↑": "^",
    "↓": "v",
    "→": ">",
    "►": ">",
    "◄": "<",
    "─": "-",
    "│": "|",
    **dict.fromkeys("┌┐└┘├┤┬┴", "+"),
    "█": "#",
    "░": ".",
    "√": "v",
    "○": "o",
    "∞": "~",
    "▼": "v",
}
"""One plain sign for each of the others."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set. Every sign takes one cell, except `dots` and `more`."""

    name: str
    right: str = "►"
    left: str = "◄"
    line: str = "─"
    broken: str = "╌"
    lost: str = "×"
    bar: str = "│"
    full: str = "█"
    empty: str = "░"
    done: str = "√"
    failed: str = "×"
    open: str = "○"
    here: str = "►"
    dots: str = "···"
    more: str = "…"
    infinite: str = "∞"
    down: str = "▼"
    both: str = "⇄"
    to: str = "→"
    digits: str = "⁰¹²³⁴⁵⁶"

    def text(self, text: str) -> str:
        """Words and signs of `text` as this set can show them, cell by cell."""
        if self.name == "unicode" or text.isascii():
            return text
        return "".join(sign if sign.isascii() or sign in self._own else _PLAIN.get(sign, "?") for sign in text)

    @property
    def _own(self) -> str:
        return CODE_PAGE if self.name == "vga" else ""


UNICODE: Final = Glyphs("unicode")
VGA: Final = Glyphs("vga", broken="-", lost="x", failed="x", more="..", both="-", to=">", digits="0123456")
"""What code page 437 has, the font of the Linux console."""
ASCII: Final = Glyphs(
    "ascii",
    right=">",
    left="<",
    line="-",
    broken="~",
    lost="x",
    bar="|",
    full="#",
    empty=".",
    done="v",
    failed="x",
    open="o",
    here=">",
    dots="...",
    more="..",
    infinite="inf",
    down="v",
    both="-",
    to=">",
    digits="0123456",
)
_SETS: Final = {glyphs.name: glyphs for glyphs in (UNICODE, VGA, ASCII)}


def choose(environment: Mapping[str, str]) -> Glyphs:
    """The set that the terminal can show: TCPLAB_GLYPHS if set, else by locale (LC_ALL, LC_CTYPE, LANG) and TERM."""
    if (wanted := environment.get("TCPLAB_GLYPHS", "")) in _SETS:
        return _SETS[wanted]
    if environment.get("TERM", "") in ("linux", "vt220", "cons25"):
        return VGA if _speaks_utf8(environment) else ASCII
    return UNICODE if _speaks_utf8(environment) else ASCII


def _speaks_utf8(environment: Mapping[str, str]) -> bool:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environment.get(name, ""):
            return "utf" in value.lower()
    return True  # nothing said: a container's shell, and its terminal is a modern one
