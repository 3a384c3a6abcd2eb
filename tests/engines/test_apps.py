"""Scripted applications against a host whose answers are written down."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from tcplab.engines import apps
from tcplab.engines.apps import Apps

AGAIN = BlockingIOError(errno.EAGAIN, "again")


class ScriptedHost:
    """Answers each socket call from a list: (op, what it returns or raises)."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []
        self.waits = []

    def call(self, now, op, *args):
        if op == "conn":
            return "10.77.0.1:40001>10.77.0.2:80"
        self.calls.append((op, *args))
        expected, answer = self.answers.pop(0)
        assert expected == op
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, fd, writable, wake):
        self.waits.append((fd, writable, wake))

    def wake(self):
        _, _, wake = self.waits.pop(0)
        wake()
        wake()  # a host that wakes twice does no harm


def run(host, program, events=None):
    runner = Apps(
        {"a": host}, SimpleNamespace(now=7), events.append if events is not None else None, lambda: runner.run_ready()
    )
    return runner, runner.start("a", "c1", program)


def test_connect_waits_until_writable_and_asks_how_it_went():
    host = ScriptedHost(
        ("socket", 3),
        ("setsockopt", None),
        ("connect", BlockingIOError(errno.EINPROGRESS, "in progress")),
        ("getsockopt", 0),
    )
    events = []
    runner, task = run(host, apps.connect(1, 80, (("setsockopt", "TCP_NODELAY", 1),)), events)
    assert (task.done, task.fd) == (False, 3)
    assert host.waits[0][:2] == (3, True)
    host.wake()
    runner.run_ready()
    assert (task.done, task.result, task.error) == (True, 3, None)
    assert host.calls[-1] == ("getsockopt", 3, "SO_ERROR")
    assert [(event.op, event.args, event.result, event.errno) for event in events] == [
        ("socket", "", "3", ""),
        ("setsockopt", "TCP_NODELAY 1", "", ""),
        ("connect", "0.0.0.1:80", "", ""),
    ]


def test_a_refused_connection_is_an_oserror_of_the_program():
    host = ScriptedHost(
        ("socket", 3),
        ("connect", BlockingIOError(errno.EINPROGRESS, "in progress")),
        ("getsockopt", errno.ECONNREFUSED),
    )
    events = []
    runner, task = run(host, apps.connect(1, 81), events)
    host.wake()
    runner.run_ready()
    assert task.done
    assert task.error.errno == errno.ECONNREFUSED
    last = events[-1]
    assert (last.t, last.host, last.app, last.op, last.errno) == (7, "a", "c1", "connect", "ECONNREFUSED")
    assert last.conn == "10.77.0.1:40001>10.77.0.2:80"


def test_send_all_goes_on_where_the_buffer_was_full():
    host = ScriptedHost(("send", 3), ("send", AGAIN), ("send", 2))
    runner, task = run(host, apps.send_all(9, b"hello"))
    assert host.waits[0][:2] == (9, True)
    host.wake()
    assert runner.run_ready()
    assert not runner.run_ready()
    assert task.result == 5
    assert host.calls == [("send", 9, b"hello"), ("send", 9, b"lo"), ("send", 9, b"lo")]


def test_recv_until_eof_collects_the_stream():
    host = ScriptedHost(("recv", b"he"), ("recv", AGAIN), ("recv", b"llo"), ("recv", b""))
    events = []
    runner, task = run(host, apps.recv_until_eof(9), events)
    assert host.waits[0][:2] == (9, False)
    host.wake()
    runner.run_ready()
    assert task.result == b"hello"
    assert [(event.result, event.octets) for event in events] == [('"he"', 2), ('"llo"', 3), ("end of file", 0)]


def test_recv_until_eof_can_stop_at_a_count():
    host = ScriptedHost(("recv", b"he"), ("recv", b"l"))
    _, task = run(host, apps.recv_until_eof(9, 3))
    assert task.result == b"hel"
    assert host.calls[-1] == ("recv", 9, 1)


def test_accept_tells_who_came():
    host = ScriptedHost(("accept", (5, (0x0A4D0001, 40001))))
    events = []
    _, task = run(host, apps.accept_one(3), events)
    assert (task.result, task.fd) == ((5, (0x0A4D0001, 40001)), 5)
    assert events[0].result == "5 from 10.77.0.1:40001"


def test_an_error_in_a_server_ends_that_client_only():
    reset = ConnectionResetError(errno.ECONNRESET, "reset")
    host = ScriptedHost(
        ("socket", 3), ("setsockopt", None), ("bind", None), ("listen", None),
        ("accept", (4, (1, 1))), ("accept", (5, (1, 2))), ("accept", AGAIN),
        ("recv", reset), ("close", None),
        ("recv", b"x"), ("send", 1), ("recv", b""), ("close", None),
    )  # fmt: skip
    _, task = run(host, apps.echo_server(7))
    assert host.answers == []
    assert not task.done


def test_a_bug_in_a_program_is_not_hidden():
    def broken():
        yield ("socket",)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(ScriptedHost(("socket", 3)), broken())


def test_single_is_one_call():
    _, task = run(
        ScriptedHost(("shutdown", OSError(errno.ENOTCONN, "not connected"))), apps.single("shutdown", 3, "wr")
    )
    assert task.error.errno == errno.ENOTCONN
