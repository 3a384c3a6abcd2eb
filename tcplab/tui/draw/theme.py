"""Colours: one accent, and every other hue means something. Without colour, weight and reverse video say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line

BACKGROUND: Final = "#0b0e14"
RAISED: Final = "#171e2a"
EDGE: Final = "#364154"
TEXT: Final = "#d8dee9"
FAINT: Final = "#8791a5"
ACCENT: Final = "#c4a7ff"
A: Final = "#5db2f5"
B: Final = "#f0a236"

_COLOURS: Final[Mapping[str, str]] = {
    "": TEXT,
    "dim": FAINT,
    "value": "bold #f2f5fa",
    "a": A,
    "b": B,
    "a+": f"bold {A}",
    "b+": f"bold {B}",
    "x": "#ff6f61",
    "x+": "bold #ff6f61",
    "trouble": "bold #ff6f61",
    "rtx": "bold #f4e04d",
    "ok": "#35c48f",
    "ok+": "bold #35c48f",
    "accent": f"bold {ACCENT}",
    "edge": EDGE,
    "badge-run": "bold #06120d on #35c48f",
    "badge-hold": f"bold #120a20 on {ACCENT}",
    "badge-bad": "bold #200704 on #ff6f61",
    "ruler": ACCENT,
}
_MONO: Final[Mapping[str, str]] = {
    "dim": "dim",
    "value": "bold",
    "a+": "bold",
    "b+": "bold",
    "x+": "bold",
    "trouble": "bold",
    "rtx": "bold",
    "ok+": "bold",
    "accent": "bold underline",
    "edge": "dim",
    "badge-run": "reverse",
    "badge-hold": "reverse bold",
    "badge-bad": "reverse bold",
}


class Theme:
    """Turns lines into strips. `colour=False` uses attributes only; a cursor row is then in reverse video."""

    def __init__(self, colour: bool, glyphs: Glyphs) -> None:
        self.colour = colour
        self.glyphs = glyphs
        roles = _COLOURS if colour else _MONO
        self._styles = {role: Style.parse(text) if text else Style() for role, text in roles.items()}
        self._default = self._styles.get("", Style())
        self._cursor = Style.parse("on #2b3750") if colour else Style(reverse=True)
        self._backgrounds = {
            "": Style.parse(f"on {BACKGROUND}") if colour else Style(),
            "raised": Style.parse(f"on {RAISED}") if colour else Style(),
        }

    def strip(self, line: Line, cursor: bool = False, ground: str = "") -> Strip:
        """The line as Textual draws it; the terminal's width is the caller's business."""
        under = self._backgrounds[ground]
        segments = []
        for text, role in line:
            style = under + self._styles.get(role, self._default)
            segments.append(Segment(self.glyphs.text(text), style + self._cursor if cursor else style))
        return Strip(segments, sum(len(text) for text, _ in line))
