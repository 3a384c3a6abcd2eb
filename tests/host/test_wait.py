"""wait(): each callback runs once, during a later frame, timer or call, when trying again makes sense."""

from __future__ import annotations

import errno

import pytest
from support.pair import B, Pair

from tcplab.units import MS, SEC


class Waiter:
    """Notes when it was woken, and what a retry gives at that moment."""

    def __init__(self, pair: Pair, host: str, fd: int, writable: bool = False) -> None:
        self.pair = pair
        self.times: list[float] = []
        pair.host(host).wait(fd, writable, self.wake)

    def wake(self) -> None:
        self.times.append(round(self.pair.now / SEC, 6))


def test_data_wakes_a_reader_once_and_no_writer() -> None:
    pair = Pair()
    client, server = pair.open()
    opened = pair.now
    reader, writer = Waiter(pair, "b", server), Waiter(pair, "b", server, writable=True)
    pair.call("a", "send", client, b"one")
    assert reader.times == []
    pair.run(SEC)
    pair.call("a", "send", client, b"two")
    pair.run(SEC)
    assert reader.times == [round(opened / SEC + 0.005, 6)]
    assert writer.times == []
    again = Waiter(pair, "b", server)
    pair.call("a", "send", client, b"three")
    pair.run(SEC)
    assert len(again.times) == 1


def test_all_who_wait_are_woken() -> None:
    pair = Pair()
    client, server = pair.open()
    readers = [Waiter(pair, "b", server) for _ in range(3)]
    pair.call("a", "send", client, b"one")
    pair.run(10 * MS)
    assert [len(reader.times) for reader in readers] == [1, 1, 1]


def test_the_end_wakes_a_reader() -> None:
    pair = Pair()
    client, server = pair.open()
    reader = Waiter(pair, "b", server)
    pair.call("a", "shutdown", client, "wr")
    pair.run(10 * MS)
    assert len(reader.times) == 1
    assert pair.call("b", "recv", server, 1) == b""


def test_shutdown_rd_wakes_our_own_reader() -> None:
    pair = Pair()
    client, _ = pair.open()
    reader = Waiter(pair, "a", client)
    pair.call("a", "shutdown", client, "rd")
    assert len(reader.times) == 1


def test_room_wakes_a_writer() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "setsockopt", client, "SO_SNDBUF", 10_000)
    while isinstance(pair.call("a", "send", client, b"x" * 20_000), int):
        pass
    assert pair.errno("a", "send", client, b"x") == errno.EAGAIN
    writer = Waiter(pair, "a", client, writable=True)
    pair.run(10 * MS)
    assert len(writer.times) == 0, "less than a third of the buffer is free"
    pair.run(SEC)
    assert len(writer.times) == 1
    assert pair.call("a", "send", client, b"x") == 1
    assert len(pair.call("b", "recv", server, 99_999)) > 10_000


@pytest.mark.parametrize("listening", [True, False])
def test_the_outcome_of_connect_wakes_whoever_waits_to_write(listening: bool) -> None:
    pair = Pair()
    if listening:
        pair.listen()
    client = pair.connect()
    writer = Waiter(pair, "a", client, writable=True)
    pair.run(SEC)
    assert writer.times == [0.01]
    outcome = pair.call("a", "connect", client, B, 80)
    assert outcome is None if listening else isinstance(outcome, ConnectionRefusedError)


def test_a_timeout_wakes_during_on_timer() -> None:
    pair = Pair(lose=lambda *_: True)
    client = pair.connect()
    reader, writer = Waiter(pair, "a", client), Waiter(pair, "a", client, writable=True)
    pair.run(200 * SEC)
    assert reader.times == writer.times == [131.0]


def test_a_connection_to_accept_wakes_the_listener_at_the_third_ack() -> None:
    pair = Pair()
    listener = pair.listen()
    acceptor = Waiter(pair, "b", listener)
    pair.connect()
    pair.run(10 * MS)
    assert acceptor.times == []
    pair.run(10 * MS)
    assert acceptor.times == [0.015]


def test_a_reset_wakes_both() -> None:
    pair = Pair()
    client, server = pair.open()
    waiters = [Waiter(pair, "a", client, writable) for writable in (False, True)]
    pair.call("b", "abort", server)
    pair.run(10 * MS)
    assert [len(waiter.times) for waiter in waiters] == [1, 1]


def test_a_closed_descriptor_wakes_at_the_close_or_at_the_next_entry() -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    before = Waiter(pair, "a", fd)
    pair.call("a", "close", fd)
    assert before.times == [0.0]
    after = Waiter(pair, "a", fd)
    assert after.times == [], "not within wait() itself"
    pair.call("a", "socket")
    assert after.times == [0.0]
    pair.run(SEC)
    assert (len(before.times), len(after.times)) == (1, 1)


def test_whoever_is_woken_may_call_and_wait_again() -> None:
    pair = Pair()
    client, server = pair.open()
    got: list[bytes] = []

    def read() -> None:
        try:
            while data := pair.b.call(pair.now, "recv", server, 2):
                got.append(data)
        except BlockingIOError:
            pair.b.wait(server, False, read)

    read()
    for chunk in (b"abc", b"defg"):
        pair.call("a", "send", client, chunk)
        pair.run(10 * MS)
    assert got == [b"ab", b"c", b"de", b"fg"]
    pair.call("a", "close", client)
    pair.run(SEC)
    assert pair.b.sockets[server].readers == []
