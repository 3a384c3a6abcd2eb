"""What other stacks were seen to lose: after thousands of connections nothing of them is left."""

from __future__ import annotations

from support.pair import MAC_A, MAC_B, A, B

from tcplab.host.machine import Machine
from tcplab.rng import Rng
from tcplab.units import MS, NEVER, SEC

COUNT = 5_000


class Quick:
    """Two hosts whose frames arrive at once, without events."""

    def __init__(self) -> None:
        rng = Rng(1)
        self.a, self.b = Machine("a", A, MAC_A, rng), Machine("b", B, MAC_B, rng)
        self.a.learn(B, MAC_B)
        self.b.learn(A, MAC_A)
        self.now = 0

    def settle(self) -> None:
        while self.a.out or self.b.out:
            for host, peer in ((self.a, self.b), (self.b, self.a)):
                out, host.out = host.out, []
                for outgoing in out:
                    peer.on_frame(self.now, outgoing.frame)

    def call(self, host: Machine, op: str, *args: object) -> object:
        try:
            result: object = host.call(self.now, op, *args)
        except BlockingIOError:
            result = None
        self.settle()
        return result

    def run(self, until: int) -> None:
        while (due := min(self.a.deadline, self.b.deadline)) <= until:
            self.now = due
            for host in (self.a, self.b):
                if host.deadline <= due:
                    host.on_timer(due)
            self.settle()
        self.now = until


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
