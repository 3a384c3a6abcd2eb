"""Congestion controllers: CUBIC against Linux's own numbers, and the doors by which another one comes in."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from support.hand import Hand
from support.pair import Pair

from tcplab.engines import plugins
from tcplab.tcp import cc
from tcplab.tcp.cc import base
from tcplab.tcp.cc.cubic import BETA, HZ, Cubic, cubic_root, ticks
from tcplab.tcp.tcb import Tcb
from tcplab.units import MS, SEC
from tcplab.wire import tcp_options as opt

MSS = opt.mss(1000)


class Fixed(base.Controller):
    """Four segments, whatever happens."""

    __slots__ = ("samples", "states")

    name = "fixed"

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []
        self.states: list[str] = []

    def init(self, tcb: Tcb) -> None:
        tcb.cwnd = 4

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        return 4

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        tcb.cwnd = 4

    def on_sample(self, tcb: Tcb, acked: int, rtt_us: int) -> None:
        self.samples.append((acked, rtt_us))

    def on_state(self, tcb: Tcb, state: str) -> None:
        self.states.append(state)


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test registers is gone afterwards."""
    before = dict(cc.CONTROLLERS)
    yield
    cc.CONTROLLERS.clear()
    cc.CONTROLLERS.update(before)


# --- the doors --------------------------------------------------------------------------------------------------------


def test_a_controller_of_ones_own() -> None:
    cc.register("fixed", Fixed)
    pair = Pair(delay=50 * MS)
    fd = pair.call("a", "socket")
    assert pair.call("a", "setsockopt", fd, "TCP_CONGESTION", "fixed") is None
    assert pair.call("a", "getsockopt", fd, "TCP_CONGESTION") == "fixed"
    pair.listen()
    pair.call("a", "connect", fd, pair.b.addr, 80)
    pair.run(SEC)
    assert (pair.conn("a").congestion, pair.conn("a").cwnd, pair.conn("b").congestion) == ("fixed", 4, "cubic")
    pair.call("a", "send", fd, b"x" * 14_480)
    pair.run(SEC)
    mine = pair.a.sockets[fd].conn
    assert mine is not None
    assert isinstance(mine.cc, Fixed)
    assert [acked for acked, _ in mine.cc.samples] == [1] * 10, "each segment is acknowledged at once"
    assert {rtt for _, rtt in mine.cc.samples} == {100_000}


def test_the_one_in_the_readme() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    block = next(part for part in text.split("```") if part.startswith("python\n") and "Controller" in part)
    found: dict[str, Any] = {}
    exec(block.removeprefix("python\n"), found)
    cc.register("timid", found["Timid"])
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.call("a", "setsockopt", fd, "TCP_CONGESTION", "timid") is None
    pair.listen()
    pair.call("a", "connect", fd, pair.b.addr, 80)
    pair.run(20 * MS)
    pair.lose = lambda host, seg: host == "a" and len(seg.payload) > 0
    pair.call("a", "send", fd, b"x" * 14_480)
    pair.run(SEC)
    assert (pair.conn("a").ca_state, pair.conn("a").ssthresh) == ("Loss", 2)


