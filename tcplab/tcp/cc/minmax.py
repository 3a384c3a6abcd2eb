"""The greatest of recent samples in constant space (Linux lib/minmax.c, after Kathleen Nichols).

Three candidates are kept: the greatest of the window, the greatest that came after it, and the greatest after that.
When the first grows too old the others follow.
"""

from __future__ import annotations

from typing import TypeAlias

Sample: TypeAlias = tuple[int, int]
"""(when, how much)"""


class WindowedMax:
    """The greatest sample of the last `window` units of whatever the caller counts time in (struct minmax)."""

    __slots__ = ("first", "second", "third", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.first: Sample = (0, 0)
        self.second = self.third = self.first

    def get(self) -> int:
        """minmax_get."""
        return self.first[1]

    def reset(self, when: int, value: int) -> None:
        """minmax_reset."""
        self.first = self.second = self.third = (when, value)

    def update(self, when: int, value: int) -> None:
        """Take a sample (minmax_running_max)."""
        if value >= self.first[1] or when - self.third[0] > self.window:
            self.reset(when, value)
            return
        if value >= self.second[1]:
            self.second = self.third = (when, value)
        elif value >= self.third[1]:
            self.third = (when, value)
        self._age((when, value))

    def _age(self, new: Sample) -> None:
        """Too old a candidate gives way; each quarter of the window a fresh one is wanted (minmax_subwin_update)."""
        passed = new[0] - self.first[0]
        if passed > self.window:
            self.first, self.second, self.third = self.second, self.third, new
            if new[0] - self.first[0] > self.window:
                self.first, self.second, self.third = self.second, self.third, new
        elif self.second[0] == self.first[0] and passed > self.window // 4:
            self.second = self.third = new
        elif self.third[0] == self.second[0] and passed > self.window // 2:
            self.third = new
