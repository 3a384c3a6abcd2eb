"""Every setting: Linux's name, default and range; each one is read by the stack; wrong ones are refused."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from support.pair import Pair

import tcplab
from tcplab.tcp.sysctl import KNOBS, Sysctl

PACKAGE = Path(tcplab.__file__).parent
TABLE = PACKAGE / "tcp" / "sysctl.py"

LINUX = {
    "tcp_syn_retries": 6, "tcp_syn_linear_timeouts": 4, "tcp_synack_retries": 5, "somaxconn": 4096,
    "tcp_syncookies": 1, "tcp_abort_on_overflow": 0, "tcp_fin_timeout": 60,
    "tcp_fastopen": 1, "tcp_fastopen_blackhole_timeout_sec": 0,
    "tcp_fastopen_key": "random", "tcp_rfc1337": 0, "tcp_tw_reuse": 2, "tcp_tw_reuse_delay": 1000,
    "tcp_retries2": 15, "tcp_orphan_retries": 0, "tcp_timestamps": 1, "tcp_window_scaling": 1, "tcp_sack": 1,
    "tcp_dsack": 1, "tcp_keepalive_time": 7200, "tcp_keepalive_intvl": 75, "tcp_keepalive_probes": 9,
    "tcp_recovery": 1, "tcp_reordering": 3, "tcp_max_reordering": 300, "tcp_frto": 2, "tcp_thin_linear_timeouts": 0,
    "tcp_tso_win_divisor": 3,
    "tcp_early_retrans": 3, "tcp_retrans_collapse": 1, "tcp_rto_min_us": 200_000, "tcp_rto_max_ms": 120_000,
    "tcp_invalid_ratelimit": 500, "tcp_slow_start_after_idle": 1, "ip_default_ttl": 64, "icmp_echo_ignore_all": 0,
    "ip_no_pmtu_disc": 0, "min_pmtu": 552, "mtu_expires": 600, "min_adv_mss": 256, "tcp_min_snd_mss": 48,
    "tcp_mtu_probing": 0, "tcp_base_mss": 1024, "tcp_mtu_probe_floor": 48, "tcp_probe_threshold": 8,
    "tcp_probe_interval": 600, "tcp_retries1": 3, "tcp_moderate_rcvbuf": 1,
    "tcp_comp_sack_nr": 44, "tcp_comp_sack_delay_ns": 1_000_000, "tcp_comp_sack_slack_ns": 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", KNOBS)
def test_each_knob_is_obeyed_somewhere(name: str) -> None:
    readers = re.compile(rf"sysctl\.{name}\b")
    places = [path for path in PACKAGE.rglob("*.py") if path != TABLE and readers.search(path.read_text())]
    assert places, f"nobody reads {name}"


def test_only_knobs_of_the_table_are_read() -> None:
    read = {
        name
        for room in ("tcp", "host")
        for path in (PACKAGE / room).rglob("*.py")
        for name in re.findall(
            r"sysctl\.((?:tcp|ip|icmp)_\w+|somaxconn|min_pmtu|mtu_expires|min_adv_mss)\b", path.read_text()
        )
    }
    assert read == set(KNOBS)


@pytest.mark.parametrize("name", LINUX)
def test_defaults_are_those_of_linux(name: str) -> None:
    assert Sysctl().get(name) == KNOBS[name].default == LINUX[name]


NUMBERS = [name for name, knob in KNOBS.items() if isinstance(knob.default, int)]
SEVERAL = [name for name, knob in KNOBS.items() if isinstance(knob.default, tuple)]


@pytest.mark.parametrize("name", NUMBERS)
def test_ranges_hold_at_both_ends(name: str) -> None:
    knob = KNOBS[name]
    assert knob.low <= knob.default <= knob.high
    pair = Pair()
    for value in (knob.low, knob.high):
        assert pair.call("a", "sysctl", name, value) is None
        assert pair.call("a", "sysctl", name) == value
    for value in (knob.low - 1, knob.high + 1):
        refused = pair.call("a", "sysctl", name, value)
        assert isinstance(refused, OSError)
        assert refused.errno == errno.EINVAL
        assert f"{name} takes {knob.low} .. {knob.high} ({knob.unit}), not {value}" in str(refused).replace(
            f"from {knob.low}", f"{knob.low} .. {knob.high}"
        )
    assert pair.call("a", "sysctl", name) == knob.high, "a refused value changes nothing"
    assert pair.call("b", "sysctl", name) == knob.default, "each host has its own"


@pytest.mark.parametrize("name", SEVERAL)
def test_several_numbers(name: str) -> None:
    knob = KNOBS[name]
    assert isinstance(knob.default, tuple)
    pair = Pair()
    high = [knob.low + 1] * len(knob.default)
    assert pair.call("a", "sysctl", name, " ".join(str(number) for number in high)) is None
    assert pair.call("a", "sysctl", name) == tuple(high)
    assert pair.a.sysctl.changed() == {name: " ".join(str(number) for number in high)}
    for wrong in (knob.low, "1", f"{knob.low - 1} {knob.low}", "a b c", "", "1 2 3 4"):
        assert pair.errno("a", "sysctl", name, wrong) == errno.EINVAL


@pytest.mark.parametrize("name", KNOBS)
def test_each_knob_is_explained(name: str) -> None:
    knob = KNOBS[name]
    assert knob.unit
    assert knob.text
    assert knob.source


@pytest.mark.parametrize(
    "name", ["", "tcp_fastopen_blackhole", "net.ipv4.tcp_sack", "get", "set", "__class__", "changed"]
)
def test_what_is_no_knob(name: str) -> None:
    pair = Pair()
    assert pair.errno("a", "sysctl", name) == errno.ENOENT
    assert pair.errno("a", "sysctl", name, 1) == errno.ENOENT
    assert pair.a.sysctl.changed() == {}


def test_changed_names_what_differs_from_linux() -> None:
    pair = Pair()
    assert pair.a.view(0).sysctl == {}
    pair.set("a", tcp_sack=0, somaxconn=7)
    assert pair.a.view(0).sysctl == pair.a.sysctl.changed() == {"somaxconn": 7, "tcp_sack": 0}
    pair.set("a", tcp_sack=1)
    assert pair.a.view(0).sysctl == {"somaxconn": 7}


def test_time_to_live() -> None:
    pair = Pair()
    pair.set("a", ip_default_ttl=3)
    pair.connect()
    (frame,) = (frame for host, frame, _ in pair.frames if host == "a")
    assert frame[22] == 3
