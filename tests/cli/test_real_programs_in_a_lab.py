"""A lab that runs, and real programs inside its hosts, from a second process: `do` and `exec` as a person uses them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COMMAND

from tcplab.engines.http import body

SCRIPT = "b serve http 8080\nwait 60s\n"

pytestmark = pytest.mark.namespaces


class Running:
    """A `tcplab run --rate 1` in the background; `tcplab` talks to it."""

    def __init__(self, process: subprocess.Popen[str], tcplab) -> None:
        self.process = process
        self._tcplab = tcplab

    def do(self, *line: str):
        return self._tcplab("do", "--lab", str(self.process.pid), *line)

    def exec(self, host: str, *words: str):
        return self._tcplab("exec", "--lab", str(self.process.pid), host, "--", *words)


@pytest.fixture
def running(namespaces, tcplab, environment: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    script = tmp_path / "serve.lab"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [*COMMAND, "run", str(script), "--engine", "veth", "--rate", "1", "--json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lab = Running(process, tcplab)
    for _ in range(50):  # each try takes as long as a process needs to start
        if process.poll() is not None or lab.do("clear").returncode == 0:
            break
    assert process.poll() is None, process.communicate()
    yield lab
    process.kill()
    process.communicate()


def test_exec_is_inside_the_host(running: Running, program) -> None:
    program("ip")
    shown = running.exec("a", "ip", "-br", "addr").stdout
    assert "10.77.0.101/24" in shown
    assert "10.77.0.102/24" in running.exec("b", "ip", "-br", "addr").stdout


def test_curl_gets_the_page_from_our_tcp(running: Running, program) -> None:
    program("curl")
    done = running.exec("a", "curl", "-s", "http://10.77.0.2:8080/")
    assert done.returncode == 0, done.stderr
    assert "tcplab" in done.stdout


def test_a_megabyte_survives_loss(running: Running, program) -> None:
    program("curl")
    assert running.do("drop", "b>a", "p=5%").returncode == 0
    script = "curl -s http://10.77.0.2:8080/bytes/1000000 | sha256sum"
    expected = hashlib.sha256(b"".join(body(1_000_000))).hexdigest()
    assert running.exec("a", "sh", "-c", script).stdout.split()[0] == expected


def test_tcpdump_shows_the_segments(running: Running, program, environment: dict[str, str]) -> None:
    program("curl")
    words = [
        "exec",
        "--lab",
        str(running.process.pid),
        "a",
        "--",
        program("tcpdump"),
        "-nlc",
        "10",
        "-i",
        "eth0",
        "tcp",
    ]
    tcpdump = subprocess.Popen(
        [*COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert tcpdump.stderr is not None
    while "listening on" not in (line := tcpdump.stderr.readline()):
        assert line, "tcpdump ended"
    running.exec("a", "curl", "-so", "/dev/null", "http://10.77.0.2:8080/bytes/30000")
    shown, _ = tcpdump.communicate(timeout=20)
    assert len(shown.splitlines()) == 10
    assert "Flags [S.]" in shown


def test_a_program_keeps_its_own_exit_code(running: Running, program) -> None:
    program("sh")
    assert running.exec("a", "sh", "-c", "exit 42").returncode == 42
    assert running.exec("a", "no-such-program").returncode == 127


def test_quit_from_a_second_terminal_ends_the_run(running: Running) -> None:
    assert running.do("quit").returncode == 0
    out, err = running.process.communicate(timeout=20)
    assert running.process.returncode == 0, err
    assert '"engine": "veth"' in out


def test_a_lab_in_memory_has_no_place_for_programs(tcplab, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "serve.lab").write_text(SCRIPT)
    process = subprocess.Popen(
        [*COMMAND, "run", "serve.lab", "--engine", "sim", "--rate", "1"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    lab = Running(process, tcplab)
    try:
        assert any(lab.do("clear").returncode == 0 for _ in range(50))
        done = lab.exec("a", "ls")
        assert done.returncode == 3
        assert "no namespaces" in done.stderr
    finally:
        process.kill()
        process.wait()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_else_may_not_join(running: Running) -> None:
    code = f"import socket; s = socket.socket(1); s.connect('\\0tcplab-0-{running.process.pid}'); print(s.recv(500))"
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    if "another user" not in done.stdout:
        pytest.skip(f"no interpreter that others may run: {done.stderr.strip()[-200:]}")
