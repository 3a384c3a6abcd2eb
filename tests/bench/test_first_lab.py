"""Side by side in one run: bulk and connects of our two hosts on sim and on veth, of the kernel's TCP, and of programs
in Python that know no TCP.

    pytest tests/bench --benchmark-only            # prints
    pytest tests/bench --benchmark-only --readme   # and writes the table of the README

Nothing here asserts a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_pair import bulk as bare_bulk
from kernel_peer import bulk as kernel_bulk
from kernel_peer import connects as kernel_connects
from support import compiled
from support.quick import Quick
from support.terminal import Terminal

from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.addresses import ADDRESS
from tcplab.engines.probe import choose_engine
from tcplab.engines.world import World
from tcplab.host.machine import Machine
from tcplab.units import MS, SEC

Report = Callable[[str, str, float, str], None]
Best = Callable[[Callable[[], float]], float]
On = Callable[[Callable[[str, int], float], str, int], float]
BULK = 16 << 20
CONNECTS = 2000

needs_namespaces = pytest.mark.skipif(choose_engine()[0] != "veth", reason="no network namespaces can be had here")
IN_NAMESPACES = [needs_namespaces, pytest.mark.namespaces]
ENGINES = ["sim", pytest.param("veth", marks=IN_NAMESPACES)]
COMPILED = ", compiled"
BOTH_WAYS = [*ENGINES, f"sim{COMPILED}", pytest.param(f"veth{COMPILED}", marks=IN_NAMESPACES)]


def world(engine: str) -> World:
    return World(Plan(seed=1, delay=50_000), engine, trace=False)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled package is."""
    if compiled.cannot():
        pytest.skip(compiled.cannot())
    return compiled.build(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def on(request: pytest.FixtureRequest) -> On:
    """Call it with a function of this file, the name of an engine and a number: what the function gives for them, in
    a process of its own if the stack is to be the compiled one.
    """

    def measure(rate: Callable[[str, int], float], engine: str, number: int) -> float:
        if not engine.endswith(COMPILED):
            return rate(engine, number)
        plain = engine.removesuffix(COMPILED)
        code = f"import test_first_lab as here; print(here.{rate.__name__}({plain!r}, {number}))"
        done = compiled.python(request.getfixturevalue("installed"), "-c", code)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    return measure


def one_bulk(engine: str, size: int) -> float:
    """Octets a second."""
    return bulk(engine, size)[0]


def one_segments(engine: str, size: int) -> float:
    """Segments a second."""
    return bulk(engine, size)[1]


def segments(lab: World) -> int:
    """How many both hosts sent so far."""
    return sum(host.counters["TcpOutSegs"] for host in lab.hosts.values() if isinstance(host, Machine))


def bulk(engine: str, size: int) -> tuple[float, float]:
    """Octets and segments a second, with all that it takes: checksums, ACKs, applications."""
    lab = world(engine)
    listener = lab.apps.start("b", "sink", apps.listen(9000, 16)).result
    accepted = lab.apps.start("b", "sink", apps.accept_one(listener))
    client = lab.apps.start("a", "source", apps.connect(ADDRESS["b"], 9000))
    lab.loop.run_until(SEC)
    fd, _ = accepted.result

    def sink() -> apps.Program:
        total = 0
        while total < size:
            total += len((yield "recv", fd, 1 << 20))
        return total

    done = lab.apps.start("b", "sink", sink())
    before = segments(lab)
    begin = time.perf_counter()
    lab.apps.start("a", "source", apps.send_all(client.fd, bytes(size)))
    lab.loop.run_until(10_000 * SEC, unless=lambda: done.done)
    spent = time.perf_counter() - begin
    assert done.result == size
    count = segments(lab) - before
    lab.close()
    return size / spent, count / spent


def hosts_connects(count: int) -> float:
    """The hosts and their socket calls alone: frames change hands without an engine."""
    lab = Quick()
    listener = lab.listen(128)
    begin = time.perf_counter()
    for _ in range(count):
        client, server = lab.dialogue(listener)
        lab.call(lab.a, "close", client)
        lab.call(lab.b, "close", server)
        lab.run(lab.now + MS)
    return count / (time.perf_counter() - begin)


def one_connects(engine: str, count: int) -> float:
    lab = world(engine)
    lab.call("a", "sysctl", "tcp_tw_reuse", 1)
    lab.apps.start("b", "echo", apps.echo_server(9000, 128))

    def client() -> apps.Program:
        for _ in range(count):
            fd = yield from apps.connect(ADDRESS["b"], 9000)
            yield from apps.send_all(fd, b"x")
            yield "recv", fd, 1
            yield "close", fd

    done = lab.apps.start("a", "client", client())
    begin = time.perf_counter()
    lab.loop.run_until(10_000 * SEC, unless=lambda: done.done)
    spent = time.perf_counter() - begin
    assert done.error is None
    lab.close()
    return count / spent


BARE = "bare Python, no TCP, two processes"
OTHERS = {"kernel": (kernel_bulk, BULK * 16), BARE: (bare_bulk, BULK * 4)}


@pytest.mark.parametrize("engine", [*(pytest.param(name, marks=needs_namespaces) for name in OTHERS), *BOTH_WAYS])
def test_bulk(engine: str, on: On, best: Best, report: Report) -> None:
    measure, size = OTHERS.get(engine, (lambda octets: on(one_bulk, engine, octets), BULK))
    report("bulk, one connection", engine, best(lambda: measure(size)) / 1e6, "MB/s")


@pytest.mark.parametrize("engine", BOTH_WAYS)
def test_segments(engine: str, on: On, best: Best, report: Report) -> None:
    report("segments, one connection", engine, best(lambda: on(one_segments, engine, BULK)), "segments/s")


@pytest.mark.parametrize("engine", [pytest.param("kernel", marks=needs_namespaces), "hosts alone", *BOTH_WAYS])
def test_connects(engine: str, on: On, best: Best, report: Report) -> None:
    other = {"kernel": kernel_connects, "hosts alone": hosts_connects}
    measure = other.get(engine, lambda count: on(one_connects, engine, count))
    report("open, echo one octet, close", engine, best(lambda: measure(CONNECTS)), "connects/s")


@pytest.mark.parametrize("engine", ENGINES)
def test_first_segment(engine: str, benchmark: Callable[..., float], report: Report, tmp_path: Path) -> None:
    """From the command to the first SYN on the screen: a script that connects at once."""
    script = tmp_path / "first.lab"
    script.write_text("b listen 80\na connect b:80 as c1\n")

    def measure() -> float:
        began = time.perf_counter()
        terminal = Terminal(str(script), "--engine", engine)
        terminal.read_until("SYN seq 0")
        spent = time.perf_counter() - began
        terminal.close()
        return spent

    spent = benchmark.pedantic(measure, rounds=1)  # type: ignore[attr-defined]
    report("command to first segment", engine, spent, "s")
