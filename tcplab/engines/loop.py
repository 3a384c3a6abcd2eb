"""The one loop: a clock that belongs to the lab, a heap of actions, and the hosts' own deadlines.

The order of events is fixed, so that a run is reproducible: the earliest first; at equal times the heap's actions in
the order in which they were scheduled, then the timers of host a, then those of host b. After each event `settle` lets
everything happen that belongs to the same instant (frames leave, applications run).

Two clocks move the same loop. *Virtual*: `step`, `run_until` go from event to event at once. *Paced*: while `playing`,
`catch_up` runs what is due by the wall clock, each event at its own scheduled time, never late; so a paced run makes
the same trace as a virtual one, as long as nothing comes from outside.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final, Protocol

from tcplab.units import MS, NEVER, SEC, Nanos

SLICE: Final = 20 * MS
"""Wall time after which one `catch_up` at rate max returns, so that its caller can attend to others."""


class Timed(Protocol):
    """A host, as far as the loop cares."""

    @property
    def deadline(self) -> Nanos: ...

    def on_timer(self, now: Nanos) -> None: ...

    def next_timer(self) -> str: ...


class Handle:
    """A scheduled action; `cancel` takes it back (cancelling twice, or after it ran, does nothing)."""

    __slots__ = ("action", "text")

    def __init__(self, action: Callable[[], None], text: str) -> None:
        self.action: Callable[[], None] | None = action
        self.text = text

    def cancel(self) -> None:
        """Take the action back."""
        self.action = None


class Loop:
    """Clock, heap and trace order of a run; knows nothing of TCP.

    `settle` is called after each event; `foreign` at the end of each `catch_up` while playing, at the present instant:
    it takes in what came from outside.
    """

    def __init__(
        self,
        hosts: Sequence[Timed] = (),
        settle: Callable[[], None] = lambda: None,
        foreign: Callable[[], None] = lambda: None,
        wall: Callable[[], Nanos] = time.monotonic_ns,
    ) -> None:
        self.now: Nanos = 0
        self.playing = False
        self.rate: tuple[int, int] | None = (1, 1)
        """Lab time per wall time; None is `max`: as fast as it can."""
        self._hosts = tuple(hosts)
        self._settle = settle
        self._foreign = foreign
        self._wall = wall
        self._times: list[Nanos] = []
        """A heap of the instants at which something is scheduled; what, in order, stands in `_at`, never empty."""
        self._at: dict[Nanos, deque[Handle]] = {}
        self._base: Nanos = 0
        self._wall_base: Nanos = 0

    # --- events ---------------------------------------------------------------------------------------------

    def at(self, when: Nanos, action: Callable[[], None], text: str = "") -> Handle:
        """Schedule `action` for lab time `when` (a time in the past means now). `text` says what it is."""
        if when < self.now:
            when = self.now
        handle = Handle(action, text)
        queue = self._at.get(when)
        if queue is None:
            self._at[when] = deque((handle,))
            heappush(self._times, when)
        else:
            queue.append(handle)
        return handle

    def next_event(self) -> tuple[Nanos, str]:
        """When the next event is due and what it is; (NEVER, "") if nothing is."""
        self._forget_cancelled()
        when, host = self._earliest_timer()
        if self._times and self._times[0] <= when:
            return self._times[0], self._at[self._times[0]][0].text
        return (when, host.next_timer()) if host is not None else (NEVER, "")

    def step(self) -> bool:
        """Run one event, at its own time. False: nothing is due, ever."""
        done = self._advance(NEVER - 1)
        self._rebase()
        return done

    def run_until(self, when: Nanos, unless: Callable[[], bool] = lambda: False) -> bool:
        """Run all events up to and including `when`; then it is `when`. Asked after each event, `unless` ends it early.

        True: it got there.
        """
        while not (ended := unless()) and self._advance(when):
            pass
        if not ended:
            self.now = max(self.now, when)
        self._rebase()
        return not ended

    def _advance(self, limit: Nanos) -> bool:
        """Run the next event if it is due by `limit`."""
        times, host = self._times, None
        if times and self._at[times[0]][0].action is None:
            self._forget_cancelled()
        if times and times[0] <= self.now:  # of this very instant: no timer comes before it
            when = times[0]
        else:
            when, host = self._earliest_timer()
            if times and times[0] <= when:
                when, host = times[0], None
        if when > limit:
            return False
        if when > self.now:
            self.now = when
        if host is not None:
            host.on_timer(self.now)
        else:
            handle = self._pop()
            action, handle.action = handle.action, None
            assert action is not None, "cancelled ones were forgotten above"
            action()
        self._settle()
        return True

    def _earliest_timer(self) -> tuple[Nanos, Timed | None]:
        """The earliest deadline of a host; host a wins a tie."""
        earliest, whose = NEVER, None
        for host in self._hosts:
            if (deadline := host.deadline) < earliest:
                earliest, whose = deadline, host
        return earliest, whose

    def _forget_cancelled(self) -> None:
        while self._times and self._at[self._times[0]][0].action is None:
            self._pop()

    def _pop(self) -> Handle:
        """The next action is taken out."""
        when = self._times[0]
        queue = self._at[when]
        handle = queue.popleft()
        if not queue:
            heappop(self._times)
            del self._at[when]
        return handle

    # --- the paced clock ------------------------------------------------------------------------------------

    def play(self) -> None:
        """Let lab time follow the wall clock from here on."""
        self.playing = True
        self._rebase()

    def pause(self) -> None:
        """Let lab time stand still; inside an event: after this event."""
        self.playing = False

    def set_rate(self, num: int, den: int = 1) -> None:
        """Lab time runs `num`/`den` times as fast as the wall clock, from here on. Both positive."""
        if num < 1 or den < 1:
            raise ValueError(f"{num}/{den} is not a rate")
        self.rate = (num, den)
        self._rebase()

    def set_rate_max(self) -> None:
        """While playing, run from event to event as fast as the machine can."""
        self.rate = None

    def timeout(self) -> float | None:
        """Seconds of wall time until `catch_up` has something to run; None: paused, or nothing is due."""
        when = self.next_event()[0] if self.playing else NEVER
        if when >= NEVER:
            return None
        if self.rate is None:
            return 0.0
        num, den = self.rate
        due = self._wall_base + -(-(when - self._base) * den // num)
        return max(0, due - self._wall()) / SEC

    def catch_up(self) -> None:
        """Run all that is due by the wall clock, then take in what came from outside. Does nothing while paused.

        Stops at the event that pauses the loop. At rate max it returns after SLICE of wall time at the latest.
        """
        if not self.playing:
            return
        if self.rate is None:
            self._catch_up_unpaced()
        else:
            num, den = self.rate
            limit = self._base + (self._wall() - self._wall_base) * num // den
            while self.playing and self._advance(limit):
                pass
            if self.playing:
                self.now = max(self.now, limit)
        if self.playing:
            self._foreign()
            self._settle()

    def _catch_up_unpaced(self) -> None:
        until = self._wall() + SLICE
        while self.playing and self._advance(NEVER - 1):
            if self._wall() >= until:
                break

    def _rebase(self) -> None:
        """The present instant of lab time belongs to the present instant of wall time."""
        self._base, self._wall_base = self.now, self._wall()