@pytest.mark.parametrize("name", ["", "Upper", "4ever", "with space", "much_too_long_a_name"])
def test_names_that_linux_could_not_have(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a congestion control"):
        cc.register(name, Fixed)


def test_a_name_has_one_controller() -> None:
    cc.register("fixed", Fixed)
    cc.register("fixed", Fixed)
    with pytest.raises(ValueError, match="there is a congestion control cubic already"):
        cc.register("cubic", Fixed)


def test_an_installed_package_offers_one(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {
        "fixed": EntryPoint("fixed", f"{__name__}:Fixed", plugins.CONGESTION),
        "broken": EntryPoint("broken", "no_such_module:Nothing", plugins.CONGESTION),
    }

    def entry_points(group: str, name: str) -> EntryPoints:
        assert group == "tcplab.congestion"
        return EntryPoints([offered[name]] if name in offered else [])

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    cc.look_in(plugins.congestion)
    pair = Pair()
    assert pair.call("a", "sysctl", "tcp_available_congestion_control") == "reno cubic bbr"
    assert pair.call("a", "sysctl", "tcp_congestion_control", "fixed") is None
    assert pair.call("a", "sysctl", "tcp_available_congestion_control") == "reno cubic bbr fixed"
    assert pair.call("a", "getsockopt", pair.call("a", "socket"), "TCP_CONGESTION") == "fixed"
    for name, why in (("broken", "broken (no_such_module:Nothing) cannot be loaded"), ("nonesuch", "no congestion")):
        refused = pair.call("a", "sysctl", "tcp_congestion_control", name)
        assert isinstance(refused, OSError)
        assert refused.errno == errno.ENOENT
        assert why in str(refused)


# --- who gets which ---------------------------------------------------------------------------------------------------


def test_a_listener_hands_its_choice_down_else_the_hosts_counts() -> None:
    pair = Pair()
    plain, chosen = pair.listen(port=80), pair.listen(port=81)
    assert pair.call("b", "setsockopt", chosen, "TCP_CONGESTION", "cubic") is None
    pair.set("b", tcp_congestion_control="reno")
    names = []
    for listener, port in ((plain, 80), (chosen, 81)):
        fd = pair.call("a", "socket")
        pair.call("a", "connect", fd, pair.b.addr, port)
        pair.run(20 * MS)
        server = pair.call("b", "accept", listener)[0]
        names.append(pair.call("b", "getsockopt", server, "TCP_CONGESTION"))
        assert pair.call("b", "getsockopt", listener, "TCP_CONGESTION") == "cubic"
    assert names == ["reno", "cubic"]


def test_a_socket_keeps_what_was_the_default_when_it_was_made() -> None:
    pair = Pair()
    pair.listen()
    fd = pair.call("a", "socket")
    pair.set("a", tcp_congestion_control="reno")
    pair.call("a", "connect", fd, pair.b.addr, 80)
    pair.run(20 * MS)
    assert pair.conn("a").congestion == "cubic"
    assert pair.call("a", "setsockopt", fd, "TCP_CONGESTION", "reno") is None
    assert pair.conn("a").congestion == "reno", "and it may be changed on an open connection"


def test_only_what_is_allowed_can_be_chosen() -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.call("a", "sysctl", "tcp_allowed_congestion_control") == "reno cubic bbr"
    assert pair.call("a", "sysctl", "tcp_allowed_congestion_control", "reno") is None
    assert pair.errno("a", "setsockopt", fd, "TCP_CONGESTION", "cubic") == errno.EPERM
    assert pair.call("a", "setsockopt", fd, "TCP_CONGESTION", "reno") is None
    assert pair.errno("a", "sysctl", "tcp_allowed_congestion_control", "reno nonesuch") == errno.ENOENT
    assert pair.errno("a", "sysctl", "tcp_available_congestion_control", "reno") == errno.EPERM
    assert pair.errno("a", "sysctl", "tcp_congestion_control", "nonesuch") == errno.ENOENT


# --- CUBIC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [1, 2, 3, 4, 7, 10, 63, 100, 1000, 20_000])
def test_the_cube_root_is_near(root: int) -> None:
    found = cubic_root(root**3)
    assert abs(found - root) <= max(root // 100, 1)


def test_a_tick_is_four_milliseconds_and_never_zero() -> None:
    assert HZ == 250
    assert [ticks(at * MS) for at in (0, 3, 4, 1000)] == [1, 1, 2, 251]


def grow(hand: Hand, seconds: int, rtt: int = 100) -> list[int]:
    """The peer acknowledges all but the last segment once in `rtt` ms: cwnd after each second."""
    seen = []
    for _ in range(seconds):
        hand.send(1_500_000)
        for _ in range(1000 // rtt):
            hand.pair.run(rtt * MS)
            nxt = (hand.pair.conn("a").snd_nxt - hand.theirs) & 0xFFFFFFFF
            hand.say(ack=nxt - 1000)
        seen.append(hand.pair.conn("a").cwnd)
    return seen


def reference(cwnd: int, origin: int, t_ms: int, rtt_ms: int) -> float:
    """W_cubic(t) of RFC 9438 section 4.2, with C = 0.4."""
    k = ((origin - cwnd) / 0.4) ** (1 / 3)
    return origin + 0.4 * ((t_ms + rtt_ms) / 1000 - k) ** 3


def test_growth_after_a_loss_is_the_cubic_curve() -> None:
    hand = Hand(MSS + opt.nop() + opt.window_scale(10), rtt=100 * MS)
    hand.pair.call("a", "setsockopt", hand.fd, "SO_SNDBUF", 4 << 20)
    conn = hand.pair.a.sockets[hand.fd].conn
    assert conn is not None
    assert isinstance(conn.cc, Cubic)
    conn.cwnd, conn.ssthresh = 100 * BETA // 1024, 70
    conn.cc.last_max = 100
    seen = grow(hand, 7)
    for second, cwnd in enumerate(seen, 1):
        assert cwnd == pytest.approx(reference(70, 100, 1000 * second, 100), abs=4), seen


def test_an_idle_second_does_not_count() -> None:
    hand = Hand(MSS, rtt=100 * MS)
    conn: Any = hand.pair.a.sockets[hand.fd].conn
    conn.cc.epoch_start = ticks(hand.pair.now)
    before = conn.cc.epoch_start
    hand.send(1)
    hand.pair.run(100 * MS)
    hand.say(ack=1)
    hand.pair.run(900 * MS)
    hand.send(1)
    assert conn.cc.epoch_start == before + ticks(hand.pair.now) - ticks(hand.pair.now - SEC)


def test_fast_convergence() -> None:
    hand = Hand(MSS)
    conn: Any = hand.pair.a.sockets[hand.fd].conn
    conn.cwnd = 100
    assert (conn.cc.ssthresh(conn, "loss"), conn.cc.last_max) == (70, 100)
    conn.cwnd = 80
    assert (conn.cc.ssthresh(conn, "loss"), conn.cc.last_max) == (56, 68), "80 was less than 100: 0.85 of it"
    conn.cwnd = 2
    assert conn.cc.ssthresh(conn, "loss") == 2
