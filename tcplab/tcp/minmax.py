"""The least or the greatest of what was measured lately, in constant space (Linux lib/minmax.c; Kathleen Nichols).

Three samples are kept: the best one, the best one since then, and the best one since that. When the best one gets older
than the window the next takes its place; and when a quarter, or half, of the window passed without a better one, the
newest sample stands in for the second, or the third, so that they are not all from the same time.
"""

from __future__ import annotations


class Minmax:
    """One estimate. Times and the window are in any unit, which is that of both; both may go on without end."""

    __slots__ = ("samples",)

    def __init__(self, now: int, value: int) -> None:
        self.samples: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
        """The best three: (when, what)."""
        self.reset(now, value)

    @property
    def best(self) -> int:
        """The estimate (minmax_get)."""
        return self.samples[0][1]

    def reset(self, now: int, value: int) -> int:
        """Forget all but `value` (minmax_reset)."""
        new = (now, value)
        self.samples = (new, new, new)
        return value

    def running_min(self, window: int, now: int, value: int) -> int:
        """`value` was measured: the least of the last `window` (minmax_running_min)."""
        first, second, third = self.samples
        if value <= first[1] or now - third[0] > window:
            return self.reset(now, value)
        new = (now, value)
        if value <= second[1]:
            self.samples = (first, new, new)
        elif value <= third[1]:
            self.samples = (first, second, new)
        return self._subwindow(window, new)

    def running_max(self, window: int, now: int, value: int) -> int:
        """`value` was measured: the greatest of the last `window` (minmax_running_max)."""
        first, second, third = self.samples
        if value >= first[1] or now - third[0] > window:
            return self.reset(now, value)
        new = (now, value)
        if value >= second[1]:
            self.samples = (first, new, new)
        elif value >= third[1]:
            self.samples = (first, second, new)
        return self._subwindow(window, new)

    def _subwindow(self, window: int, new: tuple[int, int]) -> int:
        """Is the best one too old, or are there too few that are younger (minmax_subwin_update)?"""
        first, second, third = self.samples
        age = new[0] - first[0]
        if age > window:
            first, second, third = second, third, new
            if new[0] - first[0] > window:
                first, second, third = second, third, new
        elif second[0] == first[0] and age > window // 4:
            second = third = new
        elif third[0] == second[0] and age > window // 2:
            third = new
        else:
            return first[1]
        self.samples = (first, second, third)
        return first[1]
