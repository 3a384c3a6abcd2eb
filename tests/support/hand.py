"""A peer that is played by hand: host a of a Pair calls it, and it says exactly the segments that a test names.

Numbers are relative to the first octet of data in each direction.
"""

from __future__ import annotations

from support.pair import MAC_A, MAC_X, A, B, Pair, Sent, X
from tcplab.units import MS, Nanos
from tcplab.wire import ethernet, frames, icmp
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.tcp import ACK, SYN, Segment

MASK = 0xFFFFFFFF


class Hand:
    """What a sends gets lost; what the hand says arrives at once. It answers a's SYN after `rtt`."""

    def __init__(
        self, options: bytes = b"", window: int = 65535, rtt: Nanos = MS, rcvbuf: int = 0, **sysctls: int
    ) -> None:
        self.pair = Pair(lose=lambda *_: True)
        self.pair.set("a", **sysctls)
        fd = self.pair.call("a", "socket")
        assert isinstance(fd, int)
        self.fd = fd
        if rcvbuf:
            self.pair.call("a", "setsockopt", fd, "SO_RCVBUF", rcvbuf)
        self.pair.call("a", "connect", fd, B, 80)
        syn = self.pair.sent[0].seg
        self.port = syn.sport
        self.mine = 0xFFFF_F000  # soon wraps
        self.theirs = (syn.seq + 1) & MASK
        self.window = window
        self.pair.run(rtt)
        self.say(SYN | ACK, at=-1, options=options)
        self.opened = len(self.pair.sent)

    def say(
        self,
        flags: int = ACK,
        at: int = 0,
        ack: int = 0,
        window: int | None = None,
        options: bytes = b"",
        payload: bytes = b"",
        urgent: int = 0,
    ) -> list[Sent]:
        """One segment for a: its first octet is number `at`, it acknowledges a's octets below `ack`. What a answers."""
        before = len(self.pair.sent)
        if window is not None:
            self.window = window
        segment = wire_tcp.build(
            B, A, 80, self.port, (self.mine + at) & MASK, (self.theirs + ack) & MASK if flags & ACK else 0, flags,
            self.window, options, payload, urgent,
        )  # fmt: skip
        self.pair.inject("a", segment, B)
        return self.pair.sent[before:]

    def send(self, size: int) -> list[Sent]:
        """a's application writes `size` octets: what leaves at once."""
        before = len(self.pair.sent)
        self.pair.call("a", "send", self.fd, b"x" * size)
        return self.pair.sent[before:]

    def set(self, option: str, value: object) -> None:
        """A socket option of a's socket."""
        assert self.pair.call("a", "setsockopt", self.fd, option, value) is None

    def read(self, most: int = 1 << 20) -> object:
        """a's application reads."""
        return self.pair.call("a", "recv", self.fd, most)

    def since(self, start: int) -> list[Sent]:
        """What a sent from the `start`-th segment on."""
        return self.pair.sent[start:]

    def first(self, sent: Sent) -> int:
        """The number of the first octet of a's segment."""
        return self.relative(sent.seg.seq, self.theirs)

    def acked(self, seg: Segment) -> int:
        """Up to where a's segment acknowledges."""
        return self.relative(seg.ack, self.mine)

    @staticmethod
    def relative(number: int, base: int) -> int:
        """The distance from `base`, below zero when `number` lies before it."""
        away = (number - base) & MASK
        return away - (1 << 32) if away >> 31 else away


def icmp_to_a(pair: Pair, kind: int, code: int) -> None:
    """A router's ICMP error about the last segment of a."""
    last = [frame for host, frame, _ in pair.frames if host == "a"][-1]
    quoted = last[ethernet.HEADER : ethernet.HEADER + 28]
    message = icmp.build(kind, code, 0, quoted)
    pair.a.on_frame(pair.now, frames.ip_frame(MAC_X, MAC_A, X, A, icmp.PROTO, message))
    pair._collect()
