"""Real programs in the namespaces, with the kernel's TCP/IP, against our stacks: paced, at rate 1."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tcplab.api.events import Arrived, Sent
from tcplab.api.plan import Plan
from tcplab.engines.addresses import KERNEL_MAC
from tcplab.engines.enter import enter
from tcplab.engines.http import body, http_server
from tcplab.engines.world import World
from tcplab.link.match import Match
from tcplab.link.stages import Drop
from tcplab.units import MS, SEC

pytestmark = [pytest.mark.namespaces, pytest.mark.usefixtures("namespaces_here")]
PING = """
import socket, struct, sys
ask = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
ask.settimeout(5)
request = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + b"tcplab!!"
total = sum(struct.unpack(">8H", request))
total = (total & 0xffff) + (total >> 16)
ask.sendto(request[:2] + struct.pack(">H", ~total & 0xffff) + request[4:], ("10.77.0.2", 0))
print(ask.recv(100)[20:].hex())
"""


@contextmanager
def playing(delay=MS, seed=1):
    lab = World(Plan(seed=seed, delay=delay), "veth")
    lab.loop.play()
    try:
        yield lab
    finally:
        lab.close()


def start(lab, host, *command):
    """A program in a host's namespace, as `tcplab exec` would start it."""
    fds = lab.namespace_fds(host)

    return subprocess.Popen(
        command, preexec_fn=partial(enter, fds), pass_fds=fds, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip


def drive(lab, program, seconds=20):
    """Play until the program ends; what it wrote."""
    os.set_blocking(program.stdout.fileno(), False)
    until, output = time.monotonic() + seconds, b""
    while program.poll() is None:
        assert time.monotonic() < until, "the program did not end"
        wait = lab.loop.timeout()
        select.select([*lab.filenos(), program.stdout], [], [], 0.05 if wait is None else min(wait, 0.05))
        output += program.stdout.read() or b""
        lab.loop.catch_up()
    output += program.stdout.read() or b""
    assert program.returncode == 0, program.stderr.read().decode()
    program.stdout.close()
    program.stderr.close()
    return output


def need(name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def test_the_kernel_pings_our_host():
    with playing() as lab:
        answer = drive(lab, start(lab, "a", sys.executable, "-c", PING)).decode().strip()
        assert answer.startswith("0000")
        assert answer.endswith(b"tcplab!!".hex())
        asked, *_ = [event for event in lab.events if isinstance(event, Sent)]
        assert asked.frame[6:12] == KERNEL_MAC["a"]
        assert asked.why == "sent by the kernel's TCP/IP of a (a real program)"
        arrived = {event.n: event.t for event in lab.events if isinstance(event, Arrived)}
        assert arrived[asked.n] == asked.t + MS


def test_the_ping_program():
    need("ping")
    with playing() as lab:
        assert b"1 received" in drive(lab, start(lab, "a", "ping", "-c1", "10.77.0.2"))


def test_curl_gets_the_page_from_our_stack():
    need("curl")
    with playing() as lab:
        lab.apps.start("b", "http", http_server(8080))
        page = drive(lab, start(lab, "a", "curl", "-sS", "http://10.77.0.2:8080/"))
        assert b"tcplab's own TCP on host b" in page


def test_curl_gets_a_megabyte_through_loss():
    need("curl")
    with playing() as lab:
        lab.apps.start("b", "http", http_server(8080))
        lab.link.add(Drop(Match(ppm=50_000), "drop both p=5%"))
        got = drive(lab, start(lab, "a", "curl", "-sS", "http://10.77.0.2:8080/bytes/1000000"), seconds=60)
        assert hashlib.sha256(got).digest() == hashlib.sha256(b"".join(body(1_000_000))).digest()


def test_tcpdump_sees_the_segments():
    need("tcpdump")
    if Path("/proc/self/setgroups").read_text().strip() == "deny":
        pytest.skip("tcpdump as root becomes another user first, which a user namespace does not allow")
    need("curl")
    with playing() as lab:
        lab.apps.start("b", "http", http_server(8080))
        dump = start(lab, "b", "tcpdump", "-n", "-c", "6", "-i", "eth0", "tcp", "port", "8080")
        assert b"listening" in b"".join(dump.stderr.readline() for _ in range(2))
        drive(lab, start(lab, "a", "curl", "-sS", "http://10.77.0.2:8080/bytes/5"))
        seen = drive(lab, dump).decode()
        assert "10.77.0.2.8080: Flags [S]" in seen
        assert "Flags [S.]" in seen


def test_real_programs_cannot_disturb_virtual_time():
    with playing() as lab:
        lab.loop.pause()
        program = start(lab, "a", sys.executable, "-c", PING)
        before = time.monotonic()
        while time.monotonic() < before + 0.3:
            lab.loop.run_until(lab.loop.now + SEC)
        assert lab.events == []
        assert lab.filenos() == []
        lab.loop.play()
        drive(lab, program)
        assert lab.frames >= 4
