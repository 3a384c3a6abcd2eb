"""Initial sequence numbers and timestamp offsets: a clock plus a keyed hash of the four-tuple (RFC 6528 section 3).

Linux adds a 64 ns clock to a SipHash of addresses and ports (net/core/secure_seq.c); ours is keyed BLAKE2s, which
Python has built in. The key comes from the lab's seed, so that a run repeats.
"""

from __future__ import annotations

import struct
from hashlib import blake2s

from tcplab.rng import Stream
from tcplab.units import Nanos, Seq

_TUPLE = struct.Struct("!IIHH")
_NS_PER_TICK_SHIFT = 6  # 64 ns


class IsnSource:
    """One host's secrets. A keyed hash is begun once and copied for each use, which costs half."""

    __slots__ = ("_isn", "_ts", "cookie_base", "cookie_data", "fastopen_key")

    def __init__(self, stream: Stream) -> None:
        self._isn = blake2s(digest_size=4, key=stream.octets(16))
        self._ts = blake2s(digest_size=4, key=stream.octets(16))
        cookie_key = stream.octets(16)
        self.cookie_base = blake2s(digest_size=4, key=cookie_key, person=b"base")
        """For SYN cookies (`tcplab.tcp.syncookie`): of the four-tuple; and of the minute too."""
        self.cookie_data = blake2s(digest_size=4, key=cookie_key, person=b"data")
        self.fastopen_key = stream.octets(16)
        """For Fast Open cookies, while the sysctl tcp_fastopen_key is all zeros."""

    def isn(self, now: Nanos, laddr: int, lport: int, raddr: int, rport: int) -> Seq:
        """The ISN for this four-tuple at this time: it rises by one every 64 ns."""
        keyed = self._isn.copy()
        keyed.update(_TUPLE.pack(laddr, raddr, lport, rport))
        return (int.from_bytes(keyed.digest(), "big") + (now >> _NS_PER_TICK_SHIFT)) & 0xFFFFFFFF

    def ts_offset(self, laddr: int, lport: int, raddr: int, rport: int) -> int:
        """What is added to the 1 ms clock in the timestamps of this four-tuple (tcp_timestamps = 1)."""
        keyed = self._ts.copy()
        keyed.update(_TUPLE.pack(laddr, raddr, lport, rport))
        return int.from_bytes(keyed.digest(), "big")
