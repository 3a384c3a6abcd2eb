"""What an engine raises when it cannot do what was asked."""

from __future__ import annotations

from typing import Final

CANNOT: Final = 3
"""Exit code: this machine cannot."""
PERMISSION: Final = 4
"""Exit code: not permitted."""


class EngineError(Exception):
    """`text` says what could not be done and why; `code` is the exit code that fits, CANNOT or PERMISSION."""

    def __init__(self, text: str, code: int = CANNOT) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
