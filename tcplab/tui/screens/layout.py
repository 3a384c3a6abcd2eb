"""Which panes are shown where: three columns, or one at a time. In the middle the wire is never below 60 columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SMALL: Final = (60, 18)
"""Below this the time column and the tabs' words go."""
LEAST: Final = (40, 10)
"""Below this only a sentence is shown."""
PANES: Final = {
    "1": ("host-a",),
    "2": ("wire",),
    "3": ("host-b",),
    "4": ("tcb-a", "tcb-b"),
    "5": ("lab",),
    "6": ("log",),
}
"""The widgets of each pane, by its number."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is shown. `side`: width of the host columns; `lower`: height of the lower row; 0: that part is not there."""

    shown: frozenset[str]
    side: int
    lower: int
    bare: bool
    """Without borders, with tabs: a small terminal."""
    tcb: int
    """Height of the TCB panes in their columns."""
    possible: bool = True


def arrange(width: int, height: int, pane: str, zoomed: bool) -> Layout:
    """The layout for a terminal of this size while `pane` has the focus."""
    if width < LEAST[0] or height < LEAST[1]:
        return Layout(frozenset(), 0, 0, True, 0, False)
    large = width >= 112 and height >= 30
    if zoomed or not large:
        return Layout(frozenset(PANES[pane]), 0, 0, not large, 0)
    everything = {name for names in PANES.values() for name in names}
    if width >= 140 and height >= 40:
        side = min(44 if width < 180 else 48, (width - 62) // 2)
        return Layout(frozenset(everything), side, 13 if height < 56 else 18, False, 18)
    return Layout(frozenset(everything - set(PANES["4"])), min(38, (width - 62) // 2), 11, False, 0)
