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
    assert getattr(TEXTBOOK, field) != getattr(LINUX, field), "else it need not be there"
    assert any(f"profile.{field}" in path.read_text() for path in root.rglob("*.py"))


def test_a_plan_names_a_profile_for_a_host_and_its_sysctls_come_later() -> None:
    world = World(Plan(sysctl={"a": {"tcp_frto": 2}}, profile={"a": "textbook"}))
    assert world.hosts["a"].view(0).sysctl["profile"] == "textbook"
    assert "tcp_frto" not in world.hosts["a"].view(0).sysctl
    assert "profile" not in world.hosts["b"].view(0).sysctl


def test_a_script_with_an_unknown_profile_is_refused() -> None:
    assert sorted(PROFILES) == ["linux-6", "textbook"]
    with pytest.raises(ScriptError, match="no profile 'rfc1'"):
        parser.parse(SCRIPT.format("rfc1"), "x.pkt", {})


def test_the_kernel_has_no_textbook() -> None:
    with pytest.raises(NotHere, match="it speaks its own TCP"):
        drill.refuse_profile(parser.parse(SCRIPT.format("textbook"), "x.pkt", {}), ours=False)
    drill.refuse_profile(parser.parse(SCRIPT.format("linux-6"), "x.pkt", {}), ours=False)
