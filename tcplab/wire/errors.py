"""The one error of this room."""

from __future__ import annotations


class WireError(ValueError):
    """Octets that are not what they should be. `reason` is short, `counter` is Linux's (empty: it counts none)."""

    def __init__(self, text: str, reason: str, counter: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.counter = counter
