"""Two bare Python programs on the link of the kernel's benchmark: segments with right checksums, no TCP.

One builds and sends, the other receives, sums and counts; every so often it says how far it is, so that no queue runs
over. What a TCP in Python costs is what it takes beyond this.
"""

from __future__ import annotations

import os
import socket
import time
from struct import Struct

from kernel_peer import KernelPair

PAYLOAD = 1448
WINDOW, EVERY = 512, 64
_IP = 0x0800
_HEADS = Struct("!12sHBBHHHBBHIIHHIIBBHHH")
_SEQ_AT, _TCP_AT = 38, 34
_MAC_A, _MAC_B = bytes.fromhex("02000a4e0001"), bytes.fromhex("02000a4e0002")
_SRC, _DST = 0x0A4E0065, 0x0A4E0066  # nobody's: the kernel must not answer
_BUFFER = 16 << 20


def segment(seq: int, payload: bytes) -> bytes:
    """A frame with both checksums."""
    size = 20 + len(payload)
    total = _SRC + _DST + 6 + size + 9 * 0x10000 + 9 + seq + 0x5010 + 65535 + int.from_bytes(payload, "big")
    header = 0x4500 + 20 + size + 64 * 256 + 6 + _SRC + _DST
    return (
        _HEADS.pack(
            _MAC_B + _MAC_A, _IP, 0x45, 0, 20 + size, 0, 0, 64, 6, -header % 0xFFFF, _SRC, _DST, 9, 9, seq, 0, 0x50,
            0x10, 65535, -total % 0xFFFF, 0,
        )
        + payload
    )  # fmt: skip


def right(frame: bytes) -> bool:
    """Both checksums are."""
    total = int.from_bytes(frame[26:], "big") + 6 + len(frame) - _TCP_AT
    return not int.from_bytes(frame[14:34], "big") % 0xFFFF and not total % 0xFFFF


def bulk(size: int) -> float:
    """Octets per second."""
    pair = KernelPair()
    ends = []
    for name in ("a", "b"):
        with pair.spaces.inside(name):
            end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IP))
            end.bind(("direct", _IP))
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        end.settimeout(20)
        ends.append(end)
    count = size // PAYLOAD
    pid = os.fork()
    if not pid:
        try:
            _receive(ends[1], count)
        finally:
            os._exit(0)
    spent = _send(ends[0], count)
    os.waitpid(pid, 0)
    for end in ends:
        end.close()
    pair.close()
    return count * PAYLOAD / spent


def _send(end: socket.socket, count: int) -> float:
    """Seconds until the last has been counted."""
    payload = bytes(range(1, 182)) * 8
    counted = 0
    began = time.perf_counter()
    for number in range(count):
        while number - counted >= WINDOW:
            counted = _counted(end, counted)
        end.send(segment(number, payload))
    while counted < count:
        counted = _counted(end, counted)
    return time.perf_counter() - began


def _counted(end: socket.socket, before: int) -> int:
    frame = end.recv(2048)
    return int.from_bytes(frame[_SEQ_AT : _SEQ_AT + 4], "big") if frame[:6] == _MAC_A else before


def _receive(end: socket.socket, count: int) -> None:
    expected = 0
    while expected < count:
        frame = end.recv(2048)
        if frame[:6] != _MAC_B:
            continue
        assert right(frame)
        assert int.from_bytes(frame[_SEQ_AT : _SEQ_AT + 4], "big") == expected
        expected += 1
        if not expected % EVERY or expected == count:
            reply = segment(expected, b"")
            end.send(_MAC_A + _MAC_B + reply[12:])
