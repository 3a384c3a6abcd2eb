"""`tcplab simulate` as a person calls it: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcplab.cli.group import tcplab
from tcplab.tcp import reassembly
from tcplab.tcp.tcb import Tcb


def simulate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tcplab", "simulate", *words], capture_output=True, text=True, check=False
    )


def test_worlds_are_summed_up() -> None:
    done = simulate("--seeds", "20", "--first", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("20 worlds from seed 5 on, 0 failed; ")
    (total,) = [json.loads(line) for line in simulate("--seeds", "20", "--first", "5", "--json").stdout.splitlines()]
    assert total["seeds"] == 20
    assert total["failed"] == 0
    assert f"{total['frames']} frames, {total['octets']} octets" in done.stdout


def test_minutes_end_it() -> None:
    done = simulate("--minutes", "0.005", "--json")
    assert done.returncode == 0
    assert 0 < json.loads(done.stdout)["seeds"] < 1000


def test_a_world_is_played_again(tmp_path: Path) -> None:
    first, again = simulate("--replay", "7").stdout, simulate("--replay", "7").stdout
    assert first == again
    assert first.startswith("nothing was wrong\nseed 7, ")
    plan = tmp_path / "plan.json"
    plan.write_text(simulate("--replay", "7", "--plan").stdout)
    assert simulate("--replay", str(plan)).stdout == first
    *events, verdict = [json.loads(line) for line in simulate("--replay", "7", "--trace").stdout.splitlines()]
    assert verdict["kind"] == ""
    assert len(events) > verdict["frames"]


def test_wrong_arguments(tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text('{"seed": 1, "items": [{"type": "Nothing"}]}')
    for words, said in (
        (("--seeds", "0"), "0 is not"),
        (("--replay", "seven"), "neither a seed"),
        (("--replay", "7:xyz"), "neither a seed"),
        (("--replay", str(tmp_path / "wrong.json")), "nor a plan"),
        (("--trace",), "go with --replay"),
        (("--screen",), "go with --replay"),
        (("--replay", "7", "--screen", "--trace"), "do not go with it"),
        (("--replay", "7", "--screen"), "needs a terminal"),
    ):
        done = simulate(*words)
        assert done.returncode == 2, done.stdout + done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_found_can_be_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reassembly.insert

    def insert(tcb: Tcb, first: int, octets: bytes, fin: bool, header: int) -> object:
        return whole(tcb, first, octets[:-1] + b"?" if octets else octets, fin, header)

    monkeypatch.setattr(reassembly, "insert", insert)
    done = CliRunner().invoke(tcplab, ["simulate", "--seeds", "40"], standalone_mode=False)
    assert done.return_value == 1
    found = next(line for line in done.output.splitlines() if "--replay" in line)
    assert "the least that fails so: " in done.output
    name = found.split("--replay ")[1].split()[0]
    again = CliRunner().invoke(tcplab, ["simulate", "--replay", name], standalone_mode=False)
    assert again.return_value == 1
    assert again.output.startswith("wrong octets")
