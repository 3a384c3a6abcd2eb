"""The loop: order of events, the virtual clock, the paced clock on a wall clock of our own."""

from __future__ import annotations

from tcplab.engines.loop import Loop
from tcplab.units import MS, NEVER, SEC


class Clockwork:
    """A host with nothing but timers."""

    def __init__(self, name, log, *deadlines):
        self.name, self.log, self.deadlines = name, log, list(deadlines)

    @property
    def deadline(self):
        return self.deadlines[0] if self.deadlines else NEVER

    def on_timer(self, now):
        self.deadlines.pop(0)
        self.log.append((now, self.name))

    def next_timer(self):
        return f"timer of {self.name}"


class Wall:
    """A wall clock that moves when it is told to."""

    def __init__(self):
        self.now = 1_000_000 * SEC

    def __call__(self):
        return self.now


def logged(*deadlines_a, b=(), **kw):
    log = []
    loop = Loop((Clockwork("a", log, *deadlines_a), Clockwork("b", log, *b)), **kw)

    def at(when, name):
        return loop.at(when, lambda: log.append((loop.now, name)), name)

    return loop, log, at


def test_the_earliest_first_and_ties_go_heap_then_a_then_b():
    loop, log, at = logged(5, 7, b=(5, 6))
    at(5, "second")
    at(4, "first")
    at(5, "third")
    loop.run_until(10)
    assert log == [
        (4, "first"), (5, "second"), (5, "third"), (5, "a"), (5, "b"), (6, "b"), (7, "a"),
    ]  # fmt: skip
    assert loop.now == 10


def test_the_past_is_now():
    loop, log, at = logged()
    loop.run_until(SEC)
    at(3, "late")
    assert loop.step()
    assert log == [(SEC, "late")]


def test_step_is_one_event_at_its_own_time():
    loop, log, at = logged(3 * SEC)
    at(SEC, "one")
    assert loop.next_event() == (SEC, "one")
    assert loop.step()
    assert loop.now == SEC
    assert loop.next_event() == (3 * SEC, "timer of a")
    assert loop.step()
    assert not loop.step()
    assert loop.next_event() == (NEVER, "")
    assert log == [(SEC, "one"), (3 * SEC, "a")]


def test_a_cancelled_action_never_runs_and_is_not_announced():
    loop, log, at = logged()
    gone = at(1, "gone")
    at(2, "stays")
    gone.cancel()
    assert loop.next_event() == (2, "stays")
    loop.run_until(5)
    gone.cancel()
    assert log == [(2, "stays")]


def test_settle_runs_after_each_event():
    settled = []
    loop = Loop(settle=lambda: settled.append(loop.now))
    loop.at(1, lambda: None)
    loop.at(2, lambda: None)
    loop.run_until(3)
    assert settled == [1, 2]


def test_run_until_can_be_ended_early():
    loop, log, at = logged()
    for when in (1, 2, 3):
        at(when, "tick")
    assert not loop.run_until(10, unless=lambda: len(log) == 2)
    assert loop.now == 2
    assert loop.run_until(10)
    assert (loop.now, len(log)) == (10, 3)


def test_paced_events_run_at_their_own_time_however_late_the_wall_clock_is():
    wall = Wall()
    loop, log, at = logged(wall=wall)
    at(10 * MS, "one")
    at(30 * MS, "two")
    assert loop.timeout() is None
    loop.catch_up()
    assert loop.now == 0, "paused"
    loop.play()
    assert loop.timeout() == 0.010
    wall.now += 25 * MS
    loop.catch_up()
    assert (log, loop.now) == ([(10 * MS, "one")], 25 * MS)
    wall.now += SEC
    assert loop.timeout() == 0
    loop.catch_up()
    assert log[-1] == (30 * MS, "two")
    assert loop.timeout() is None


def test_rates_are_exact_and_change_from_now_on():
    wall = Wall()
    loop, _, at = logged(wall=wall)
    loop.play()
    loop.set_rate(1, 10)
    wall.now += SEC
    loop.catch_up()
    assert loop.now == 100 * MS
    loop.set_rate(10)
    at(200 * MS, "soon")
    assert loop.timeout() == 0.010
    wall.now += SEC
    loop.catch_up()
    assert loop.now == 10_100 * MS


def test_time_does_not_pass_while_paused_nor_twice_after_a_jump():
    wall = Wall()
    loop, _, _ = logged(wall=wall)
    loop.play()
    wall.now += SEC
    loop.catch_up()
    loop.pause()
    wall.now += 50 * SEC
    loop.catch_up()
    loop.play()
    loop.run_until(60 * SEC)
    wall.now += SEC
    loop.catch_up()
    assert loop.now == 61 * SEC


def test_an_event_that_pauses_stops_the_clock_at_its_own_time():
    wall = Wall()
    loop, log, at = logged(wall=wall)
    loop.at(5, loop.pause)
    at(6, "after")
    loop.play()
    wall.now += SEC
    loop.catch_up()
    assert (loop.now, log, loop.playing) == (5, [], False)


def test_rate_max_runs_from_event_to_event():
    wall = Wall()
    loop, log, at = logged(wall=wall)
    at(100 * SEC, "far")
    loop.set_rate_max()
    assert loop.timeout() is None
    loop.play()
    assert loop.timeout() == 0
    loop.catch_up()
    assert (loop.now, log) == (100 * SEC, [(100 * SEC, "far")])


def test_foreign_frames_come_at_the_present_instant_and_only_while_playing():
    wall = Wall()
    taken = []
    loop = Loop(foreign=lambda: taken.append(loop.now), wall=wall)
    loop.catch_up()
    loop.run_until(SEC)
    loop.step()
    assert taken == []
    loop.play()
    wall.now += 7 * MS
    loop.catch_up()
    assert taken == [SEC + 7 * MS]
