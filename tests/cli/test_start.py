"""`tcplab start` and `tcplab` alone, with a session and a screen of the test's own."""

from __future__ import annotations

import os
import shutil
import sys
from types import SimpleNamespace

import pytest

from tcplab.api.messages import Reply
from tcplab.cli import options, start
from tcplab.lab import invocation, privileges, session
from tcplab.lab.session import SessionEnded


class Screen:
    """What the screen and the engine were asked for, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.refusal: SessionEnded | None = None
        self.chosen: str | None = ""

    def spawn(self, *arguments: object) -> Screen:
        self.did.append(f"spawn {' '.join(map(str, arguments))}")
        return self

    def ready(self) -> Reply:
        if self.refusal is not None:
            raise self.refusal
        return Reply("a notice")

    def do(self, line: str) -> Reply:
        self.did.append(line)
        return Reply("no such lab", 2) if line == "load nothing" else Reply("")

    def close(self) -> None:
        self.did.append("close")

    def run(self, _session: object, notice: str) -> int:
        self.did.append(f"run ({notice})")
        return 0

    def home(self) -> str | None:
        return self.chosen


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(session, "spawn_engine", made.spawn)
    monkeypatch.setattr(privileges, "give_up_root", lambda: made.did.append("give up root"))
    monkeypatch.setitem(sys.modules, "tcplab.tui", SimpleNamespace(app=made))
    monkeypatch.setitem(sys.modules, "tcplab.tui.app", made)
    monkeypatch.setattr(options, "on_terminal", lambda: True)
    return made


def started(*words: str) -> int:
    code = start.command.main(list(words), standalone_mode=False)
    assert isinstance(code, int)
    return code


def test_the_engine_first_then_no_root_then_the_screen(screen: Screen) -> None:
    assert started("handshake", "--engine", "sim", "--seed", "5", "--rate", "1/10") == 0
    assert screen.did == ["spawn handshake sim 5 1/10", "give up root", "run (a notice)", "close"]


def test_home_is_the_same_engine_that_loads_what_was_chosen(screen: Screen) -> None:
    screen.chosen = "handshake"
    assert start.home() == 0
    assert screen.did == ["spawn None", "give up root", "load handshake", "run (a notice)", "close"]


@pytest.mark.parametrize(("chosen", "expected"), [("", ["run (a notice)"]), (None, [])])
def test_free_play_and_leaving_load_nothing(screen: Screen, chosen: str | None, expected: list[str]) -> None:
    screen.chosen = chosen
    assert start.home() == 0
    assert screen.did == ["spawn None", "give up root", *expected, "close"]


def test_what_cannot_be_loaded_is_said(screen: Screen) -> None:
    screen.chosen = "nothing"
    with pytest.raises(start.exits.Refused) as refused:
        start.home()
    assert refused.value.code == 2
    assert screen.did[-1] == "close"


def test_the_screen_does_not_start_with_roots_powers(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(privileges, "give_up_root", fails)
    with pytest.raises(start.exits.Refused, match="root's powers") as refused:
        started("handshake")
    assert refused.value.code == 3
    assert screen.did[-1] == "close"


@pytest.mark.parametrize(
    ("uid", "words", "code", "again"),
    [
        (1000, ["--engine", "veth"], 4, True),
        (1000, ["--engine", "veth"], 3, True),
        (1000, ["--engine", "veth"], 2, False),
        (1000, [], 4, False),
        (0, ["--engine", "veth"], 4, False),
    ],
)
def test_namespaces_asked_for_and_refused_ask_for_sudo(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, uid: int, words: list[str], code: int, again: bool
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "execv", lambda _path, line: became.append(line))
    monkeypatch.setattr(sys, "argv", ["tcplab", "start", "handshake", *words])
    screen.refusal = SessionEnded("user namespaces are switched off", code)
    with pytest.raises(SessionEnded):
        started("handshake", *words)
    assert became == ([invocation.as_root(["start", "handshake", *words])] if again else [])
