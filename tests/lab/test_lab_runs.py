"""Labs that run: scripts, stops, predictions, checks, the third party; and labs that prove themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcplab.api.events import Called, Dropped, Sent
from tcplab.lab import catalogue, progress
from tcplab.lab.check_pack import outcome, prove
from tcplab.lab.exercise import load, read
from tcplab.lab.runner import Runner

LABS = ("handshake", "syn-retry", "accept-full")
"""Run on veth too, again and again."""


@pytest.fixture(autouse=True)
def _own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def script(tmp_path: Path, text: str) -> Runner:
    file = tmp_path / "test.lab"
    file.write_text(text)
    return Runner(load(str(file)))


@pytest.mark.parametrize("lab", [info.id for info in catalogue.all()])
def test_every_check_holds(lab: str) -> None:
    runner = Runner(load(lab))
    runner.run_headless()
    assert [check.status for check in runner.verdicts()] == ["passed"] * len(runner.verdicts())
    assert runner.passed is True
    assert progress.passed() == {}, "nobody predicted"


def test_labs_prove_themselves() -> None:
    from tcplab.engines.probe import choose_engine

    findings = list(prove([], seeds=5, veth=choose_engine()[0] == "veth"))
    assert [finding for finding in findings if not finding.ok] == []
    assert {finding.lab for finding in findings} == {info.id for info in catalogue.all()}


def test_a_second_flood_is_another_one(tmp_path: Path) -> None:
    flood = "inject flood b:80 rate=1000/s count=10\nwait 100ms\n"
    runner = script(tmp_path, f"b listen 80 backlog=64\n{flood}{flood}mark full\n")
    runner.run_headless()
    assert runner.record.instants["full"].hosts["b"].listeners[0].syn_len == 20


def test_fast_open_in_a_script(tmp_path: Path) -> None:
    text = 'a connect b:80 as {0} fastopen="GET /"\nwait 100ms\nb accept 80 as s{0}\nb recv s{0} 100\nwait 100ms\n'
    opening = "b sysctl tcp_fastopen=0x403\nb listen 80\n"
    runner = script(tmp_path, opening + text.format("c1") + text.format("c2"))
    runner.run_headless()
    sent = [event for event in runner.events if isinstance(event, Sent)]
    synced = [event for event in sent if "RFC 7413" in event.ref]
    assert len(synced) == 4, "a request, the cookie, data with the cookie, its acknowledgement"
    assert [event.octets for event in runner.events if isinstance(event, Called) and event.op == "sendto"] == [5, 5]
    assert [event.octets for event in runner.events if isinstance(event, Called) and event.op == "recv"] == [5, 5]


@pytest.mark.namespaces
@pytest.mark.parametrize("lab", LABS)
def test_veth_and_sim_tell_the_same_story_twice(lab: str) -> None:
    from tcplab.engines.probe import choose_engine

    engine, notice = choose_engine()
    if engine != "veth":
        pytest.skip(notice)
    for seed in range(1, 6):
        runs = {outcome(load(lab), engine, seed).trace for engine in ("veth", "sim", "veth", "sim")}
        assert len(runs) == 1


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('fails = ["a-first"]', 'fails = ["no-more"]', "fails also a-first; does not fail no-more"),
        ('fails = ["a-first"]', "fails = []", "it names no check"),
        ("eq = 3\n", "eq = 4\n", "failed: no-more"),
        ('"b close s1" = "a close c1"', '"b close s9" = "a close c1"', "the script has no line 'b close s9'"),
        ("[reveal]\ntext", "[[hint]]\ntext", "it lacks: two hints"),
    ],
)
def test_a_lab_that_proves_nothing_is_found(tmp_path: Path, old: str, new: str, what: str) -> None:
    text = Path(str(catalogue.find("handshake"))).read_text()
    assert old in text
    file = tmp_path / "x.toml"
    file.write_text(text.replace(old, new, 1))
    assert any(what in finding.detail for finding in prove([str(file)], seeds=1) if not finding.ok)


def test_two_labs_of_one_id_are_found(tmp_path: Path) -> None:
    copy = tmp_path / "x.toml"
    copy.write_text(Path(str(catalogue.find("handshake"))).read_text())
    bad = [finding for finding in prove(["handshake", str(copy)], seeds=1) if not finding.ok]
    assert [finding.what for finding in bad] == ["its id is its own"]


# --- a learner --------------------------------------------------------------------------------------------------------


def live(lab: str) -> Runner:
    """A lab at its first stop."""
    runner = Runner(load(lab))
    runner.start_paced(1_000_000)
    while not runner.asking:
        runner.catch_up()
    return runner


def finish(runner: Runner) -> None:
    while not runner.ended:
        runner.do("jump 1s")


def test_predictions_lock_and_the_debrief_tells() -> None:
    runner = live("handshake")
    view = runner.view().exercise
    assert view.phase == "predict"
    assert [predict.asked for predict in view.predicts] == [True, True]
    assert all(predict.right is None for predict in view.predicts)
    assert runner.do("play").code == 2
    assert runner.do("predict acknowledges banana").code == 2
    assert runner.do("predict acknowledges same").code == 0
    assert "an answer stays" in runner.do("predict acknowledges plus-one").text
    assert runner.view().exercise.phase == "predict"
    runner.do("predict first a")
    finish(runner)
    view = runner.view().exercise
    assert [predict.right for predict in view.predicts] == [False, True]
    assert "not a receipt" in view.predicts[0].because
    assert view.claim
    assert view.truth
    assert view.reveal
    assert runner.passed
    assert list(progress.passed()) == ["handshake"], "a wrong prediction never fails the exercise"


def test_numbers_are_predicted_as_numbers() -> None:
    runner = live("syn-retry")
    runner.do("predict syns 4")
    runner.do("predict gives-up 15.0 s")
    finish(runner)
    assert [predict.right for predict in runner.view().exercise.predicts] == [True, True]


def test_restart_gives_the_same_run_again() -> None:
    runner = Runner(load("accept-full"))
    runner.run_headless()
    first = list(runner.events)
    runner.do("restart")
    assert runner.events == []
    runner.run_headless()
    assert runner.events == first


def test_load_opens_another_lab_and_keeps_the_old_when_there_is_none() -> None:
    runner = Runner(load("handshake"))
    assert runner.do("load nosuch").code == 2
    assert runner.source.name == "handshake"
    assert runner.do("load syn-retry").code == 0
    assert runner.view().exercise.id == "syn-retry"


def test_hints_solution_and_check() -> None:
    runner = live("accept-full")
    assert "hint 1 of 2" in runner.do("hint").text
    assert "hint 2 of 2" in runner.do("hint").text
    assert runner.view().exercise.hints_shown == 2
    assert "Linux calls the queue full" in runner.do("solution").text
    assert runner.do("check").text.startswith("waiting")


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_until_goes_on_at_the_very_instant(tmp_path: Path) -> None:
    runner = script(
        tmp_path, "b listen 80\na connect b:80 as c1\nuntil b c1 ESTABLISHED within 5s\nmark open\nwait 1s\n"
    )
    runner.run_headless()
    assert runner.record.instants["open"].t == 15_000_000
    assert runner.error == ""
    assert runner.world.loop.now == 1_015_000_000


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "a connect b:80 as c1\nuntil b c1 ESTABLISHED within 5s\n",
            "test.lab:2: until b c1 ESTABLISHED within",
        ),
        ("wait 2s\nat 1s\n", "test.lab:2: it is 2 s already, past 1 s"),
        ("b listen 80\nb listen 80\n", "test.lab:2: b listen 80: port 80 is in use"),
        ("a sysctl tcp_nosuch=1\n", "test.lab:1: a sysctl tcp_nosuch=1: no sysctl tcp_nosuch"),
        ("b accept 80 as s1\n", "test.lab:1: nothing listens on b:80; first: b listen 80"),
        ("a connect a:80 as c1\n", "test.lab:1: a connect a:80 as c1: ECONNREFUSED"),
        ("inject flood b:80 rate=10/s count=99999\n", "test.lab:1: count=99999 is too many"),
    ],
)
def test_a_script_that_cannot_go_on_says_where(tmp_path: Path, text: str, error: str) -> None:
    runner = script(tmp_path, text)
    runner.run_headless()
    assert runner.view().exercise.phase == "error"
    assert error in runner.error
    assert runner.passed is False


def opened(tmp_path: Path) -> Runner:
    runner = script(tmp_path, "b listen 80\na connect b:80 as c1\nb accept 80 as s1\nwait 1s\n")
    runner.run_headless()
    return runner


RESETS = [
    ("exact", False, ""),
    ("in-window", True, "RST inexact"),
    ("outside", True, "RST outside"),
    ("+100", True, "RST inexact"),
    ("-1", True, "RST outside"),
]


@pytest.mark.parametrize(("seq", "lives", "drop"), RESETS)
def test_forged_resets(tmp_path: Path, seq: str, lives: bool, drop: str) -> None:
    runner = opened(tmp_path)
    assert runner.do(f"inject rst c1 to=b seq={seq}").code == 0
    runner.do("jump 100ms")
    assert bool(runner.view().b.conns) is lives
    assert [event.reason for event in runner.events if isinstance(event, Dropped)] == ([drop] if drop else [])


def test_a_name_works_on_both_hosts(tmp_path: Path) -> None:
    runner = opened(tmp_path)
    assert runner.do("b send c1 1000").code == 0
    assert runner.do("a send s1 1000").code == 0
    runner.do("jump 100ms")
    view = runner.view()
    assert (view.a.conns[0].recv_q, view.b.conns[0].recv_q) == (1000, 1000)
    assert (view.a.conns[0].alias, view.b.conns[0].alias) == ("c1", "s1")
    assert "ESTAB" in runner.do("ss a").text
    assert "TcpActiveOpens" in runner.do("nstat a").text


def test_rules_on_the_wire_are_seen_and_taken_off(tmp_path: Path) -> None:
    runner = opened(tmp_path)
    runner.do("drop a>b data conn=c1 nth=1")
    assert runner.view().faults == ("drop a>b data conn=c1 nth=1",)
    runner.do("a send c1 10")
    runner.do("jump 1s")
    assert runner.view().faults == ()
    assert sum(event.rtx for event in runner.events if isinstance(event, Sent)) == 1
    runner.do("drop both p=5%")
    assert runner.do("clear").text == "1 rules taken off the wire"


def test_the_clock_obeys(tmp_path: Path) -> None:
    runner = opened(tmp_path)
    runner.do("a close c1")
    runner.do("b close s1")
    assert "s" in runner.do("next").text
    for _ in range(8):
        runner.do("next")
    assert runner.view().a.conns == runner.view().b.conns == ()
    assert runner.do("next").text == "no state will change by itself"
    assert runner.do("step").text.startswith("nothing is due")
    assert runner.do("rate 1/4").code == 0
    assert runner.view().rate == (1, 4)


CONSOLE = [
    "a close c1",
    "b close s1",
    "a send c1 5000",
    "b recv s1 9999",
    "a send c1 100 more",
    "b recv s1 10 peek",
    "a abort c1",
    "inject rst c1 to=a",
    "jump 1s",
    "step",
    "next",
    "drop a>b nth=1",
    "delay both 9ms",
    "clear",
    "a connect b:80 as c2",
    "b accept 80 as s2",
    "b close 80",
    "restart",
    "wait 1s",
    "b listen 80",
    "play",
    "pause",
    "frob",
    "inject flood b:80 rate=1000/s count=20",
    "a setsockopt c1 TCP_NODELAY 1",
    "b setsockopt 80 TCP_CONGESTION reno",
    "a getsockopt c1 SO_LINGER",
    "a tcp_info c1",
    "a listen 81",
    "a connect a:81 as own",
    "a accept 81 as owns",
    "drop both conn=own",
    "a send own 10",
    "b getsockopt 80 TCP_INFO",
    "nstat a all",
    "mark x",
    "check",
    "ss a",
    "a shutdown c1 wr",
    "predict x y",
    "b serve echo 80",
    "a sysctl tcp_sack=7",
    "a accept 1 as z",
    "solution",
    "hint",
    "nstat b",
    "help",
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(st.sampled_from(CONSOLE), max_size=12))
def test_no_line_ever_raises(tmp_path: Path, lines: list[str]) -> None:
    runner = opened(tmp_path)
    for line in lines:
        runner.do(line)
        runner.view()
    runner.close()


def test_a_mutant_is_another_lab() -> None:
    path = str(catalogue.find("handshake"))
    text = Path(path).read_text()
    source = load("handshake")
    assert source.exercise is not None
    mutant = read(text, path, source.exercise.mutant[2])
    assert [line for line in mutant.lines if " close " in line] == ["b close s1", "a close c1"]


def test_options_and_flags_from_the_console(tmp_path: Path) -> None:
    runner = opened(tmp_path)
    assert runner.do("a setsockopt c1 TCP_CONGESTION reno").code == 0
    assert "there are reno" in runner.do("a setsockopt c1 TCP_CONGESTION vegas").text
    assert runner.do("b setsockopt 80 TCP_DEFER_ACCEPT 5").text == "80: TCP_DEFER_ACCEPT = 5"
    assert runner.do("b getsockopt 80 TCP_DEFER_ACCEPT").text == "80: TCP_DEFER_ACCEPT = 7"
    assert runner.do("a setsockopt c1 SO_LINGER 1 3").code == 0
    assert runner.do("a getsockopt c1 SO_LINGER").text == "c1: SO_LINGER = 1 3"
    assert runner.do('a send c1 "hello " more').code == 0
    runner.do("jump 100ms")
    assert runner.view().b.conns[0].recv_q == 0, "it waits for more"
    assert runner.do('a send c1 "world"').code == 0
    runner.do("jump 100ms")
    runner.do("b recv s1 5 peek")
    assert runner.view().b.conns[0].recv_q == 11
    assert "tcpi_bytes_sent 11\n" in runner.do("a tcp_info c1").text
    assert "tcpi_sacked 16" in runner.do("b tcp_info 80").text
    assert "TcpExtTCPOFOQueue" in runner.do("nstat a all").text


def test_a_host_talks_to_itself(tmp_path: Path) -> None:
    runner = script(tmp_path, "a listen 80\na connect a:80 as c1\na accept 80 as s1\na send c1 1000\na recv s1 1000\n")
    runner.run_headless()
    assert runner.error == ""
    assert sorted((conn.alias, conn.state) for conn in runner.view().a.conns) == [
        ("c1", "ESTABLISHED"), ("s1", "ESTABLISHED"),
    ]  # fmt: skip
    assert runner.view().frames == 0
    runner.do("a close c1")
    runner.do("a close s1")
    runner.do("jump 1s")
    assert [conn.state for conn in runner.view().a.conns] == ["TIME_WAIT"]
