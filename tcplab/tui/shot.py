"""Pictures of the screen: a session drawn without a terminal, exported as SVG; the README's picture is made by it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

from tcplab.lab.session import Session
from tcplab.tui.app import LabApp, Watch

SIZES: Final = {"160x48": (160, 48), "120x36": (120, 36), "80x24": (80, 24)}
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "TERM": "xterm-256color"}


def screenshot(session: Session, path: Path, size: tuple[int, int] = (160, 48), keys: tuple[str, ...] = ()) -> None:
    """Write what the screen shows of `session` now, after `keys` were pressed, to `path` as SVG.

    The session must stand still between two calls (a Local one does); then the picture is the same every time.
    """
    svg, _ = asyncio.run(_draw(session, size, keys))
    path.write_text(svg)


def text(session: Session, size: tuple[int, int], keys: tuple[str, ...] = ()) -> str:
    """The same as lines of text, without colours."""
    _, lines = asyncio.run(_draw(session, size, keys))
    return lines


async def _draw(session: Session, size: tuple[int, int], keys: tuple[str, ...]) -> tuple[str, str]:
    app = Watch(session, environment=_ENVIRONMENT)
    async with app.run_test(size=size) as pilot:
        for _ in range(3):
            await pilot.pause(0.05)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.05)
        await pilot.pause(0.1)
        return _plain(app.export_screenshot(title="tcplab")), lines_of(app)


def _plain(svg: str) -> str:
    """The picture with fonts of the reader's own machine: nothing is fetched from elsewhere to show it."""
    without = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    without = re.sub(r"<!--.*?-->", "", without, flags=re.DOTALL)
    return without.replace("Fira Code, monospace", "'Fira Code', 'DejaVu Sans Mono', Menlo, Consolas, monospace")


def lines_of(app: LabApp[Any]) -> str:
    """What stands on the screen of `app`, as text; blanks at the ends of lines are cut."""
    strips = app.screen._compositor.render_strips()  # the one place where Textual keeps the composed rows
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"
