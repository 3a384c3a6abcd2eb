"""Changed, cut and repeated frames delivered into a live connection: the host survives and can always be looked at."""

from __future__ import annotations

import random

import msgspec
import pytest
from support.pair import MAC_A, MAC_B, A, B, Pair

from tcplab.units import MS, SEC
from tcplab.wire import ethernet, frames, ipv4
from tcplab.wire.checksum import checksum

TCP_AT = ethernet.HEADER + ipv4.HEADER
OPENINGS = ("established", "half open", "SYN_SENT", "closing", "TIME_WAIT", "unread")


def live(opening: str, seed: int) -> Pair:
    """Two hosts in the middle of something."""
    pair = Pair(seed=seed)
    if opening == "SYN_SENT":
        pair.lose = lambda *_: True
        pair.connect()
        return pair
    if opening == "half open":
        pair.lose = lambda host, _: host == "b"
        pair.listen()
        pair.connect()
        pair.run(20 * MS)
        return pair
    client, server = pair.open()
    pair.call("a", "send", client, b"question")
    pair.call("b", "send", server, b"answer" * 1000)
    pair.run(10 * MS)
    if opening in ("closing", "TIME_WAIT"):
        pair.call("a", "recv", client, 99_999)
        pair.call("a", "close", client)
        pair.run(SEC)
    if opening == "TIME_WAIT":
        pair.call("b", "recv", server, 99_999)
        pair.call("b", "close", server)
        pair.run(SEC)
    return pair


def right_again(frame: bytes) -> bytes:
    """The frame with the TCP checksum that its octets ask for: now the nonsense is believed."""
    segment = frame[TCP_AT:]
    header = frame[26:34] + bytes((0, 6)) + len(segment).to_bytes(2, "big")
    zeroed = segment[:16] + bytes(2) + segment[18:]
    return frame[:TCP_AT] + zeroed[:16] + checksum(header + zeroed).to_bytes(2, "big") + zeroed[18:]


def hostile(dice: random.Random, frame: bytes) -> bytes:
    """One of the host's own kind of frames, made strange."""
    what = dice.randrange(5)
    if what == 0:
        return frame[: dice.randrange(len(frame) + 1)]
    if what == 1:
        return frame + dice.randbytes(dice.randrange(20))
    changed = bytearray(frame)
    for _ in range(dice.choice([1, 1, 1, 2, 8])):
        changed[dice.randrange(TCP_AT if what > 2 else 0, len(changed))] = dice.choice(
            [0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)]
        )
    return right_again(bytes(changed)) if what > 2 else bytes(changed)


def look(pair: Pair, name: str) -> None:
    """Everything that may be asked of a host at any time."""
    host = pair.host(name)
    assert msgspec.json.encode(host.view(pair.now))
    assert host.deadline >= pair.now
    assert (host.next_timer() != "") == (host.deadline < 1 << 62)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("opening", OPENINGS)
def test_a_host_survives_strange_frames(opening: str, seed: int) -> None:
    dice = random.Random(f"{opening} {seed}")
    pair = live(opening, seed)
    toward = {"a": "b", "b": "a"}
    seen = list(pair.frames)
    for _ in range(150):
        sender, frame, _ = dice.choice(seen[-8:])
        name = toward[sender]
        pair.host(name).on_frame(pair.now, hostile(dice, frame))
        look(pair, name)
        pair.run(dice.choice([0, 0, MS, 20 * MS, SEC]))
        seen = [entry for entry in pair.frames if len(entry[1]) >= TCP_AT + 20] or seen
    for name in "ab":
        for fd in list(pair.host(name).sockets):
            pair.call(name, "abort", fd)
    pair.lose = None
    pair.run(3000 * SEC)
    for name in "ab":
        look(pair, name)
        assert pair.host(name).flows == {}
        assert pair.host(name).sockets == {}


@pytest.mark.parametrize("seed", range(3))
def test_what_the_checksum_catches_changes_nothing(seed: int) -> None:
    """Frames with one wrong octet behind the IP header: the two applications never notice."""
    dice = random.Random(seed)
    pair = Pair(seed=seed)
    client, server = pair.open()
    sent = received = b""
    for _ in range(40):
        data = dice.randbytes(dice.randrange(1, 3000))
        taken = pair.call("a", "send", client, data)
        assert isinstance(taken, int)
        sent += data[:taken]
        for sender, frame, _ in pair.frames[-3:]:
            at = dice.randrange(TCP_AT, len(frame))
            wrong = frame[:at] + bytes((frame[at] ^ dice.randrange(1, 255),)) + frame[at + 1 :]
            pair.host("b" if sender == "a" else "a").on_frame(pair.now, wrong)
        pair.run(20 * MS)
        got = pair.call("b", "recv", server, 99_999)
        assert isinstance(got, bytes)
        received += got
    assert received == sent
    assert pair.conns("a") == pair.conns("b") == ["ESTABLISHED"]
    assert pair.conn("a").total_retrans == 0
    assert pair.counter("a", "TcpInErrs") + pair.counter("b", "TcpInErrs") > 50


def test_noise_of_every_length() -> None:
    pair = live("established", 1)
    before = pair.conn("b")
    for length in range(120):
        for start in (b"", MAC_B + MAC_A + b"\x08\x00", MAC_B + MAC_A + b"\x08\x06"):
            pair.b.on_frame(pair.now, start + bytes(length))
            pair.b.on_frame(pair.now, start + b"\xff" * length)
    look(pair, "b")
    assert pair.conn("b") == before


def test_fragments_and_other_protocols_are_dropped_and_counted() -> None:
    pair = Pair()
    packet = ipv4.build(A, B, 6, bytes(20))
    for fragment in (b"\x20\x00", b"\x00\x01"):
        header = packet[:6] + fragment + packet[8:10] + bytes(2) + packet[12:20]
        header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
        pair.b.on_frame(0, ethernet.header(MAC_B, MAC_A, ethernet.ETH_IP) + header + packet[20:])
    pair.b.on_frame(0, frames.ip_frame(MAC_A, MAC_B, A, B, 17, b"12345678"))
    pair.b.on_frame(0, frames.ip_frame(MAC_A, MAC_B, A, A, 6, bytes(20)))
    assert pair.drops("b") == ["fragment", "fragment", "protocol", "not for us"]
    counted = {name: count for name, count in pair.b.counters.items() if count}
    assert counted == {"IpReasmFails": 2, "IpInUnknownProtos": 1, "IpInAddrErrors": 1, "IpExtInNoECTPkts": 4}
    assert pair.b.out == []
