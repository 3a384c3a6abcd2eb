"""Profiles: a host speaks Linux's TCP, or the book's."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support.pair import Pair

from tcplab.api.plan import Plan
from tcplab.engines.world import World
from tcplab.lab.drill import drill, parser
from tcplab.lab.drill.errors import NotHere, ScriptError
from tcplab.tcp.profile import LINUX, PROFILES, TEXTBOOK
from tcplab.tcp.sysctl import KNOBS, Sysctl
from tcplab.units import MS
from tcplab.wire.tcp import Segment

SCRIPT = "--profile={}\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"


def test_linux_is_the_default_and_changes_no_knob() -> None:
    sysctl = Sysctl()
    assert sysctl.profile is LINUX
    assert not LINUX.sysctl
    assert LINUX._replace(**LINUX._field_defaults) == LINUX, "the fields' defaults are Linux's"
    assert sysctl.changed() == {}


def test_the_textbook_sets_its_knobs_and_is_named() -> None:
    sysctl = Sysctl()
    sysctl.adopt("textbook")
    assert sysctl.changed() == {"profile": "textbook", **dict(TEXTBOOK.sysctl)}
    assert all(name in KNOBS for name, _ in TEXTBOOK.sysctl)


def test_back_to_linux_forgets_all_of_it() -> None:
    pair = Pair()
    pair.call("a", "sysctl", "tcp_sack", 0)
    pair.call("a", "profile", "textbook")
    assert pair.a.sysctl.tcp_sack == 1, "the knobs are set anew"
    pair.call("a", "profile", "linux-6")
    assert pair.a.sysctl.changed() == {}
    assert pair.b.sysctl.profile is LINUX


def test_an_unknown_one_changes_nothing() -> None:
    pair = Pair()
    pair.call("a", "profile", "textbook")
    assert pair.errno("a", "profile", "rfc1") == errno.ENOENT
    assert pair.a.sysctl.profile is TEXTBOOK


@pytest.mark.parametrize("field", [name for name in LINUX._fields if name not in ("name", "text", "sysctl")])
def test_each_field_is_read_by_the_code(field: str) -> None:
    root = Path(__file__).parents[2] / "tcplab"
    assert len({getattr(profile, field) for profile in PROFILES.values()}) > 1, "else it need not be there"
    assert any(f"profile.{field}" in path.read_text() for path in root.rglob("*.py"))


def test_a_plan_names_a_profile_for_a_host_and_its_sysctls_come_later() -> None:
    world = World(Plan(sysctl={"a": {"tcp_frto": 2}}, profile={"a": "textbook"}))
    assert world.hosts["a"].view(0).sysctl["profile"] == "textbook"
    assert "tcp_frto" not in world.hosts["a"].view(0).sysctl
    assert "profile" not in world.hosts["b"].view(0).sysctl


def test_a_script_with_an_unknown_profile_is_refused() -> None:
    assert sorted(PROFILES) == ["linux-6", "rfc793", "textbook"]
    with pytest.raises(ScriptError, match="no profile 'rfc1'"):
        parser.parse(SCRIPT.format("rfc1"), "x.pkt", {})


def test_the_kernel_has_no_textbook() -> None:
    with pytest.raises(NotHere, match="it speaks its own TCP"):
        drill.refuse_profile(parser.parse(SCRIPT.format("textbook"), "x.pkt", {}), ours=False)
    drill.refuse_profile(parser.parse(SCRIPT.format("linux-6"), "x.pkt", {}), ours=False)


@pytest.mark.parametrize("sack", [0, 1])
def test_a_lossy_transfer_of_the_book_arrives_whole(sack: int) -> None:
    count = 0

    def lose(host: str, seg: Segment) -> bool:
        nonlocal count
        count += bool(seg.payload)
        return bool(seg.payload) and count % 11 == 4

    pair = Pair(lose=lose)
    for host in ("a", "b"):
        pair.call(host, "profile", "textbook")
        pair.set(host, tcp_sack=sack)
    client, server = pair.open()
    data = bytes(range(256)) * 400
    got = b""
    sent = 0
    for _ in range(400):
        done = pair.call("a", "send", client, data[sent:]) if sent < len(data) else 0
        sent += done if isinstance(done, int) else 0
        pair.run(250 * MS)
        read = pair.call("b", "recv", server, 1 << 20)
        got += read if isinstance(read, bytes) else b""
        if len(got) == len(data):
            break
    assert got == data
    assert pair.counter("a", "TcpExtTCPFastRetrans") > 0
    assert not any(pair.counter("a", f"TcpExt{name}") for name in ("TCPLossProbes", "TCPSpuriousRTOs", "TCPFullUndo"))
    assert not any("RACK" in one.why or "RFC 8985" in one.ref or "RFC 6937" in one.ref for one in pair.sent)
