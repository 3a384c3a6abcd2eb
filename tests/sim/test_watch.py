"""A world on the screen is the world that failed: it stops at the same instant, for the same reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from test_oracle import found, lose_an_octet

from tcplab.api.events import Ended, Sent
from tcplab.host.sockets import Socket
from tcplab.lab.errors import LabError
from tcplab.lab.session import Local
from tcplab.lab.simulate import draw, many, play
from tcplab.lab.simulate.watch import Replay
from tcplab.tcp import reassembly

LONG = "jump 3000m"


def test_a_lost_octet_is_watched_up_to_where_it_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    lose_an_octet(monkeypatch)
    seed, kind = found(("wrong octets",))
    finding = many.find(play.play(draw.plan(seed)))
    least = play.play(many.load(finding.replay))
    replay = Replay(finding.replay)
    session = Local(replay)
    replay.start_paced()
    before = session.pull(0)
    assert not before.view.playing, "it waits for its reader"
    assert least.text in before.view.exercise.goal
    assert all(type(item).__name__.lower() in before.view.exercise.brief for item in finding.least)
    assert session.do(LONG).code == 0
    after = session.pull(0)
    assert after.view.exercise.error == least.text
    assert after.view.exercise.error.startswith(kind)
    assert after.view.t == least.at
    assert not after.view.playing
    assert isinstance(after.events[-1], Ended)
    assert sum(isinstance(event, Sent) for event in after.events) == least.frames
    for line in ("play", "step", "next", "jump"):
        assert "`restart` plays it again" in session.do(line).text
    assert session.do("restart").code == 0
    assert session.do(f"jump {least.at - 1}ns").code == 0
    assert session.pull(0).view.exercise.error == ""
    session.close()


def test_a_crash_ends_the_world_and_not_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "insert", lambda *_: 1 // 0)
    seed, kind = found(("ZeroDivisionError",))
    replay = Replay(str(seed))
    replay.start_paced(1000)
    assert replay.do("play").code == 0
    while not replay.ended:
        replay.catch_up()
    assert replay.view().exercise.error.startswith(kind)
    assert not replay.world.loop.playing


def test_what_is_wrong_only_at_the_end_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that nobody wakes."""
    monkeypatch.setattr(Socket, "readable", lambda self: None)
    seed, kind = found(("stuck",))
    replay = Replay(str(seed))
    replay.do(LONG)
    assert replay.view().exercise.error.startswith(kind)


@pytest.mark.parametrize("seed", range(3, 150, 12))
def test_a_world_without_a_fault_runs_to_its_end(seed: int, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(msgspec.json.encode(draw.plan(seed)))
    replay = Replay(str(plan))
    for _ in range(100):
        if replay.ended:
            break
        replay.do(LONG)
    assert (replay.phase, replay.error) == ("done", "")
    assert replay.world.digest.hexdigest() != ""
    assert replay.world.frames == play.play(draw.plan(seed)).frames


def test_nobody_changes_it() -> None:
    replay = Replay("7")
    for line in ("a connect b:80 as c1", "load handshake", "drop a>b", "a sysctl tcp_sack=0"):
        reply = replay.do(line)
        assert reply.code == 2
        assert "only looking" in reply.text
    with pytest.raises(LabError, match="neither a seed"):
        Replay("seven")
