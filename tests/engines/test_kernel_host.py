"""The kernel in a host's seat: the same programs as on ours, with the same errnos, on the same wire."""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable, Iterator

import pytest

from tcplab.api.events import Sent, StateChanged
from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.addresses import ADDRESS
from tcplab.engines.apps import Task
from tcplab.engines.errors import EngineError
from tcplab.engines.world import SEATS, World

pytestmark = [pytest.mark.namespaces, pytest.mark.usefixtures("namespaces_here")]


@pytest.fixture(params=sorted(SEATS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(Plan(delay=1_000_000), request.param)
    world.loop.play()
    yield world
    world.close()


def run(world: World, until: Callable[[], bool], patience: float = 3.0) -> None:
    """Let real time pass until it holds."""
    end = time.monotonic() + patience
    while not until():
        assert time.monotonic() < end, "it took too long"
        select.select(world.filenos(), [], [], min(world.loop.timeout() or 0.01, 0.01))
        world.loop.catch_up()


def finish(world: World, task: Task) -> object:
    run(world, lambda: task.done)
    if task.error is not None:
        raise task.error
    return task.result


def test_echo(world: World) -> None:
    world.apps.start("b", "echo", apps.echo_server(7))

    def client() -> apps.Program:
        fd = yield from apps.connect(ADDRESS["b"], 7)
        yield from apps.send_all(fd, b"hello" * 2000)
        got = yield from apps.recv_until_eof(fd, 10_000)
        yield "close", fd
        return got

    assert finish(world, world.apps.start("a", "c1", client())) == b"hello" * 2000
    run(world, lambda: any(isinstance(e, StateChanged) and e.new == "TIME_WAIT" for e in world.events))
    states = [e.new for e in world.events if isinstance(e, StateChanged) and e.host == "a" and ">10.77.0.2" in e.conn]
    assert states[:3] == ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1"]
    assert all(e.why for e in world.events if isinstance(e, Sent))


def test_errnos_and_views(world: World) -> None:
    with pytest.raises(OSError) as refused:
        finish(world, world.apps.start("a", "c1", apps.connect(ADDRESS["b"], 81)))
    assert refused.value.errno == errno.ECONNREFUSED
    listener = finish(world, world.apps.start("b", ":80", apps.listen(80, 1)))
    task = world.apps.start("a", "c2", apps.connect(ADDRESS["b"], 80))
    finish(world, task)
    views = {name: host.view(world.loop.now) for name, host in world.hosts.items()}
    (conn,) = (conn for conn in views["a"].conns if conn.peer == "10.77.0.2:80")
    assert (conn.state, conn.fd, conn.cwnd, conn.options[:7]) == ("ESTABLISHED", task.fd, 10, "ts sack")
    run(world, lambda: world.hosts["b"].view(world.loop.now).listeners[0].accept_len == 1)
    (queue,) = world.hosts["b"].view(world.loop.now).listeners
    assert (queue.fd, queue.max_ack_backlog, queue.syn_len) == (listener, 1, 0)
    assert views["a"].counters["TcpActiveOpens"] == 2
    with pytest.raises(OSError, match="not open"):
        world.call("a", "close", 99)
    with pytest.raises(OSError) as unknown:
        world.call("a", "frobnicate", task.fd)
    assert unknown.value.errno == errno.ENOSYS


def test_options_and_settings(world: World) -> None:
    fd = world.call("a", "socket")
    for name, value in (("TCP_NODELAY", 1), ("SO_LINGER", (1, 5)), ("TCP_CONGESTION", "reno")):
        world.call("a", "setsockopt", fd, name, value)
        assert world.call("a", "getsockopt", fd, name) == value
    world.call("a", "sysctl", "tcp_syn_retries", "3")
    assert str(world.call("a", "sysctl", "tcp_syn_retries")) == "3"
    with pytest.raises(OSError):
        world.call("a", "setsockopt", fd, "TCP_NO_SUCH", 1)
    assert world.call("a", "getsockname", fd) == (0, 0)
    world.call("a", "setsockopt", fd, "SO_LINGER", (0, 0))
    world.call("a", "close", fd)


def test_close_waits_for_so_linger_without_stopping_the_wire(world: World) -> None:
    finish(world, world.apps.start("b", ":80", apps.listen(80, 1)))
    task = world.apps.start("a", "c1", apps.connect(ADDRESS["b"], 80))
    finish(world, task)
    world.call("a", "setsockopt", task.fd, "SO_LINGER", (1, 3))
    closing = world.apps.start("a", "c1", apps.single("close", task.fd))
    assert not closing.done, "the FIN is not acknowledged yet"
    finish(world, closing)


def test_what_the_kernel_cannot_is_noted() -> None:
    world = World(Plan(sysctl={"b": {"tcp_no_such_setting": 1}}), "mixed-b")
    try:
        (kernel,) = world.kernels
        assert any("tcp_no_such_setting" in note for note in kernel.notes)
        assert world.hosts["b"].view(0).stack == "linux"
        assert world.hosts["a"].view(0).stack == "tcplab"
    finally:
        world.close()


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(EngineError, match="mixed-a"):
        World(Plan(), "abacus")
