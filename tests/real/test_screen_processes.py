"""The screen and its engine as processes: killed at a random moment, they leave nothing behind."""

from __future__ import annotations

import os
import random
import signal
import termios
import time
from itertools import pairwise

import pytest
from support.real import alive, host_state
from support.terminal import Terminal

pytestmark = pytest.mark.namespaces


@pytest.fixture
def terminal():  # type: ignore[no-untyped-def]
    opened: list[Terminal] = []

    def start(*words: str, command: str = "start") -> Terminal:
        opened.append(Terminal(*words, command=command))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def gone(engine: int, before: dict[str, object]) -> bool:
    """Within three seconds: the engine does not run any more, and the machine is as before."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if not alive(engine) and host_state() == before:
            return True
        time.sleep(0.05)
    return False


def test_free_play_shows_a_handshake_within_seconds(terminal) -> None:  # type: ignore[no-untyped-def]
    """The README's first command."""
    screen = terminal("--engine", "veth")
    for sign in ("SYN seq 0", "SYN,ACK seq 0", "ACK ack 1", "ESTAB", "veth"):
        screen.read_until(sign)


def test_a_simulated_world_is_played_again(terminal) -> None:  # type: ignore[no-untyped-def]
    """The command that a finding prints."""
    screen = terminal("--replay", "7", "--screen", command="simulate")
    screen.read_until("Nothing goes wrong here.")
    screen.press(">")
    screen.read_until("SYN_SENT")
    screen.press("q", "q")
    assert screen.end() == 0


def test_the_keys_break_things(terminal) -> None:  # type: ignore[no-untyped-def]
    """Lose a SYN,ACK and see both ladders; flood; reset; close and jump over 2MSL."""
    screen = terminal("--engine", "veth")
    screen.read_until("ESTAB")
    screen.press("i", "1", "i", "c")
    screen.read_until("RTX SYN")
    screen.read_until("RTX SYN,ACK")
    screen.press("i", "f")
    screen.read_until("FULL")
    screen.read_until("synq full")
    screen.press("i", "e")
    screen.read_until("FIN_WAIT_2")
    screen.press("i", "E")
    screen.read_until("TIME_WAIT")
    screen.press(":", *"jump 70s", "\r")
    screen.read_until("01:1")  # the clock, past a minute
    screen.press("i", "c", "i", "x")
    screen.read_until("forged RST")


def test_keys_that_are_typed_ahead_are_not_lost(terminal) -> None:  # type: ignore[no-untyped-def]
    """All at once, as from a fast hand on a slow machine: the menu and the console take what follows their key."""
    screen = terminal("--engine", "veth")
    screen.read_until("ESTAB")
    screen.type("i1ic")
    screen.read_until("RTX SYN,ACK")
    screen.type(":a close c1\r")
    screen.read_until("FIN_WAIT_2")


def moments(most: float) -> list[float]:
    """Four at random, each as the time after the one before."""
    dice = random.Random(1)
    times = [0.0, *sorted(most * dice.random() for _ in range(4))]
    return [after - before for before, after in pairwise(times)]


def test_kill_9_of_the_engine_leaves_nothing(terminal) -> None:  # type: ignore[no-untyped-def]
    before = host_state()
    screens = [terminal("handshake", "--engine", "veth") for _ in range(4)]
    for screen in screens:
        screen.read_until("handshake")
    engines = [screen.engine() for screen in screens]
    for engine, pause in zip(engines, moments(1), strict=True):
        time.sleep(pause)
        os.kill(engine, signal.SIGKILL)
    time.sleep(0.3)
    for screen in screens:
        screen.process.terminate()
        screen.end()
    assert all(gone(engine, before) for engine in engines)


def test_kill_9_of_the_screen_leaves_nothing(terminal) -> None:  # type: ignore[no-untyped-def]
    """From the first moment of its life on."""
    before = host_state()
    screens = [terminal("handshake", "--engine", "veth") for _ in range(4)]
    engines = [screen.engine() for screen in screens]
    for screen, pause in zip(screens, moments(3), strict=True):
        time.sleep(pause)
        screen.process.kill()
        screen.process.wait()
    assert all(gone(engine, before) for engine in engines)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_terminal_is_usable_after_a_signal(terminal, number: int, code: int) -> None:  # type: ignore[no-untyped-def]
    before = host_state()
    screen = terminal("handshake", "--engine", "veth")
    screen.read_until("SYN,ACK")
    engine = screen.engine()
    screen.process.send_signal(number)
    assert screen.end() == code
    assert screen.seen.rindex(b"\x1b[?1049l") > screen.seen.rindex(b"\x1b[?1049h")  # out of the alternate screen
    assert b"\x1b[?1000l" in screen.seen  # mouse off
    assert termios.tcgetattr(screen.slave)[3] == screen.before[3]
    assert gone(engine, before)
