"""BBR beyond what a packet script reaches: its filters, a bottleneck with a policer, and what a person sees of it."""

from __future__ import annotations

from itertools import groupby, pairwise

import pytest
from support.pair import Pair

from tcplab.api.events import Noted, Timer
from tcplab.host import tcp_info
from tcplab.lab.ss import ss
from tcplab.tcp.cc import bbr
from tcplab.tcp.cc.bbr_aggregation import Aggregation
from tcplab.tcp.cc.bbr_policer import BW_UNIT
from tcplab.tcp.cc.minmax import WindowedMax
from tcplab.tcp.pacing import rate_text
from tcplab.tcp.tcb import PACING, Tcb
from tcplab.units import MS, NEVER, SEC
from tcplab.wire.tcp import Segment


def bulk(pair: Pair, seconds: int, write: int = 60_000, every: int = 5 * MS) -> Tcb:
    """`a` sends with bbr as much as it may, `b` reads, and its window is not large."""
    pair.set("a", tcp_congestion_control="bbr")
    pair.set("b", tcp_rmem=(4096, 131_072, 131_072))
    client, server = pair.open()
    begun = pair.now
    while pair.now - begun < seconds * SEC:
        pair.call("a", "send", client, b"x" * write)
        pair.run(every)
        pair.call("b", "recv", server, 10_000_000)
    return of_a(pair)


def of_a(pair: Pair) -> Tcb:
    (conn,) = (flow for flow in pair.a.flows.values() if isinstance(flow, Tcb))
    return conn


def told(pair: Pair, begin: str) -> list[Noted]:
    return [event for event in pair.events if isinstance(event, Noted) and event.note.startswith(begin)]


# --- filters ----------------------------------------------------------------------------------------------------------


def test_the_greatest_of_the_last_ten() -> None:
    """Never less than the greatest of the window's younger half, never more than that of all of it."""
    values = [(index * 7919) % 101 for index in range(300)]
    best = WindowedMax(10)
    for now, value in enumerate(values):
        best.update(now, value)
        assert best.get() <= max(values[max(now - 10, 0) : now + 1])
        assert best.get() >= max(values[max(now - 2, 0) : now + 1])


def test_what_is_old_gives_way() -> None:
    best = WindowedMax(10)
    best.update(0, 100)
    for now, value in ((3, 50), (6, 40), (9, 30), (10, 20)):
        best.update(now, value)
        assert best.get() == 100
    best.update(11, 20)
    assert best.get() == 50, "the first left the window, the second takes its place"
    best.update(40, 1)
    assert best.get() == 1, "nothing of it is left"


def test_clumps_of_acks() -> None:
    """Ten at once where the bandwidth explains one: nine more may be in flight, for five to ten round trips."""
    clumps = Aggregation()
    bandwidth = BW_UNIT // 1000 + 1  # one segment a millisecond
    clumps.restart(0)
    clumps.update(bandwidth, 1000, 10, 100, round_start=False)
    assert clumps.cwnd(bandwidth) == 10, "a new epoch begins with what came"
    clumps.update(bandwidth, 2000, 10, 100, round_start=False)
    assert clumps.cwnd(bandwidth) == 19
    now = 1_000_000
    for _ in range(9):
        now += 10_000
        clumps.update(bandwidth, now, 1, 100, round_start=True)
        assert clumps.cwnd(bandwidth) == 19
    clumps.update(bandwidth, now + 10_000, 1, 100, round_start=True)
    assert clumps.cwnd(bandwidth) == 1
    clumps.update(bandwidth, now + 20_000, 5000, 4000, round_start=False)
    assert clumps.cwnd(bandwidth) == 100, "no more than 100 ms bring"


# --- a path -----------------------------------------------------------------------------------------------------------


def test_the_modes_one_after_the_other() -> None:
    """The peer's window ends the growth: the pipe seems full."""
    pair = Pair(delay=20 * MS)
    conn = bulk(pair, 3, write=200_000)
    modes = [event.note for event in told(pair, "BBR: ")]
    assert modes[:2] == ["BBR: STARTUP>DRAIN", "BBR: DRAIN>PROBE_BW"]
    assert all(event.why for event in told(pair, "BBR: "))
    controller = conn.cc
    assert isinstance(controller, bbr.Bbr)
    assert controller.mode == bbr.PROBE_BW
    assert controller.min_rtt_us == 40_000
    assert conn.ssthresh < 1 << 20


