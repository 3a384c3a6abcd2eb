"""Two hosts in a World: a frame's life, equal traces on every fabric, nothing from the wall clock."""

from __future__ import annotations

import errno

import msgspec
import pytest

from tcplab.api.events import Arrived, Called, CeMarked, Delayed, Dropped, Duplicated, Lost, Sent
from tcplab.api.plan import Plan
from tcplab.engines import apps
from tcplab.engines.addresses import ADDRESS, MAC
from tcplab.engines.errors import CANNOT, EngineError
from tcplab.engines.http import body, http_server
from tcplab.engines.world import World
from tcplab.link import inject
from tcplab.link.match import Match
from tcplab.link.stages import Delay, Drop, Duplicate, Mark
from tcplab.units import MS, SEC

VETH = pytest.param("veth", marks=pytest.mark.namespaces)
GET = b"GET /bytes/%d HTTP/1.0\r\n\r\n"


@pytest.fixture
def world(request):
    """Makes Worlds and closes them."""
    made = []

    def make(engine="sim", seed=1, **kw):
        if engine == "veth":
            request.getfixturevalue("namespaces_here")
        made.append(World(Plan(seed=seed), engine, **kw))
        return made[-1]

    yield make
    for each in made:
        each.close()


def connected(world):
    """A client on a, a listener with one connection on b; their descriptors."""
    listener = world.apps.start("b", "web", apps.listen(80, 8))
    server = world.apps.start("b", "s1", apps.accept_one(listener.fd))
    client = world.apps.start("a", "c1", apps.connect(ADDRESS["b"], 80))
    world.loop.run_until(world.loop.now + 10 * SEC)
    assert client.done
    assert server.done
    return client.fd, server.fd


def frames(world, flags=None):
    return [event for event in world.events if isinstance(event, Sent) and flags in (None, event.flags)]


def kinds(world, *which):
    return [event for event in world.events if isinstance(event, which)]


def fetch(world, count, seconds=600):
    """Get `count` octets from the HTTP server on b."""
    world.apps.start("b", "http", http_server(8080))
    client = world.apps.start("a", "get", apps.connect(ADDRESS["b"], 8080))
    world.loop.run_until(10 * SEC)
    assert client.error is None
    world.apps.start("a", "get", apps.send_all(client.fd, GET % count))
    answer = world.apps.start("a", "get", apps.recv_until_eof(client.fd))
    world.loop.run_until(seconds * SEC, unless=lambda: answer.done)
    assert answer.error is None
    return answer.result.partition(b"\r\n\r\n")[2]


def test_a_handshake_in_the_trace(world):
    lab = world()
    connected(lab)
    opening = [event for event in frames(lab) if event.proto == "tcp"]
    assert [(event.src, event.dst, event.flags, event.rseq, event.rack) for event in opening] == [
        ("a", "b", "S", 0, 0),
        ("b", "a", "SA", 0, 1),
        ("a", "b", "A", 1, 1),
    ]
    assert [event.n for event in frames(lab)] == list(range(1, lab.frames + 1))
    assert all(event.why and event.text for event in frames(lab))
    assert opening[0].conn.endswith(">10.77.0.2:80")
    arrivals = {event.n: event for event in kinds(lab, Arrived)}
    assert all(arrivals[event.n].t == event.t + 5 * MS for event in frames(lab))


def test_rules_show_in_the_trace(world):
    lab = world()
    lab.link.add(Drop(Match("a>b", flags="S", nth=1), "drop a>b flags=S nth=1"))
    lab.link.add(Delay(Match("b>a", flags="SA", nth=1), 20 * MS, "delay b>a 20ms flags=SA nth=1"))
    lab.link.add(Duplicate(Match("a>b", flags="A", nth=1), "dup a>b flags=A nth=1"))
    connected(lab)
    first_syn, second_syn = frames(lab, "S")
    [syn_ack] = frames(lab, "SA")
    ack, copy = frames(lab, "A")[:2]
    assert kinds(lab, Lost) == [Lost(first_syn.t, first_syn.n, "drop a>b flags=S nth=1")]
    assert second_syn.rtx
    assert kinds(lab, Delayed) == [Delayed(syn_ack.t, syn_ack.n, syn_ack.t + 25 * MS, "delay b>a 20ms flags=SA nth=1")]
    assert kinds(lab, Duplicated) == [Duplicated(ack.t, ack.n, copy.n, "dup a>b flags=A nth=1")]
    assert copy.frame == ack.frame
    assert lab.link.rules == ()


