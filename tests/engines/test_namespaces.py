"""Namespaces and the veth fabric: they work, they leave nothing, they need no root."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tcplab.api.plan import Plan
from tcplab.engines.addresses import ADDRESS
from tcplab.engines.apps import connect, echo_server
from tcplab.engines.errors import EngineError
from tcplab.engines.fabric import PEER, PORTS
from tcplab.engines.fabric_veth import VethFabric
from tcplab.engines.netns import Namespaces
from tcplab.engines.probe import choose_engine, probe
from tcplab.engines.world import World
from tcplab.units import SEC

pytestmark = pytest.mark.namespaces
FRAME = b"\x02" * 12 + b"\x88\xb5" + b"tcplab" * 20


here = pytest.mark.usefixtures("namespaces_here")


@contextmanager
def namespaces():
    made = Namespaces()
    try:
        made.unshare()
        made.join()
        yield made
    finally:
        made.close()


@contextmanager
def veth():
    with namespaces() as made:
        fabric = VethFabric(made.open_sockets())
        yield fabric, made
        fabric.close()


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def footprint():
    """What a lab could leave in the host's own namespace. Counters change by themselves, so without statistics."""
    names = ("net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/default/disable_ipv6", "net/ipv4/ip_forward")
    settings = [path.read_text() for name in names if (path := Path("/proc/sys", name)).exists()]
    namespaces = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return output("ip", "-o", "link"), output("ip", "-o", "-4", "addr"), namespaces, settings


def in_child(work):
    """Run `work` in a forked process; its exit code and what it wrote."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            text = work()
            os.write(send, str(text).encode())
            code = 0
        except BaseException as error:
            os.write(send, repr(error).encode())
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive) as answer:
        text = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@here
def test_probe_says_what_works():
    assert [finding.name for finding in probe()] == ["namespaces", "veth", "packet sockets"]
    assert choose_engine() == ("veth", "")


@here
def test_every_frame_comes_out_in_the_order_of_sending(monkeypatch):
    frames = [FRAME + number.to_bytes(2, "big") for number in range(1000)]
    out: dict[str, list[bytes]] = {port: [] for port in PORTS}
    with veth() as (fabric, _):
        read = fabric._read

        def seen(port: str) -> bytes | None:
            frame = read(port)
            if frame is not None:
                out[port].append(frame)
            return frame

        monkeypatch.setattr(fabric, "_read", seen)
        for port in PORTS:
            fabric.carry(port, frames)
            assert sorted(out[PEER[port]]) == frames, "all are out when carry() returns"
        assert fabric.foreign() == []
    assert out == dict.fromkeys(PORTS, frames)


@here
def test_what_nobody_sent_is_foreign():
    with veth() as (fabric, made):
        with made.inside("a"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
            program.sendto(b"hello", ("10.77.0.2", 9))  # the kernel asks for the address first
        fabric.carry("a", [FRAME])
        [(port, frame)] = fabric.foreign()
        assert port == "wire:a"
        assert frame[6:14].hex() == "02000a4d01010806"


@here
def test_a_frame_that_gets_lost_stops_the_run(monkeypatch):
    monkeypatch.setattr("tcplab.engines.fabric_veth.PATIENCE", 0.01)
    with veth() as (fabric, made):
        ends = fabric._sockets
        ends["wire:a"], ends["wire:b"] = ends["wire:b"], ends["wire:a"]
        with pytest.raises(EngineError, match=r"the veth fabric lost 1 frame\(s\) between a and wire:a"):
            fabric.carry("a", [FRAME])
        with made.inside("wire"):
            output("ip", "link", "set", "dev", "a", "down")
        with pytest.raises(EngineError, match="the veth fabric cannot send at a"):
            fabric.carry("a", [FRAME])


@here
def test_the_devices_are_as_a_wire_needs_them():
    with namespaces() as made:
        with made.inside("a"):
            assert "10.77.0.101/24" in output("ip", "-o", "addr", "show", "eth0")
            assert "02:00:0a:4d:01:01" in output("ip", "-o", "link", "show", "eth0")
            assert "mtu 1500" in output("ip", "-o", "link", "show", "eth0")
            assert output("ip", "-o", "-6", "addr") == ""
        with made.inside("wire"):
            assert output("ip", "-o", "-4", "addr") == ""


@here
def test_set_up_leaves_nothing_in_the_hosts_own_namespace():
    before = footprint()
    here = os.stat("/proc/thread-self/ns/net").st_ino
    with veth():
        assert footprint() == before
        assert os.stat("/proc/thread-self/ns/net").st_ino == here
    assert footprint() == before


@here
def test_kill_9_leaves_nothing():
    before, receive, send = footprint(), *os.pipe()
    child = os.fork()
    if child == 0:
        try:
            World(Plan(), "veth").loop.run_until(SEC)
            os.write(send, b"up")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(send)
    assert os.read(receive, 100) == b"up"
    os.close(receive)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert footprint() == before


def unprivileged():
    """A lab as the user `nobody`: a user namespace must do."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        except OSError as error:
            return f"cannot become `nobody` here: {error}"
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: else /proc/self stays root's after setuid
    lab = World(Plan(), "veth")
    assert len(lab.namespace_fds("a")) == 2
    lab.apps.start("b", "echo", echo_server(7))
    client = lab.apps.start("a", "c1", connect(ADDRESS["b"], 7))
    lab.loop.run_until(SEC)
    return client.error or "connected"


def test_works_in_a_user_namespace_without_root():
    probe()  # imports what the veth engine needs, before `nobody` is refused the files
    code, text = in_child(unprivileged)
    if "sysctl" in text or "cannot become" in text:
        pytest.skip(text)
    assert (code, text) == (0, "connected")


def test_a_refusal_names_its_cause():
    def in_a_user_namespace_without_room():
        from tcplab.engines import netns

        netns.new_user_namespace()
        Path("/proc/sys/user/max_user_namespaces").write_text("0")  # of this user namespace, and only below it
        # Without rights on the network the lab needs one more user namespace, which is refused now.
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())
        return choose_engine()

    code, text = in_child(in_a_user_namespace_without_room)
    assert code == 0, text
    assert "sim" in text
    assert "user.max_user_namespaces = 0" in text
