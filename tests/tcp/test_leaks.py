"""What other stacks were seen to lose: after thousands of connections nothing of them is left."""

from __future__ import annotations

from support.pair import B
from support.quick import Quick

from tcplab.units import MS, NEVER, SEC

COUNT = 5_000


def test_five_thousand_connections_leave_nothing() -> None:
    lab = Quick()
    listener = lab.call(lab.b, "socket")
    lab.call(lab.b, "bind", listener, 0, 80)
    lab.call(lab.b, "listen", listener, 5)
    for _ in range(COUNT):
        client = lab.call(lab.a, "socket")
        lab.call(lab.a, "connect", client, B, 80)
        accepted = lab.call(lab.b, "accept", listener)
        assert isinstance(accepted, tuple)
        server = accepted[0]
        assert lab.call(lab.a, "send", client, b"x") == 1
        assert lab.call(lab.b, "recv", server, 10) == b"x"
        lab.call(lab.a, "close", client)
        lab.call(lab.b, "close", server)
        lab.run(lab.now + MS)
    assert {type(flow).__name__ for flow in lab.a.flows.values()} == {"TimeWait"}
    assert len(lab.a.flows) == COUNT
    assert lab.b.flows == {}
    lab.run(lab.now + 61 * SEC)
    assert lab.a.flows == {}
    assert lab.a.sockets == {}
    assert list(lab.b.sockets) == [listener]
    for host in (lab.a, lab.b):
        assert host.deadline == NEVER
        assert host._timers == [], "not even an old entry in the heap"


def test_a_timer_is_not_left_behind_by_one_connection() -> None:
    """The heap holds one entry for each thing that has a deadline, however often that moved."""
    lab = Quick()
    listener = lab.call(lab.b, "socket")
    lab.call(lab.b, "bind", listener, 0, 80)
    lab.call(lab.b, "listen", listener, 5)
    client = lab.call(lab.a, "socket")
    lab.call(lab.a, "connect", client, B, 80)
    (server, _) = lab.call(lab.b, "accept", listener)  # type: ignore[misc]
    for _ in range(2_000):
        lab.call(lab.a, "send", client, b"x" * 100)
        lab.call(lab.b, "recv", server, 1000)
        lab.run(lab.now + MS)
    assert len(lab.a._timers) <= 2
    assert len(lab.b._timers) <= 2
