"""The Internet checksum against the loop that RFC 1071 section 4.1 prints, and updates against computing it again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tcplab.wire import ipv4
from tcplab.wire.checksum import checksum, pseudo, residue, update

WORD = st.integers(0, 0xFFFF)
ADDRESS = st.integers(0, 0xFFFFFFFF)
plenty = settings(max_examples=200, deadline=None, derandomize=True)


def plain(data: bytes) -> int:
    """RFC 1071 section 4.1, word by word."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(max_size=200))
@plenty
def test_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    assert checksum(data) == plain(data)


@given(st.lists(st.sampled_from([b"\x00\x00", b"\xff\xff", b"\xff\xfe", b"\x00\x01"]), max_size=8).map(b"".join))
@plenty
def test_both_zeros_of_ones_complement(data: bytes) -> None:
    assert checksum(data) == plain(data)


def test_the_example_of_rfc_1071() -> None:
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert residue(data) == 0xDDF2
    assert checksum(data) == 0x220D
    assert checksum(b"") == 0xFFFF


@given(st.binary(min_size=2, max_size=100).filter(lambda data: len(data) % 2 == 0))
@plenty
def test_data_with_its_checksum_sums_to_zero(data: bytes) -> None:
    assert residue(data + checksum(data).to_bytes(2, "big")) == 0


@given(ADDRESS, ADDRESS, st.integers(0, 255), WORD)
@plenty
def test_pseudo_header_sum(src: int, dst: int, proto: int, length: int) -> None:
    header = src.to_bytes(4, "big") + dst.to_bytes(4, "big") + bytes((0, proto)) + length.to_bytes(2, "big")
    assert pseudo(src, dst, proto, length) % 0xFFFF == residue(header)


@given(st.lists(WORD, min_size=1, max_size=20), st.integers(0, 19), WORD)
@plenty
def test_update_equals_computing_it_again(words: list[int], at: int, new: int) -> None:
    at %= len(words)
    before = b"".join(word.to_bytes(2, "big") for word in words)
    after = before[: 2 * at] + new.to_bytes(2, "big") + before[2 * at + 2 :]
    updated = update(checksum(before), words[at], new)
    if any(after):
        assert updated == checksum(after)
    else:
        assert updated == 0  # RFC 1624 section 3: of all-zero data alone it gives the other zero


def test_the_example_of_rfc_1624() -> None:
    assert update(0xDD2F, 0x5555, 0x3285) == 0x0000


@given(ADDRESS)
@plenty
def test_addresses_there_and_back(addr: int) -> None:
    assert ipv4.address(ipv4.text(addr)) == addr


@plenty
@given(ADDRESS, ADDRESS, WORD, st.integers(0, 255))
def test_a_marked_header_is_as_if_it_had_been_built_so(src: int, dst: int, ident: int, tos: int) -> None:
    packet = ipv4.build(src, dst, 6, b"payload", ident, tos=tos)
    assert ipv4.congested(packet) == (ipv4.build(src, dst, 6, b"payload", ident, tos=tos | 3) if tos & 3 else packet)
