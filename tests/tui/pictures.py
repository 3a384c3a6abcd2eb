"""What tests of screens share: keys that are pressed, and pictures in text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from textual.pilot import Pilot

SNAPSHOTS: Final = Path(__file__).parent / "snapshots"
UTF8: Final = {"LANG": "C.UTF-8", "TERM": "xterm-256color"}


async def settle(pilot: Pilot[Any]) -> None:
    """Let the screen draw."""
    for _ in range(3):
        await pilot.pause(0.02)


async def press(pilot: Pilot[Any], *pressed: str) -> None:
    """Press the keys, and let the screen draw."""
    for key in pressed:
        await pilot.press(key)
    await settle(pilot)


def matches(name: str, text: str) -> None:
    """Compare with the snapshot; TCPLAB_SNAPSHOTS=write makes it anew."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("TCPLAB_SNAPSHOTS") == "write":
        path.write_text(text)
    assert text == path.read_text()
