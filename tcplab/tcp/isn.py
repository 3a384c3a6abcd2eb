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
    """One host's secrets."""

    __slots__ = ("_isn_key", "_ts_key", "cookie_key", "fastopen_key")

    def __init__(self, stream: Stream) -> None:
        self._isn_key = stream.octets(16)
        self._ts_key = stream.octets(16)
        self.cookie_key = stream.octets(16)
        """For SYN cookies (`tcplab.tcp.syncookie`)."""
        self.fastopen_key = stream.octets(16)
        """For Fast Open cookies, while the sysctl tcp_fastopen_key is all zeros."""

    def isn(self, now: Nanos, laddr: int, lport: int, raddr: int, rport: int) -> Seq:
        """The ISN for this four-tuple at this time: it rises by one every 64 ns."""
        digest = blake2s(_TUPLE.pack(laddr, raddr, lport, rport), digest_size=4, key=self._isn_key).digest()
        return (int.from_bytes(digest, "big") + (now >> _NS_PER_TICK_SHIFT)) & 0xFFFFFFFF

    def ts_offset(self, laddr: int, lport: int, raddr: int, rport: int) -> int:
        """What is added to the 1 ms clock in the timestamps of this four-tuple (tcp_timestamps = 1)."""
        digest = blake2s(_TUPLE.pack(laddr, raddr, lport, rport), digest_size=4, key=self._ts_key).digest()
        return int.from_bytes(digest, "big")