def test_a_refused_connection(world):
    lab = world()
    task = lab.apps.start("a", "c1", apps.connect(ADDRESS["b"], 81))
    lab.loop.run_until(SEC)
    assert task.error.errno == errno.ECONNREFUSED
    assert [event.errno for event in kinds(lab, Called) if event.op == "connect"] == ["ECONNREFUSED"]


def test_a_call_of_ones_own_leaves_at_once(world):
    lab = world()
    fd = lab.call("a", "socket")
    with pytest.raises(BlockingIOError):
        lab.call("a", "connect", fd, ADDRESS["b"], 80)
    assert lab.frames == 1
    assert lab.loop.next_event() == (5 * MS, "frame 1 arrives at b")


def test_a_flood_fills_the_syn_queue_and_the_answers_end_at_x(world):
    lab = world()
    listener = lab.apps.start("b", "web", apps.listen(80, 4))
    for frame in inject.syn_flood(lab.rng.stream("x/flood"), ADDRESS["b"], 80, MAC["b"], 20):
        lab.inject("b", frame, "a forged SYN")
    lab.loop.run_until(100 * MS)
    assert listener.done
    [queue] = lab.hosts["b"].view(lab.loop.now).listeners
    assert queue.syn_len > 0
    assert {event.src for event in frames(lab, "S")} == {"x"}
    answers = {event.n for event in frames(lab, "SA")}
    assert answers
    assert answers <= {event.n for event in kinds(lab, Arrived) if event.host == "x"}
    assert [event.n for event in kinds(lab, Arrived) if event.host == "a"] == []


@pytest.mark.parametrize(
    ("which", "state"), [("exact", "CLOSED"), ("in-window", "ESTABLISHED"), ("outside", "ESTABLISHED")]
)
def test_a_forged_reset_hits_only_with_the_exact_number(world, which, state):
    lab = world()
    client, server = connected(lab)
    view = next(conn for conn in lab.hosts["b"].view(lab.loop.now).conns if conn.fd == server)
    local, port = lab.hosts["a"].call(lab.loop.now, "getsockname", client)
    victim = inject.Victim(MAC["b"], (local, port, ADDRESS["b"], 80), view.rcv_nxt, view.rcv_wnd)
    before = lab.frames
    lab.inject("b", inject.rst(victim, which), f"a forged RST, {which}")
    lab.loop.run_until(lab.loop.now + 100 * MS)
    states = [conn.state for conn in lab.hosts["b"].view(lab.loop.now).conns if conn.fd == server]
    assert states in ([state], []) if state == "CLOSED" else states == [state]
    answered = [event.flags for event in frames(lab)[before + 1 :] if event.src == "b"]
    assert answered == (["A"] if which == "in-window" else [])


def test_a_frame_for_somebody_else_is_not_given_to_the_host(world):
    lab = world()
    lab.inject("b", bytes.fromhex("02000a4d0077 02000a4d0009 0800") + bytes(46), "for nobody")
    lab.loop.run_until(SEC)
    assert [event.reason for event in kinds(lab, Dropped)] == ["other host"]
    assert kinds(lab, Arrived) == []


@pytest.mark.parametrize("frame", [bytes(13), bytes(1515), bytes(12) + b"\x81\x00" + bytes(50)])
def test_what_no_wire_carries_is_refused(world, frame):
    with pytest.raises(EngineError):
        world().inject("b", frame, "too short, too long, tagged")


def test_an_unknown_engine_and_a_simulated_namespace_are_refused(world):
    with pytest.raises(EngineError) as refused:
        world("quantum")
    assert refused.value.code == CANNOT
    with pytest.raises(EngineError):
        world().namespace_fds("a")


@pytest.mark.parametrize("engine", ["sim", VETH])
def test_a_megabyte_arrives_whole_through_five_percent_of_loss(world, engine):
    lab = world(engine)
    lab.link.add(Drop(Match(ppm=50_000), "drop both p=5%"))
    assert fetch(lab, 1_000_000) == b"".join(body(1_000_000))
    assert len(kinds(lab, Lost)) > 20


