"""The console: one line in which the lab's language is typed, with history and completion."""

from __future__ import annotations

import re
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

_MOST = 200


class Console(Input):
    """Hidden until `open`. Up and down go through the history, tab completes, esc closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "close", priority=True),
        Binding("up", "recall(-1)", "earlier", priority=True),
        Binding("down", "recall(1)", "later", priority=True),
        Binding("tab", "complete", "complete", priority=True),
    ]

    class Closed(Message):
        """The console gave the keys back."""

    class Opened(Message):
        """The console takes the keys."""

    class HelpWanted(Message):
        """What could stand here, for the status line."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(id="console", compact=True, select_on_focus=False, placeholder="a line of the lab's language")
        self.words: list[str] = []
        """The first words of each form of the language, from the lab's own help."""
        self._history: list[str] = []
        self._at = 0

    def learn(self, text: str) -> None:
        """Take the forms of the language from the text of `help`: the line up to its explanation."""
        forms = [re.split(r"\s{2,}", line.strip())[0] for line in text.splitlines() if ", " not in line.split("  ")[0]]
        both = [form.replace("HOST", host, 1) for form in forms for host in ("a", "b") if form.startswith("HOST ")]
        self.words = sorted({form for form in [*forms, *both] if form and form[0].islower()})

    def open(self, text: str) -> None:
        """Show the line, with `text` in it."""
        self.value = text
        self.cursor_position = len(text)
        self._at = len(self._history)
        self.display = True
        self.screen.set_focus(self)  # at once: the next key may be waiting already
        self.post_message(self.Opened())

    def close(self) -> None:
        """Hide it and give the keys back."""
        self.display = False
        self.post_message(self.Closed())

    def remember(self, line: str) -> None:
        """Append to the history."""
        if line and self._history[-1:] != [line]:
            self._history = [*self._history, line][-_MOST:]

    def action_leave(self) -> None:
        """Nothing is run."""
        self.close()

    def action_recall(self, by: int) -> None:
        """An earlier or later line."""
        self._at = max(0, min(self._at + by, len(self._history)))
        self.value = self._history[self._at] if self._at < len(self._history) else ""
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete the word, or say what could follow."""
        value = self.value
        fitting = [form for form in self.words if form.startswith(value)]
        if not fitting:
            first = value.split()[:1]
            fitting = [form for form in self.words if form.split()[:1] == first]
            self.post_message(self.HelpWanted("   ".join(fitting[:6]) or "no such command; help lists them"))
            return
        common = fitting[0]
        for form in fitting[1:]:
            while not form.startswith(common):
                common = common[:-1]
        if len(fitting) == 1:
            common = re.split(r"[A-Z\[<(|]", common)[0]
        if len(common) > len(value):
            self.value = common
            self.cursor_position = len(common)
        self.post_message(self.HelpWanted("   ".join(fitting[:8])))
