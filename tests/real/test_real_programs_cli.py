"""Real programs, the kernel's TCP, against ours: through the command line, as a person would."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real import TCPLAB, run

pytestmark = pytest.mark.namespaces

SCRIPT = """\
b serve http 8080
drop both data p=5%
wait 60s
"""


def needs(program: str) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return program


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[int]:
    """The process id of a lab that serves a page in real time, 5 % of the data segments lost."""
    script = tmp_path / "serve.lab"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [*TCPLAB, "run", str(script), "--rate", "1", "--engine", "veth"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    for _ in range(100):
        if run("do", "--lab", str(process.pid), "ss b").returncode == 0:
            break
        time.sleep(0.1)
    yield process.pid
    process.kill()
    process.wait()


def inside(lab: int, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    command = [*TCPLAB, "exec", "--lab", str(lab), "a", "--", *words]
    return subprocess.run(command, capture_output=True, timeout=timeout, check=False)


def test_curl_gets_the_page(lab: int) -> None:
    done = inside(lab, needs("curl"), "-s", "-m", "20", "http://10.77.0.2:8080/")
    assert done.returncode == 0, done.stderr
    assert b"tcplab" in done.stdout


def test_a_megabyte_arrives_intact_through_loss(lab: int) -> None:
    whole = inside(lab, needs("curl"), "-s", "-m", "50", "http://10.77.0.2:8080/bytes/1000000").stdout
    assert len(whole) == 1_000_000
    again = inside(lab, "curl", "-s", "-m", "50", "http://10.77.0.2:8080/bytes/1000000").stdout
    assert whole == again


def test_tcpdump_sees_the_segments(lab: int) -> None:
    needs("curl")
    command = [*TCPLAB, "exec", "--lab", str(lab), "a", "--", needs("tcpdump"), "-c", "10", "-i", "eth0", "-n"]
    dump = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    inside(lab, "curl", "-s", "-m", "20", "http://10.77.0.2:8080/")
    inside(lab, "curl", "-s", "-m", "20", "http://10.77.0.2:8080/")
    out, err = dump.communicate(timeout=20)
    assert out.count(b"IP 10.77.0.") >= 6, err
    assert b"Flags [S]" in out
