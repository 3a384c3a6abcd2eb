"""SipHash-2-4 of one 64-bit word: the keyed hash of Linux's Fast Open cookies (lib/siphash.c)."""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = v0 + v1 & _MASK
    v1 = (v1 << 13 | v1 >> 51) & _MASK ^ v0
    v0 = (v0 << 32 | v0 >> 32) & _MASK
    v2 = v2 + v3 & _MASK
    v3 = (v3 << 16 | v3 >> 48) & _MASK ^ v2
    v0 = v0 + v3 & _MASK
    v3 = (v3 << 21 | v3 >> 43) & _MASK ^ v0
    v2 = v2 + v1 & _MASK
    v1 = (v1 << 17 | v1 >> 47) & _MASK ^ v2
    return v0, v1, (v2 << 32 | v2 >> 32) & _MASK, v3


def siphash(key: bytes, octets: bytes) -> bytes:
    """The 8 octets of SipHash-2-4 over 8 `octets` with a `key` of 16, all little-endian."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = (
        low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D, low ^ 0x6C7967656E657261, high ^ 0x7465646279746573
    )  # fmt: skip
    for word in (int.from_bytes(octets, "little"), len(octets) << 56):
        v0, v1, v2, v3 = _round(*_round(state[0], state[1], state[2], state[3] ^ word))
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = state
    state = (v0, v1, v2 ^ 0xFF, v3)
    for _ in range(4):
        state = _round(*state)
    return (state[0] ^ state[1] ^ state[2] ^ state[3]).to_bytes(8, "little")
