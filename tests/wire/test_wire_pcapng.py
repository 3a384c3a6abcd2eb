"""Captures: the same frames give the same octets, and tshark takes them without complaint."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from support.pair import MAC_A, MAC_B, A, B, Pair

from tcplab.units import MS, SEC
from tcplab.wire import frames, tcp
from tcplab.wire.pcapng import Writer

FRAME = frames.tcp_frame(MAC_A, MAC_B, A, B, 7, tcp.build(A, B, 40001, 80, 1000, 0, tcp.SYN, 64240))
NEVER_SEEN = "tshark is not installed: what it makes of our captures cannot be seen"


def capture(*packets: tuple[int, bytes, str], names: tuple[str, ...] = ("a",)) -> bytes:
    """One section: each packet is (t, frame, comment), on the first interface."""
    file = io.BytesIO()
    writer = Writer(file)
    for number, name in enumerate(names):
        assert writer.interface(name) == number
    for t, frame, comment in packets:
        writer.packet(0, t, frame, comment)
    return file.getvalue()


def test_the_octets() -> None:
    octets = capture((0x1_0000_0002, b"\xaa" * 5, "why"))
    section, interface, packet = octets[:28], octets[28:68], octets[68:]
    assert section.hex() == "0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000"
    name, resolution = "0200010061000000", "0900010009000000"
    assert interface.hex() == "01000000280000000100000000000400" + name + resolution + "0000000028000000"
    head = "06000000340000000000000001000000020000000500000005000000"
    assert packet.hex() == head + "aaaaaaaaaa00000001000300776879000000000034000000"


def test_the_same_frames_give_the_same_octets() -> None:
    packets = [(n * MS, FRAME, f"frame {n}") for n in range(5)]
    assert capture(*packets) == capture(*packets)


@pytest.mark.parametrize("size", range(5))
def test_every_block_fills_whole_words(size: int) -> None:
    octets = capture((1, bytes(size), "c" * size), names=("n" * size,))
    at = 0
    while at < len(octets):
        length = int.from_bytes(octets[at + 4 : at + 8], "little")
        assert length % 4 == 0
        assert octets[at + length - 4 : at + length] == octets[at + 4 : at + 8]
        at += length
    assert at == len(octets)


def test_a_comment_that_is_too_long_ends_with_a_whole_character() -> None:
    octets = capture((0, FRAME, "x" + "\N{RIGHTWARDS ARROW}" * 30000))
    at = octets.index(b"\x01\x00\xfd\xff" + b"x")  # 65,533 octets: one and 21,844 arrows of three each
    assert octets[at + 4 : at + 4 + 65533].decode() == "x" + "\N{RIGHTWARDS ARROW}" * 21844


def tshark(path: Path, *words: str) -> list[str]:
    """The lines that tshark prints; what it says on stderr beyond its remark about root is a complaint."""
    if shutil.which("tshark") is None:
        pytest.skip(NEVER_SEEN)
    done = subprocess.run(
        ["tshark", "-n", "-r", str(path), *words], capture_output=True, text=True, check=False, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Running as user")]
    assert (done.returncode, complaints) == (0, [])
    return done.stdout.splitlines()


def columns(path: Path, *names: str) -> list[list[str]]:
    """One row per packet, checksums verified."""
    checks = [word for proto in ("tcp", "ip") for word in ("-o", f"{proto}.check_checksum:TRUE")]
    wanted = [word for name in names for word in ("-e", name)]
    return [line.split("\t") for line in tshark(path, *checks, "-T", "fields", *wanted)]


def conversation() -> list[tuple[int, int, bytes, str]]:
    """A whole connection from ARP to the last ACK: (interface, time, frame, why)."""
    pair = Pair(acquainted=False)
    seen: list[tuple[int, int, bytes, str]] = []
    client, server = -1, -1
    steps = [
        lambda: pair.call("a", "send", client, b"GET / HTTP/1.0\r\n\r\n"),
        lambda: pair.call("b", "send", server, b"x" * 5001),
        lambda: pair.call("b", "close", server),
        lambda: (pair.call("a", "recv", client, 99999), pair.call("a", "close", client)),
    ]

    def note() -> None:
        for host, frame, why in pair.frames:
            seen.append((0 if host == "a" else 1, pair.now, frame, why))
        pair.frames.clear()

    listener, client = pair.listen(), pair.connect()
    pair.run(100 * MS)
    server, _ = pair.call("b", "accept", listener)
    note()
    for step in steps:
        step()
        pair.run(100 * MS)
        note()
    return seen


def test_tshark_reads_a_connection(tmp_path: Path) -> None:
    path = tmp_path / "connection.pcapng"
    seen = conversation()
    with path.open("wb") as file:
        writer = Writer(file)
        for name in ("a eth0", "b eth0"):
            writer.interface(name)
        for interface, t, frame, why in seen:
            writer.packet(interface, t, frame, why)
    rows = columns(path, "frame.interface_name", "frame.time_epoch", "frame.comment", "frame.len")
    expected = [
        ["ab"[interface] + " eth0", f"{t // SEC}.{t % SEC:09}", why, str(len(frame))]
        for interface, t, frame, why in seen
    ]
    assert rows == expected
    verdicts = columns(path, "eth.type", "ip.checksum.status", "tcp.checksum.status")
    assert [row for row in verdicts if row not in (["0x0800", "1", "1"], ["0x0806", "", ""])] == []
    assert len(verdicts) == len(seen) > 15


def test_tshark_finds_nothing_to_complain_of_in_a_lossless_connection(tmp_path: Path) -> None:
    """No expert warning or error, and nothing for TCP's analysis to flag."""
    path = tmp_path / "clean.pcapng"
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"hello")
    pair.run(SEC)
    pair.call("b", "recv", server, 100)
    pair.call("a", "close", client)
    pair.run(SEC)
    pair.call("b", "close", server)
    pair.run(SEC)
    path.write_bytes(capture(*((n, frame, why) for n, (_, frame, why) in enumerate(pair.frames))))
    wanted = "_ws.expert.severity >= 0x600000 || tcp.analysis.flags || _ws.malformed"
    assert tshark(path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", wanted) == []
    assert len(columns(path, "frame.number")) == len(pair.frames)


def test_tshark_reads_times_to_the_nanosecond_and_odd_comments(tmp_path: Path) -> None:
    path = tmp_path / "odd.pcapng"
    times = [0, 1, 999_999_999, 86_400 * SEC + 123_456_789, (1 << 62) // SEC * SEC + 7]
    comments = ["", "octets: \N{RIGHTWARDS ARROW}", "c" * 1000, 'quote " and = and , signs', "\N{SNOWMAN}" * 30000]
    path.write_bytes(capture(*((t, FRAME, comment) for t, comment in zip(times, comments, strict=True))))
    rows = columns(path, "frame.time_epoch", "frame.comment")
    assert [row[0] for row in rows] == [f"{t // SEC}.{t % SEC:09}" for t in times]
    assert [row[1] for row in rows][:4] == comments[:4]
