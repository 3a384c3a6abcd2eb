"""Rules on the wire: which frames they mean, and what becomes of those."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tcplab.link.match import Match
from tcplab.link.stages import Delay, Drop, Duplicate, Fate, Link, Mark, Verdict
from tcplab.rng import Rng
from tcplab.units import MS

A, B = 0x0A4D0001, 0x0A4D0002
FRAME = bytes(60)


def segment(flags="A", length=0, saddr=A, sport=40001, daddr=B, dport=80, proto="tcp"):
    return SimpleNamespace(
        proto=proto, flags=flags, len=length, saddr=saddr, sport=sport, daddr=daddr, dport=dport
    )  # fmt: skip


def wire(*rules, seed=1, delay=5 * MS):
    link = Link(Rng(seed), delay)
    for rule in rules:
        link.add(rule)
    return link


def fates(link, *segments, direction="a>b", now=0):
    """`L` lost, `D` delayed, `C` copied, `M` marked, `.` arrives; one word per frame."""
    letter = {Fate.LOST: "L", Fate.DELAYED: "D", Fate.COPIED: "C", Fate.MARKED: "M", Fate.ARRIVES: "."}
    return ["".join(letter[v.fate] for v in link.frame(now, direction, FRAME, s)) for s in segments]


def test_without_rules_frames_arrive_after_the_delay():
    assert wire().frame(7, "a>b", FRAME) == [Verdict(Fate.ARRIVES, 7 + 5 * MS)]


def test_drop_names_its_own_text():
    link = wire(Drop(Match("b>a", flags="SA"), "drop b>a flags=SA"))
    assert link.frame(0, "b>a", FRAME, segment("SA")) == [Verdict(Fate.LOST, why="drop b>a flags=SA")]
    assert fates(link, segment("SA"), direction="a>b") == ["."]
    assert fates(link, segment("S"), segment("A"), segment("RA"), direction="b>a") == [".", ".", "."]


def test_nth_is_that_one_and_then_the_rule_is_gone():
    rule = Drop(Match("a>b", flags="A", nth=2), "drop a>b flags=A nth=2")
    link = wire(rule)
    assert fates(link, segment(), segment("S")) == [".", "."]
    assert link.rules == (rule,)
    assert fates(link, segment(), segment()) == ["L", "."]
    assert link.rules == ()


def test_count_is_the_first_so_many_and_nth_with_count_a_run():
    assert fates(wire(Drop(Match(count=2), "")), *[segment()] * 4) == ["L", "L", ".", "."]
    assert fates(wire(Drop(Match(nth=2, count=2), "")), *[segment()] * 5) == [".", "L", "L", ".", "."]


def test_data_port_and_flow_look_into_tcp_only():
    assert fates(wire(Drop(Match(data=True), "")), segment(), segment("PA", 5)) == [".", "L"]
    by_port = wire(Drop(Match(port=80), ""))
    assert fates(by_port, segment(), segment(sport=80, dport=9), segment(dport=81)) == ["L", "L", "."]
    by_flow = wire(Drop(Match(flow=(A, 40001, B, 80)), ""))
    back = segment(saddr=B, sport=80, daddr=A, dport=40001)
    assert fates(by_flow, segment(), back, segment(sport=40002)) == ["L", "L", "."]
    assert fates(wire(Drop(Match(data=True), "")), segment("", 5, proto="icmp")) == ["."]


def test_a_rule_without_any_header_means_every_frame():
    assert fates(wire(Drop(Match(), "")), segment(proto="arp"), None) == ["L", "L"]


def test_a_rule_that_looks_inside_reads_the_frame_when_nobody_did(monkeypatch):
    monkeypatch.setattr("tcplab.link.stages.describe", lambda frame: segment("SA"))
    assert fates(wire(Drop(Match(flags="SA"), "")), None) == ["L"]


def test_delays_add_up_and_let_others_overtake():
    link = wire(Delay(Match(nth=1), 20 * MS, "delay one"), Delay(Match(nth=1), 10 * MS, "delay two"))
    assert link.frame(0, "a>b", FRAME, segment()) == [
        Verdict(Fate.DELAYED, 25 * MS, "delay one"),
        Verdict(Fate.DELAYED, 35 * MS, "delay two"),
        Verdict(Fate.ARRIVES, 35 * MS),
    ]
    assert link.frame(1, "a>b", FRAME, segment()) == [Verdict(Fate.ARRIVES, 5 * MS + 1)]


def test_jitter_is_seeded_and_bounded():
    def arrivals(seed):
        link = wire(Delay(Match(), 20 * MS, "", jitter=2 * MS), seed=seed)
        return [link.frame(0, "a>b", FRAME, segment())[-1].at for _ in range(200)]

    assert arrivals(1) == arrivals(1) != arrivals(2)
    assert 23 * MS <= min(arrivals(1)) < max(arrivals(1)) <= 27 * MS


def test_a_copy_arrives_behind_its_original():
    assert fates(wire(Duplicate(Match(nth=1), "dup")), segment(), segment()) == [".C.", "."]


def test_the_first_rule_that_loses_a_frame_ends_its_way():
    link = wire(Drop(Match(nth=1), "first"), Drop(Match(nth=1), "second"))
    assert [link.frame(0, "a>b", FRAME, segment())[0].why for _ in range(2)] == ["first", "second"]
    assert fates(link, segment()) == ["."]


def test_without_rules_of_delay_frames_never_overtake_even_when_the_wire_gets_shorter():
    link = wire()
    assert link.frame(0, "a>b", FRAME)[0].at == 5 * MS
    link.delay = MS
    assert link.frame(1, "a>b", FRAME)[0].at == 5 * MS
    assert link.frame(1, "b>a", FRAME)[0].at == MS + 1


def test_chance_is_seeded_and_each_rule_has_its_own():
    def lost(seed, *extra):
        link = wire(Drop(Match(ppm=50_000), "p=5%"), *extra, seed=seed)
        return [n for n in range(2000) if fates(link, segment())[0] == "L"]

    assert lost(1) == lost(1) != lost(2)
    assert 60 < len(lost(1)) < 140
    assert lost(1, Duplicate(Match(ppm=500_000), "another")) == lost(1)


def test_clear_takes_all_rules_off():
    link = wire(Drop(Match(), ""))
    link.clear()
    assert link.rules == ()
    assert fates(link, segment()) == ["."]


@pytest.mark.parametrize("wrong", [{"direction": "b>b"}, {"nth": 0}, {"count": 0}, {"ppm": 1_000_001}, {"ppm": -1}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        Match(**wrong)


def test_a_mark_is_told_before_the_arrival_and_only_of_the_frames_that_match():
    link = wire(Mark(Match("a>b", data=True, nth=2), "ce a>b data nth=2"))
    assert fates(link, segment(), segment("PA", 5), segment("PA", 5), segment("PA", 5)) == [".", ".", "M.", "."]
    assert link.rules == ()
