"""The running minimum and maximum, beside the true ones."""

from __future__ import annotations

import random

from tcplab.tcp.minmax import Minmax


def test_a_better_one_counts_at_once() -> None:
    least = Minmax(0, 50)
    assert least.best == 50
    assert least.running_min(100, 10, 60) == 50
    assert least.running_min(100, 20, 40) == 40
    most = Minmax(0, 50)
    assert most.running_max(100, 10, 40) == 50
    assert most.running_max(100, 20, 60) == 60


def test_the_best_one_grows_too_old() -> None:
    least = Minmax(0, 10)
    for now, value in ((20, 30), (40, 20), (70, 25), (100, 40)):
        assert least.running_min(100, now, value) == 10
    assert least.running_min(100, 101, 40) == 20  # that of 40
    assert least.running_min(100, 141, 40) == 25
    assert least.running_min(100, 171, 41) == 40


def test_after_a_long_silence_only_the_newest_counts() -> None:
    least = Minmax(0, 10)
    least.running_min(100, 30, 20)
    assert least.running_min(100, 131, 99) == 99


def test_time_that_stands_still_forgets_nothing() -> None:
    most = Minmax(7, 10)
    assert [most.running_max(0, 7, value) for value in (5, 11, 9)] == [10, 11, 11]


def test_it_is_never_better_than_the_best_of_the_window_and_seldom_far_from_it() -> None:
    draw = random.Random(1)
    window = 100
    least, most, now = Minmax(0, 500), Minmax(0, 500), 0
    kept = [(0, 500)]
    for _ in range(5000):
        now += draw.randrange(1, 8)
        value = draw.randrange(1, 1000)
        kept = [(then, old) for then, old in kept if now - then <= window] + [(now, value)]
        low, high = least.running_min(window, now, value), most.running_max(window, now, value)
        assert low >= min(old for _, old in kept)
        assert high <= max(old for _, old in kept)
        assert low in {old for _, old in kept}
        assert high in {old for _, old in kept}
