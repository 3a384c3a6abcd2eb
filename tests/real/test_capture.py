"""The capture of a run on real namespaces, read by tshark."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.real import run

pytestmark = pytest.mark.namespaces


def test_tshark_opens_the_capture_of_a_run_without_a_complaint(tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    capture = tmp_path / "run.pcapng"
    assert run("run", "accept-full", "--engine", "veth", "--pcap", str(capture)).returncode == 0
    fields = ("ip.checksum.status", "tcp.checksum.status", "_ws.expert.severity", "frame.comment")
    command = ["tshark", "-r", str(capture), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command += ["-T", "fields", "-E", "separator=|", *(word for field in fields for word in ("-e", field))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert len(rows) == 10
    assert all(row[:2] == ["1", "1"] for row in rows), "1 is what tshark calls a good checksum"
    assert all(row[3] for row in rows)
    error = 8388608  # PI_ERROR of Wireshark's expert information
    assert all(int(severity) < error for row in rows for severity in row[2].split(",") if severity)
