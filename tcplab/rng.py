"""One seed, named streams: the only importer of `random`.

Each user of chance asks for a stream by name (`host-a/iss`, `link-ab/loss`), so that a new user, or a
draw more here, changes nothing there. Only whole bits are drawn: the same seed gives the same numbers on
every machine and Python version.
"""

from __future__ import annotations

import random
from hashlib import sha256


class Stream:
    """A reproducible source of integers, named within one seed."""

    __slots__ = ("_bits",)

    def __init__(self, seed: int, name: str) -> None:
        digest = sha256(f"{seed}/{name}".encode()).digest()
        self._bits = random.Random(int.from_bytes(digest, "big")).getrandbits

    def bits(self, count: int) -> int:
        """`count` random bits as a non-negative integer."""
        return self._bits(count)

    def below(self, limit: int) -> int:
        """A number in 0 .. limit-1, each as likely as the other; `limit` must be positive."""
        width = limit.bit_length()
        value = self._bits(width)
        while value >= limit:
            value = self._bits(width)
        return value

    def chance(self, ppm: int) -> bool:
        """True in `ppm` of a million draws."""
        return self.below(1_000_000) < ppm

    def octets(self, count: int) -> bytes:
        """`count` random bytes (0 gives none)."""
        return self._bits(8 * count).to_bytes(count, "big") if count else b""


class Rng:
    """The seed of a run; hands out its streams."""

    __slots__ = ("seed",)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, name: str) -> Stream:
        """A fresh stream: the same name gives the same numbers from the start again."""
        return Stream(self.seed, name)
