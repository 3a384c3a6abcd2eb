"""TCP options: what is encoded is read again, and nonsense is passed over as Linux's tcp_parse_options does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcplab.wire import tcp
from tcplab.wire import tcp_options as opt

WORD, LONG = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
PAIR = st.tuples(LONG, LONG)
plenty = settings(max_examples=200, deadline=None, derandomize=True)

# (field of what is read, its value, the octets)
ONE = st.one_of(
    WORD.map(lambda size: ("mss", size, opt.mss(size))),
    st.integers(0, 255).map(lambda shift: ("wscale", shift, opt.window_scale(shift))),
    st.just(("sack_ok", True, opt.sack_permitted())),
    PAIR.map(lambda ts: ("ts", ts, opt.timestamps(*ts))),
    st.lists(PAIR, min_size=1, max_size=4).map(lambda blocks: ("sack", tuple(blocks), opt.sack(blocks))),
    st.binary(max_size=16).map(lambda cookie: ("fastopen", cookie, opt.fastopen(cookie))),
    st.just(("", None, opt.nop())),
)


@given(st.lists(ONE, max_size=6, unique_by=lambda one: one[0]))
@plenty
def test_what_is_encoded_is_read(chosen: list[tuple[str, object, bytes]]) -> None:
    raw = b"".join(octets for _, _, octets in chosen)
    expected = {name: value for name, value, _ in chosen if name}
    absent = {"mss": None, "wscale": None, "sack_ok": False, "ts": None, "sack": (), "fastopen": None}
    read = [opt.parse(raw)]
    if len(raw) <= 40:
        segment = tcp.build(1, 2, 3, 4, 5, 6, tcp.ACK, 7, raw)
        read.append(tcp.parse(segment, 0, len(segment), 1, 2))  # type: ignore[arg-type]
    for found in read:
        assert {name: getattr(found, name) for name in absent} == {**absent, **expected}


@given(st.binary(max_size=40))
@plenty
def test_any_octets_are_read(raw: bytes) -> None:
    opt.parse(raw)
    assert "\n" not in opt.text(raw)
    segment = tcp.build(1, 2, 3, 4, 5, 6, tcp.ACK, 7, raw)
    seg = tcp.parse(segment, 0, len(segment), 1, 2)
    assert seg.raw_options.rstrip(b"\0") == raw.rstrip(b"\0")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (opt.mss(1460) + opt.sack_permitted() + opt.timestamps(1, 0) + opt.nop() + opt.window_scale(10),
         "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 10"),
        (opt.nop() * 2 + opt.sack([(101, 201), (301, 401)]), "nop,nop,sack 2 {1:101}{201:301}"),
        (opt.fastopen(), "tfo cookiereq"),
        (opt.fastopen(b"\xab\xcd"), "tfo cookie abcd"),
        (b"\x13\x04\xca\xfe", "unknown-19 cafe"),
        (b"", ""),
    ],
)  # fmt: skip
def test_words(raw: bytes, text: str) -> None:
    assert opt.text(raw, 100).replace("} {", "}{") == text


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x02", "a kind without a length"),
        (b"\x02\x00", "length 0"),
        (b"\x02\x01", "length 1"),
        (b"\x02\x05\x05\xb4", "longer than what is there"),
        (b"\x00\x02\x04\x05\xb4", "behind the end of the list"),
        (b"\x02\x03\x05", "an MSS of one octet"),
        (b"\x05\x06\x00\x00\x00\x00", "half a SACK block"),
        (b"\x05\x02", "no SACK block"),
        (b"\x08\x06\x00\x00\x00\x00", "half a timestamp"),
    ],
)
def test_nonsense_is_not_there(raw: bytes, why: str) -> None:
    found = opt.parse(raw)
    assert (found.mss, found.wscale, found.sack_ok, found.ts, found.sack) == (None, None, False, None, ()), why


def test_what_stands_before_nonsense_counts_and_unknown_kinds_are_skipped() -> None:
    assert opt.parse(opt.mss(536) + b"\x08\x00").mss == 536
    assert opt.parse(b"\xfd\x04\x00\x00" + opt.mss(536)).mss == 536
    assert opt.parse(b"\xfe\x06" + opt.FASTOPEN_MAGIC + b"ab").fastopen == b"ab"


def test_forty_octets_fit() -> None:
    segment = tcp.build(1, 2, 3, 4, 5, 6, tcp.ACK, 7, opt.nop() * 37)
    assert len(segment) == 60
    with pytest.raises(ValueError, match="40 fit"):
        tcp.build(1, 2, 3, 4, 5, 6, tcp.ACK, 7, opt.nop() * 41)


@pytest.mark.parametrize(
    ("flags", "names"),
    [(2, "S"), (18, "SA"), (16, "A"), (24, "PA"), (17, "FA"), (25, "FPA"), (4, "R"), (20, "RA"), (0, ""),
     (194, "SEW"), (255, "SFRPAUEW")],
)  # fmt: skip
def test_flag_names(flags: int, names: str) -> None:
    assert tcp.flag_names(flags) == names
