"""`tcplab drill` as a person calls it: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PACKETS = Path(__file__).parents[1] / "pkt"
GOOD = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
BAD = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = -1 EPERM\n"
WRONG = "0 socket(\n"
ABSENT = "0 `date`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


def drill(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tcplab", "drill", *words], capture_output=True, text=True, check=False
    )


def test_the_exit_code_says_what_was_found(tmp_path: Path) -> None:
    codes = {"good": (GOOD, 0), "bad": (BAD, 1), "wrong": (WRONG, 2), "absent": (ABSENT, 3)}
    for name, (text, code) in codes.items():
        (tmp_path / f"{name}.pkt").write_text(text)
        done = drill(str(tmp_path / f"{name}.pkt"))
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    done = drill(str(tmp_path))
    assert done.returncode == 1, "a failure counts most"
    assert done.stdout.splitlines()[-1] == f"{tmp_path}  1 passed, 1 failed, 1 refused, 1 not here"


def test_jobs_change_nothing_but_the_time(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.pkt").write_text(BAD if number == 3 else GOOD)
    one, four = drill(str(tmp_path)), drill(str(tmp_path), "--jobs", "4")
    assert four.returncode == one.returncode == 1
    assert four.stdout == one.stdout
    assert drill(str(tmp_path), "--jobs", "0").returncode == 2


def test_a_folder_is_summed_up(tmp_path: Path) -> None:
    for name in ("a/one", "a/two", "b/three"):
        path = tmp_path / f"{name}.pkt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(GOOD)
    lines = drill(str(tmp_path)).stdout.splitlines()
    assert [line.rsplit("  ", 1)[-1].strip() for line in lines] == ["2 passed", "1 passed", "3 passed"]


def test_json_is_one_object_per_script(tmp_path: Path) -> None:
    (tmp_path / "bad.pkt").write_text(BAD)
    (verdict,) = [json.loads(line) for line in drill(str(tmp_path), "--json").stdout.splitlines()]
    assert verdict["status"] == "failed"
    assert verdict["difference"] == {
        "line": 1, "field": "socket()", "expected": "-1 EPERM", "saw": "3", "why": "",
    }  # fmt: skip


def test_wrong_arguments(tmp_path: Path) -> None:
    for words, said in (
        ((), "Missing argument"),
        (("/no/such.pkt",), "there is no file"),
        ((str(tmp_path),), "no .pkt file"),
        ((str(PACKETS), "-D", "X"), "NAME=VALUE"),
        ((str(PACKETS), "--stack", "mine"), "mine"),
    ):
        done = drill(*words)
        assert done.returncode == 2
        assert said in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_a_definition_stands_for_its_value(tmp_path: Path) -> None:
    (tmp_path / "one.pkt").write_text("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = RESULT\n")
    assert drill(str(tmp_path), "-D", "RESULT=3").returncode == 0