def gains(seed: int) -> list[int]:
    """The pacing gain in PROBE_BW, every 4 ms."""
    pair = Pair(delay=20 * MS, seed=seed)
    pair.set("a", tcp_congestion_control="bbr")
    pair.set("b", tcp_rmem=(4096, 131_072, 131_072))
    client, server = pair.open()
    seen: list[int] = []
    for _ in range(300):
        pair.call("a", "send", client, b"x" * 200_000)
        pair.run(4 * MS)
        pair.call("b", "recv", server, 10_000_000)
        controller = of_a(pair).cc
        assert isinstance(controller, bbr.Bbr)
        if controller.mode == bbr.PROBE_BW:
            seen.append(controller.pacing_gain)
    return seen


def test_a_quarter_more_and_a_quarter_less() -> None:
    """The cycle begins anywhere but at its second gain; the same seed begins at the same place."""
    first = gains(1)
    assert first == gains(1)
    assert len({gains(seed).index(320) for seed in range(2, 6)}) > 1
    seen = [gain for gain, _ in groupby(first)]
    assert seen[0] in (256, 320)
    for gain, following in pairwise(seen):  # what is less ends as soon as no more than the pipe holds is in flight
        assert following in {320: (192, 256), 192: (256,), 256: (320,)}[gain]


class Bucket:
    """A policer: so many octets a second, and a bucket of tokens."""

    def __init__(self, rate: int, depth: int) -> None:
        self.rate, self.depth, self.tokens = rate, depth, depth
        self.at = 0
        self.pair: Pair | None = None

    def lose(self, host: str, seg: Segment) -> bool:
        assert self.pair is not None
        if host != "a" or not seg.payload:
            return False
        self.tokens = min(self.depth, self.tokens + (self.pair.now - self.at) * self.rate // SEC)
        self.at = self.pair.now
        if self.tokens < len(seg.payload):
            return True
        self.tokens -= len(seg.payload)
        return False


def test_a_policer_is_found_out() -> None:
    """Two intervals that lose a fifth at the same rate: that rate is kept, and few are lost from then on."""
    bucket = Bucket(rate=300_000, depth=150_000)
    pair = Pair(delay=20 * MS, lose=bucket.lose)
    bucket.pair = pair
    conn = bulk(pair, 6, write=100_000)
    (found,) = told(pair, "BBR: a policer")[:1]
    controller = conn.cc
    assert isinstance(controller, bbr.Bbr)
    policed = controller.lt
    assert policed.use_bw
    assert 200_000 < conn.pacing_rate < 330_000
    after = [sent for sent in pair.sent if sent.host == "a" and sent.size and sent.t > found.t / SEC + 1]
    assert sum(sent.rtx for sent in after) < len(after) // 5


# --- what a person sees -----------------------------------------------------------------------------------------------


def test_the_timer_and_the_reasons() -> None:
    pair = Pair(delay=50 * MS)
    pair.set("a", tcp_congestion_control="bbr")
    client, _ = pair.open()
    pair.call("a", "send", client, b"x" * 60_000)
    pair.run(102 * MS)
    conn = of_a(pair)
    assert conn.expires[PACING] != NEVER
    (shown,) = (timer for timer in pair.conn("a").timers if timer.name == "pacing")
    assert "pacing rate" in shown.why
    armed = [event for event in pair.events if isinstance(event, Timer) and event.name == "pacing"]
    assert armed[0].op == "armed"
    assert armed[0].why.startswith("pacing at ")
    assert any("held: pacing" in event.note for event in told(pair, "held"))
    pair.run(60 * MS)
    assert any(sent.why.startswith("pacing at ") for sent in pair.sent)


def test_ss_tells_what_it_knows() -> None:
    pair = Pair(delay=20 * MS)
    bulk(pair, 1)
    text = ss(pair.a.view(pair.now), tcp_info.of_all(pair.a.flows.values()), pair.now)
    assert "bbr:(bw:" in text
    assert ",mrtt:40,pacing_gain:" in text
    assert "delivery_rate " in text
    assert "cwnd_gain:2)" in text


@pytest.mark.parametrize(("octets", "text"), [(999, "999 B/s"), (1_234_567, "1.2 MB/s"), (40_000, "40.0 kB/s")])
def test_a_rate_in_words(octets: int, text: str) -> None:
    assert rate_text(octets) == text


def test_who_paced_once_paces_on() -> None:
    """TCP_CONGESTION from bbr to reno on an open connection: sk_pacing_status stays, the rate is reno's."""
    pair = Pair(delay=50 * MS)
    pair.set("a", tcp_congestion_control="bbr")
    client, _ = pair.open()
    assert of_a(pair).pacing
    pair.call("a", "setsockopt", client, "TCP_CONGESTION", "reno")
    pair.call("a", "send", client, b"x" * 60_000)
    pair.run(110 * MS)
    assert of_a(pair).pacing
    assert len({sent.t for sent in pair.sent if sent.host == "a" and sent.size}) > 2
    assert pair.call("a", "getsockopt", client, "TCP_CC_INFO") == {}