def test_without_a_trace_nothing_is_recorded_and_all_still_works(world):
    lab = world(trace=False)
    lab.link.add(Drop(Match(data=True, nth=3), "drop data nth=3"))
    assert fetch(lab, 50_000) == b"".join(body(50_000))
    assert lab.events == []
    assert lab.frames > 40


def trace(world, engine, seed):
    lab = world(engine, seed)
    lab.link.add(Drop(Match(ppm=50_000), "drop both p=5%"))
    lab.link.add(Delay(Match("b>a", ppm=100_000), 3 * MS, "delay b>a 3ms jitter=2ms p=10%", jitter=2 * MS))
    fetch(lab, 60_000)
    return msgspec.json.encode(lab.events)


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_same_seed_gives_the_same_trace(world, seed):
    assert trace(world, "sim", seed) == trace(world, "sim", seed)


@pytest.mark.namespaces
@pytest.mark.parametrize("seed", range(1, 6))
def test_memory_and_veth_give_the_same_trace(world, seed):
    assert trace(world, "sim", seed) == trace(world, "veth", seed) == trace(world, "veth", seed)


def test_another_seed_gives_another_trace(world):
    assert trace(world, "sim", 1) != trace(world, "sim", 2)


def test_a_paced_run_makes_the_trace_of_a_virtual_one(world):
    wall = [0]

    def handshake(lab):
        lab.loop.at(10 * MS, lambda: lab.apps.start("b", "web", apps.echo_server(7)))
        lab.loop.at(20 * MS, lambda: lab.apps.start("a", "c1", apps.connect(ADDRESS["b"], 7)))
        lab.link.add(Drop(Match(flags="SA", nth=1), "drop both flags=SA nth=1"))
        return lab

    virtual, paced = handshake(world()), handshake(world())
    virtual.loop.run_until(5 * SEC)
    paced.loop._wall = lambda: wall[0]
    paced.loop.play()
    while paced.loop.now < 5 * SEC:
        wall[0] += 7_777_777
        paced.loop.catch_up()
    assert msgspec.json.encode(paced.events) == msgspec.json.encode(virtual.events)


def test_the_capture_holds_every_frame_and_is_the_same_again(world):
    def captured():
        lab = world()
        lab.link.add(Drop(Match(flags="SA", nth=1), "drop both flags=SA nth=1"))
        connected(lab)
        return lab, lab.pcapng()

    lab, octets = captured()
    assert octets == captured()[1]
    assert all(event.frame in octets for event in frames(lab))
    assert b"; lost: drop both flags=SA nth=1" in octets


def test_subscribers_hear_each_event_as_it_happens(world):
    lab, heard = world(), []
    lab.subscribe(heard.append)
    connected(lab)
    assert heard == lab.events


def test_relative_numbers_survive_a_forged_syn_and_start_again_with_a_new_one(world):
    lab = world()
    client, _ = connected(lab)
    syn = frames(lab, "S")[0]
    forged = bytearray(syn.frame)
    forged[38:42] = b"\0\0\0\1"
    lab.inject("b", bytes(forged), "a forged SYN")
    lab.apps.start("a", "c1", apps.send_all(client, b"hello"))
    lab.loop.run_until(lab.loop.now + SEC)
    assert [event.rseq for event in frames(lab) if event.len] == [1]


def test_a_router_marks_what_speaks_ecn_and_the_sender_hears_of_it(world):
    lab = world()
    for host in ("a", "b"):
        lab.hosts[host].sysctl.set("tcp_ecn", "1")
    client, _ = connected(lab)
    lab.link.add(Mark(Match("a>b", nth=1), "ce a>b nth=1"))
    lab.apps.start("a", "c1", apps.send_all(client, b"marked"))
    lab.loop.run_until(lab.loop.now + SEC)
    [data] = [event for event in frames(lab) if event.len]
    assert kinds(lab, CeMarked) == [CeMarked(data.t, data.n, "ce a>b nth=1")]
    assert lab.hosts["b"].counters["IpExtInCEPkts"] == 1
    assert lab.hosts["b"].counters["IpInHdrErrors"] == 0
    assert [event.flags for event in frames(lab)][-1] == "AE"


def test_what_does_not_speak_ecn_is_not_marked(world):
    lab = world()
    lab.link.add(Mark(Match(), "ce both"))
    connected(lab)
    assert kinds(lab, CeMarked) == []
