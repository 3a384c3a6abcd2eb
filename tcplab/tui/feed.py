"""The screen's end of a session: pull, fold, remember the view. One question at a time, never on the event loop."""

from __future__ import annotations

import asyncio

from tcplab.api.messages import Reply
from tcplab.api.views import LabView
from tcplab.lab.session import Session
from tcplab.tui.model import Model

MOST: int = 2000


class Feed:
    """What is known of the lab: `model` (folded events) and `view` (the newest snapshot; None before the first)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = asyncio.Lock()
        self._next = 0
        self._run = 0
        self.model = Model()
        self.view: LabView | None = None

    async def pull(self) -> bool:
        """Fetch what is new; True if the run is another one than before. SessionEnded if the lab is gone."""
        async with self._lock:
            update = await asyncio.to_thread(self._session.pull, self._next, MOST)
        fresh = self.view is not None and update.run != self._run
        if fresh:
            self.model = Model()
        self._run = update.run
        self._next = update.first + len(update.events)
        if update.events or update.gap:
            self.model.fold(update.events, update.gap)
        self.view = update.view
        return fresh

    async def do(self, line: str) -> Reply:
        """Run one line of the language. SessionEnded if the lab is gone."""
        async with self._lock:
            return await asyncio.to_thread(self._session.do, line, "console")
