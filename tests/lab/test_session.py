"""Sessions: the same calls in-process and across a socket, and what a session says when its engine is gone."""

from __future__ import annotations

import socket
import struct

import pytest
from support.fake_lab import FakeLab

from tcplab.api.messages import Bye, Do, Pull, Reply
from tcplab.lab import framing
from tcplab.lab.session import Local, Remote, SessionEnded


def test_local_pulls_what_it_was_not_told_yet() -> None:
    session = Local(FakeLab())
    assert session.do("one") == Reply("console: one")
    session.do("two")
    update = session.pull(1)
    assert (update.first, update.gap, [event.line for event in update.events], update.run) == (1, 0, ["two"], 0)
    assert session.pull(2).events == ()


def test_a_slow_reader_gets_the_newest_and_the_size_of_the_gap() -> None:
    session = Local(FakeLab())
    for number in range(10):
        session.do(str(number))
    update = session.pull(2, most=3)
    assert (update.first, update.gap, [event.line for event in update.events]) == (7, 5, ["7", "8", "9"])


@pytest.mark.parametrize("since", [-5, 99])
def test_an_index_out_of_range_is_no_error(since: int) -> None:
    session = Local(FakeLab())
    session.do("one")
    assert session.pull(since).first in (0, 1)


def test_a_restart_begins_a_new_run_at_index_0() -> None:
    session = Local(FakeLab())
    for number in range(5):
        session.do(str(number))
    assert session.pull(0).run == 0
    session.do("restart")
    update = session.pull(5)
    assert (update.run, update.first, len(update.events)) == (1, 0, 1)
    assert session.pull(1).run == 1


def test_messages_survive_any_portions() -> None:
    octets = framing.pack(Do("a")) + framing.pack(Pull(3))
    inbox = framing.down()
    found = []
    for at in range(len(octets)):
        inbox.feed(octets[at : at + 1])
        if (message := inbox.next()) is not None:
            found.append(message)
    assert found == [Do("a"), Pull(3)]


@pytest.mark.parametrize(
    "octets",
    [
        struct.pack(">I", framing.LONGEST_DOWN + 1),
        struct.pack(">I", 3) + b"\xff\xff\xff",
        struct.pack(">I", 0),
        framing.pack(Reply("not for an engine")),
        framing.pack({"type": "Do"}),
        struct.pack(">I", 5000) + b"\x91" * 5000,
    ],
    ids=["too long", "no msgpack", "empty", "wrong message", "field missing", "nested deeply"],
)
def test_what_is_no_message_is_an_error_of_its_own(octets: bytes) -> None:
    inbox = framing.down()
    inbox.feed(octets)
    with pytest.raises(framing.FramingError):
        inbox.next()


def remote() -> tuple[Remote, socket.socket]:
    ours, theirs = socket.socketpair()
    return Remote(ours), theirs


def test_the_end_of_the_engine_ends_the_session_for_good() -> None:
    session, engine = remote()
    engine.close()
    for _ in range(2):
        with pytest.raises(SessionEnded, match="the engine is gone"):
            session.do("play")
    session.close()


def test_last_words_are_the_reason() -> None:
    session, engine = remote()
    engine.sendall(framing.pack(Bye("no veth here", 4)))
    engine.close()
    with pytest.raises(SessionEnded, match="no veth here") as ended:
        session.do("play")
    assert ended.value.code == 4
    session.close()


def test_an_answer_that_makes_no_sense_ends_the_session() -> None:
    session, engine = remote()
    with engine:
        engine.sendall(struct.pack(">I", 2) + b"\xff\xff")
        with pytest.raises(SessionEnded, match="makes no sense"):
            session.pull(0)
    session.close()
