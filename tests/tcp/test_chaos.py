"""Two hosts under random calls, losses and forged segments: nothing raises, counts stay true, all is given back."""

from __future__ import annotations

import random

import pytest
from support.pair import MAC_X, B, Pair, X

from tcplab.tcp.fastopen import MSG_FASTOPEN
from tcplab.tcp.tcb import Tcb
from tcplab.units import MS, SEC
from tcplab.wire import ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt

SYSCTLS = ("tcp_syncookies", "tcp_sack", "tcp_timestamps", "tcp_window_scaling", "tcp_abort_on_overflow", "tcp_rfc1337")


class Chaos:
    def __init__(self, seed: int, early: bool = False) -> None:
        self.dice = random.Random(seed)
        self.early = early
        self.pair = Pair(seed=seed, delay=self.dice.choice([0, 1000, 5 * MS]))
        for host in (self.pair.a, self.pair.b):
            host.learn(X, MAC_X)
            for name in SYSCTLS:
                host.sysctl.set(name, self.dice.choice([0, 1]))
        self.pair.lose = lambda host, seg: self.dice.random() < 0.1
        self.listener = self.pair.listen(backlog=self.dice.choice([0, 1, 3]))
        self.fds: dict[str, list[int]] = {"a": [], "b": [self.listener]}
        if early:
            self.pair.set("a", tcp_fastopen=self.dice.choice([1, 5]))
            self.pair.set("b", tcp_fastopen=self.dice.choice([3, 3, 0x203]))
            self.pair.call("b", "setsockopt", self.listener, "TCP_FASTOPEN", self.dice.choice([1, 5]))

    def step(self) -> None:
        self.dice.choice(
            [self.connect, self.accept, self.send, self.recv, self.end, self.option, self.forge, self.wait]
        )()
        for host in (self.pair.a, self.pair.b):
            host.view(self.pair.now)
            for flow in host.flows.values():
                if isinstance(flow, Tcb):
                    assert min(flow.sacked_out, flow.lost_out, flow.retrans_out, flow.in_flight) >= 0
                    assert flow.cwnd >= 1

    def some(self) -> tuple[str, int]:
        host = self.dice.choice("ab")
        return host, self.dice.choice(self.fds[host] or [99])

    def connect(self) -> None:
        if self.early:
            fd = self.pair.call("a", "socket")
            assert isinstance(fd, int)
            self.pair.call("a", "setsockopt", fd, "TCP_FASTOPEN_CONNECT", self.dice.choice([0, 0, 1]))
            self.pair.call("a", "sendto", fd, b"x" * self.dice.choice([0, 1, 3000]), MSG_FASTOPEN, B, 80)
            self.fds["a"].append(fd)
        else:
            self.fds["a"].append(self.pair.connect(local=self.dice.choice([0, 0, 4000])))

    def accept(self) -> None:
        accepted = self.pair.call("b", "accept", self.listener)
        if isinstance(accepted, tuple):
            self.fds["b"].append(accepted[0])

    def send(self) -> None:
        host, fd = self.some()
        self.pair.call(host, "send", fd, b"x" * self.dice.choice([1, 100, 5000, 70000]))

    def recv(self) -> None:
        host, fd = self.some()
        self.pair.call(host, "recv", fd, self.dice.choice([1, 1000, 100000]))

    def end(self) -> None:
        host, fd = self.some()
        if (host, fd) != ("b", self.listener) or self.dice.random() < 0.1:
            op = self.dice.choice(["close", "abort", "shutdown"])
            self.pair.call(host, op, fd, *(["wr"] if op == "shutdown" else []))

    def option(self) -> None:
        host, fd = self.some()
        name = self.dice.choice(["SO_KEEPALIVE", "TCP_NODELAY", "SO_RCVBUF"])
        self.pair.call(host, "setsockopt", fd, name, self.dice.choice([0, 1, 5000]))

    def wait(self) -> None:
        self.pair.run(self.dice.choice([1, MS, 50 * MS, SEC, 20 * SEC, 100 * SEC]))

    def forge(self) -> None:
        dice, host = self.dice, self.dice.choice("ab")
        src, sport, dport, seq, ack = X, 5000 + dice.randint(0, 5), 80, dice.getrandbits(32), dice.getrandbits(32)
        conns = self.pair.host(host).view(self.pair.now).conns
        if conns and dice.random() < 0.9:
            conn = dice.choice(conns)
            peer, port = conn.peer.split(":")
            src, sport, dport = ipv4.address(peer), int(port), int(conn.local.split(":")[1])
            seq = (conn.rcv_nxt + dice.choice([0, 0, 0, 1, -1, 10, -1000, 70000, 1 << 31, seq])) & 0xFFFFFFFF
            ack = (conn.snd_nxt + dice.choice([0, 0, 0, -1, 1, conn.snd_una - conn.snd_nxt, ack])) & 0xFFFFFFFF
        blocks = [tuple((ack + dice.randint(-100, 9000)) & 0xFFFFFFFF for _ in "lr")]
        options = dice.choice(
            [
                b"",
                opt.nop() * 2 + opt.timestamps(dice.getrandbits(32), dice.getrandbits(32)),
                opt.nop() * 2 + opt.sack(blocks),  # type: ignore[arg-type]
                opt.mss(dice.choice([0, 1, 500, 65535])) + opt.window_scale(dice.randint(0, 255)),
            ]
        )
        flags = dice.choice([2, 16, 17, 24, 4, 20, 18, dice.getrandbits(8)])
        window, size = dice.choice([0, 1, 500, 65535]), dice.choice([0, 0, 1, 100, 1460])
        addr = self.pair.host(host).addr
        self.pair.inject(
            host, wire_tcp.build(src, addr, sport, dport, seq, ack, flags, window, options, b"z" * size), src
        )


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("seed", range(80))
def test_nothing_raises_and_everything_ends(seed: int, early: bool) -> None:
    chaos = Chaos(seed, early)
    queue = chaos.pair.b.listeners[80][0].fastopen
    for _ in range(80):
        chaos.step()
    pair = chaos.pair
    pair.lose = None
    for host, fds in chaos.fds.items():
        for fd in fds:
            pair.call(host, "abort", fd)
    pair.run(3000 * SEC)
    assert pair.a.flows == pair.b.flows == {}
    assert pair.a.sockets == pair.b.sockets == {}
    assert pair.a.deadline == pair.b.deadline
    assert queue.qlen == len(queue.resets)


def test_the_same_seed_gives_the_same_frames() -> None:
    runs = []
    for _ in range(2):
        chaos = Chaos(7)
        for _ in range(80):
            chaos.step()
        runs.append(chaos.pair.frames)
    assert runs[0] == runs[1]
