"""What a person types, and the exit code that comes back; wrong input is explained, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcplab.cli import group, options


def test_alone_without_a_terminal_it_shows_its_help(tcplab) -> None:
    done = tcplab()
    assert done.returncode == 0
    assert "Commands:" in done.stdout
    assert all(name in done.stdout for name in group.COMMANDS)
    assert "engine " not in done.stdout.split("Commands:")[1]


@pytest.mark.parametrize("name", [*group.COMMANDS, *group.HIDDEN])
def test_each_command_is_there_and_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(group.tcplab, [name, "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.output


def test_start_needs_a_terminal(tcplab) -> None:
    done = tcplab("start", "handshake")
    assert done.returncode == 2
    assert "tcplab run handshake" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["run"],
        ["run", "no-such-lab"],
        ["run", "no/such/file.toml"],
        ["run", "handshake", "--engine", "kernel-of-mars"],
        ["run", "handshake", "--rate", "0"],
        ["run", "handshake", "--rate", "1/0"],
        ["run", "handshake", "--rate", "fast"],
        ["run", "handshake", "--seed", "x"],
        ["run", "handshake", "--pcap", "/no/such/directory/x"],
        ["check", "no-such-lab"],
        ["exec", "c", "--", "ls"],
        ["exec", "a"],
        ["exec", "a", "--"],
        ["do"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(tcplab, words: list[str]) -> None:
    done = tcplab(*words)
    assert done.returncode == 2, done.stderr
    assert (done.stderr + done.stdout).strip()


@pytest.mark.parametrize(
    "words", [["do", "--lab", "1", "pause"], ["exec", "--lab", "1", "a", "--", "ls"]], ids=" ".join
)
def test_without_a_running_lab_there_is_nobody_to_talk_to(tcplab, words: list[str]) -> None:
    done = tcplab(*words)
    assert done.returncode == 3
    assert "no lab with process 1 is running" in done.stderr


@pytest.mark.parametrize(
    ("text", "rate"), [("1", (1, 1)), ("10", (10, 1)), ("1/10", (1, 10)), ("1000/1000", (1000, 1000))]
)
def test_rates(text: str, rate: tuple[int, int]) -> None:
    assert options.rate(text) == rate


def test_labs_lists_the_catalogue(tcplab) -> None:
    done = tcplab("labs")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("handshake", "syn-retry", "accept-full"))


def test_run_reports_its_checks(tcplab) -> None:
    done = tcplab("run", "handshake", "--engine", "sim", "--seed", "3")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "engine sim, seed 3" in done.stdout


def test_run_as_json_with_trace_and_capture(tcplab, tmp_path: Path) -> None:
    words = ("run", "handshake", "--engine", "sim", "--json", "--trace", "t.jsonl", "--pcap", "t.pcapng")
    done = tcplab(*words)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["passed"] is True
    events = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert len(events) == summary["events"]
    assert [event["flags"] for event in events if event["ev"] == "sent"][:3] == ["S", "SA", "A"]
    capture, trace = (tmp_path / "t.pcapng").read_bytes(), (tmp_path / "t.jsonl").read_bytes()
    assert capture.startswith(b"\x0a\x0d\x0d\x0a")
    tcplab(*words)
    assert ((tmp_path / "t.pcapng").read_bytes(), (tmp_path / "t.jsonl").read_bytes()) == (capture, trace)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_and_an_endless_file_are_errors(tcplab) -> None:
    done = tcplab("run", "handshake", "--engine", "sim", "--pcap", "/dev/full")
    assert done.returncode == 3
    assert "No space left" in done.stderr
    done = tcplab("run", "/dev/zero")
    assert done.returncode == 2
    assert "not a lab" in done.stderr


def test_a_trace_on_standard_output_has_it_for_itself(tcplab) -> None:
    done = tcplab("run", "handshake", "--engine", "sim", "--trace", "-")
    assert all(json.loads(line) for line in done.stdout.splitlines())
    assert "seed" in done.stderr


def test_doctor_names_what_works(tcplab) -> None:
    done = tcplab("doctor")
    assert done.returncode in (0, 3, 4)
    assert "namespaces" in done.stdout
    assert "stack           interpreted" in done.stdout
    assert "engine sim" in done.stdout or "engine veth" in done.stdout
