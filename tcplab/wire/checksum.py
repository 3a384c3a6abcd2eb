"""The Internet checksum (RFC 1071): the complement of the one's complement sum of 16-bit words.

Sums are taken modulo 0xffff from one big integer, which is the fastest way that Python alone has. The residue 0
stands for the sum 0xffff (only all-zero data sums to 0), so a right header with its checksum in it gives residue 0.
"""

from __future__ import annotations

from typing import Final

_LONG: Final = 400
_BITS: Final = 5952
_MASK: Final = (1 << _BITS) - 1
_HALF_BITS: Final = _BITS // 2
_HALF_MASK: Final = (1 << _HALF_BITS) - 1
"""Multiples of 16: what lies above may be added to what lies below. 12,000 bits are 1,500 octets."""


def residue(data: bytes) -> int:
    """The sum of the words of `data` modulo 0xffff; an odd octet at the end is padded with zero.

    Read with the low octet first, which pads by itself; 256 times that sum is the right one (RFC 1071 2(B)).
    """
    total = int.from_bytes(data, "little")
    if len(data) > _LONG:  # to fold costs less than to divide
        total = (total >> _BITS) + (total & _MASK)
        total = (total >> _HALF_BITS) + (total & _HALF_MASK)
    return total % 0xFFFF * 256 % 0xFFFF


def checksum(data: bytes) -> int:
    """The checksum of `data`, to be put into a field that is 0 in it."""
    total = residue(data)
    if total:
        return 0xFFFF - total
    return 0 if any(data) else 0xFFFF


def pseudo(src: int, dst: int, proto: int, length: int) -> int:
    """The sum of TCP's pseudo header (RFC 9293 section 3.1), not folded."""
    return (src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF) + proto + length


def update(old_sum: int, old_word: int, new_word: int) -> int:
    """The checksum after one 16-bit word of the data changed (RFC 1624, equation 3)."""
    total = (~old_sum & 0xFFFF) + (~old_word & 0xFFFF) + new_word
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
