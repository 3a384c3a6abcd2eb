"""A screen started by root is not root any more; and how tcplab starts itself again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcplab.lab import invocation, privileges

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import os, pathlib, subprocess
os.access = lambda *_: True  # an interpreter in root's own home is another test's matter
from tcplab.lab import privileges
privileges.give_up_root()
for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    print(line)
print("HOME:", os.environ["HOME"])
try:
    os.setuid(0)
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    print("power: root")
except OSError:
    print("power: none")
print("child:", subprocess.check_output(["grep", "CapEff", "/proc/self/status"], text=True).split()[1])
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up being root")


def given_up(**environment: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True
    )
    return dict(line.split(":", 1) for line in done.stdout.replace("\t", " ").splitlines() if ":" in line)


@pytest.mark.root
@as_root
def test_under_sudo_the_screen_is_the_person_who_typed_it() -> None:
    shown = given_up(SUDO_UID="12345", SUDO_GID="12346", HOME="/root")
    assert shown["Uid"].split() == ["12345"] * 4
    assert shown["Gid"].split() == ["12346"] * 4
    assert "0" not in shown["Groups"].split()
    assert shown["HOME"].strip() != "/root"
    assert {shown[name].strip() for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "child")} == {"0" * 16}
    assert shown["NoNewPrivs"].strip() == "1"
    assert shown["power"].strip() == "none"


@pytest.mark.root
@as_root
def test_somebody_logged_in_as_root_stays_user_0_without_powers() -> None:
    shown = given_up()
    assert shown["Uid"].split() == ["0"] * 4
    assert {shown[name].strip() for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "child")} == {"0" * 16}
    assert shown["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize(("typed", "expected"), [("1000", 1000), ("", 0), ("0", 0), ("-1", 0), ("x", 0), ("²", 0)])
def test_the_person_is_who_typed_sudo(monkeypatch: pytest.MonkeyPatch, typed: str, expected: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", typed)
    assert privileges.person() == expected


def test_who_is_not_root_is_himself_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("SUDO_UID", "0")
    assert privileges.person() == 1000


def test_through_sudo_go_the_interpreter_and_what_the_terminal_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LD_PRELOAD_NOT_KEPT", "x")
    words = invocation.as_root(["start", "--engine", "veth"])
    assert words[:3] == ["sudo", "--", "/usr/bin/env"]
    assert {"NO_COLOR=1", "TERM=xterm-256color"} <= set(words)
    assert not any("NOT_KEPT" in word for word in words)
    assert words[words.index(sys.executable) :] == [*invocation.command(), "start", "--engine", "veth"]


def test_a_file_in_the_current_directory_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('imported from the current directory')")
    done = subprocess.run(
        [*invocation.command(), "--help"],
        cwd=tmp_path,
        env=os.environ | invocation.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "current directory" not in done.stdout + done.stderr
