"""`tcplab compare` as a person calls it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

PACKETS = Path(__file__).parents[1] / "pkt"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the kernel's TCP is compared as root only")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument"),
        (("no-such-lab",), "no lab and no file"),
        (("handshake", "--kernel", "c"), "is not one of"),
        (("handshake", "--tolerance", "1000"), "range"),
        (("x.pkt", "--kernel", "a"), "a packet script has one host"),
        (("x.pkt", "--seed", "1"), "a packet script has one host"),
        (("x.pkt", "--engine", "veth"), "a packet script has one host"),
    ],
)
def test_wrong_arguments(tcplab, words: tuple[str, ...], said: str) -> None:
    done = tcplab("compare", *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_wrong_packet_script(tcplab, tmp_path: Path) -> None:
    (tmp_path / "wrong.pkt").write_text("0 socket(\n")
    (tmp_path / "absent.pkt").write_text("0 `date`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n")
    assert tcplab("compare", str(tmp_path / "wrong.pkt")).returncode == 2
    if os.geteuid() == 0:
        done = tcplab("compare", str(tmp_path / "absent.pkt"))
        assert done.returncode == 3
        assert "commands are not run" in done.stderr


@pytest.mark.root
@as_root
@pytest.mark.parametrize("seats", ["a", "b", "both"])
def test_the_handshake_is_the_kernels(tcplab, seats: str) -> None:
    done = tcplab("compare", "handshake", "--kernel", seats)
    assert done.returncode == 0, done.stdout + done.stderr
    where = {"a": "as host a", "b": "as host b", "both": "in its place"}[seats]
    first, *_, last = done.stdout.splitlines()
    assert first.endswith(where)
    assert last.startswith("no unexplained differences")
    assert "SA 0:0(0) ack 1 win 65160" in done.stdout


@pytest.mark.root
@as_root
def test_a_difference_is_found(tcplab, tmp_path: Path) -> None:
    """Without a tolerance some of the kernel's timers are late: they wait for a tick, and one may be just there."""
    connects = [f"a connect b:80 as c{number}\nwait {7 * number}ms" for number in range(1, 6)]
    lines = ["a sysctl tcp_syn_retries=1", "drop a>b flags=S", *connects, "wait 1500ms\n"]
    (tmp_path / "ladder.lab").write_text("\n".join(lines))
    done = tcplab("compare", str(tmp_path / "ladder.lab"), "--tolerance", "0", "--json")
    found = json.loads(done.stdout)
    assert found["seats"] == "both"
    assert found["pairs"]
    assert done.returncode == (0 if found["same"] else 1)
    times = [one for pair in found["pairs"] for one in pair["differences"] if one["kind"] == "time"]
    assert times, "the kernel's timers are late"
    assert done.returncode == 1


@pytest.mark.root
@as_root
def test_a_packet_script_on_both(tcplab) -> None:
    done = tcplab("compare", str(PACKETS / "ooo" / "hole-filled.pkt"), "--brief")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 2
