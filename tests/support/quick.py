"""Two hosts whose frames arrive at once, without events: for many connections, and for what they cost."""

from __future__ import annotations

from support.pair import MAC_A, MAC_B, A, B
from tcplab.host.machine import Machine
from tcplab.link.inject import syn_flood
from tcplab.rng import Rng
from tcplab.units import MS

PORT = 80


class Quick:
    """Hosts a and b, acquainted; `now` moves only when it is told to."""

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

    def listen(self, backlog: int = 5) -> int:
        """A listening socket of b."""
        listener = self.call(self.b, "socket")
        assert isinstance(listener, int)
        self.call(self.b, "bind", listener, 0, PORT)
        self.call(self.b, "listen", listener, backlog)
        return listener

    def open(self, listener: int, count: int, keepalive: bool = False) -> list[tuple[int, int]]:
        """`count` connections that said one octet each way and are idle now: descriptors of a and of b."""
        opened = []
        for _ in range(count):
            client, server = self.dialogue(listener)
            if keepalive:
                self.call(self.b, "setsockopt", server, "SO_KEEPALIVE", 1)
            opened.append((client, server))
            self.run(self.now + MS)
        self.run(self.now + 1000 * MS)  # the last delayed ACKs leave
        return opened

    def dialogue(self, listener: int) -> tuple[int, int]:
        """Open one connection and send one octet each way: the descriptors of a and of b."""
        client = self.call(self.a, "socket")
        self.call(self.a, "connect", client, B, PORT)
        self.call(self.a, "connect", client, B, PORT)  # the outcome
        accepted = self.call(self.b, "accept", listener)
        assert isinstance(client, int)
        assert isinstance(accepted, tuple)
        server = accepted[0]
        for host, fd, peer, other in ((self.a, client, self.b, server), (self.b, server, self.a, client)):
            assert self.call(host, "send", fd, b"x") == 1
            assert self.call(peer, "recv", other, 10) == b"x"
        return client, server


def flooded(count: int) -> tuple[Machine, list[bytes]]:
    """A host that has room for a flood of `count` SYNs, and their frames."""
    host = Machine("b", B, MAC_B, Rng(1))
    for knob in ("somaxconn", "tcp_max_syn_backlog"):
        host.call(0, "sysctl", knob, 2 * count)
    listener = host.call(0, "socket")
    host.call(0, "bind", listener, 0, PORT)
    host.call(0, "listen", listener, 2 * count)
    return host, list(syn_flood(Rng(1).stream("x/flood"), B, PORT, MAC_B, count))
