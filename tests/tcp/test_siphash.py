"""The keyed hash of Fast Open cookies: the vectors of its authors and of the kernel's own scripts."""

from __future__ import annotations

from tcplab.tcp.siphash import siphash


def test_the_vector_of_the_paper() -> None:
    assert siphash(bytes(range(16)), bytes(range(8))).hex() == "6224939a79f5f593"


def test_linux_cookie() -> None:
    key = b"".join(bytes([octet]) * 4 for octet in (0xA1, 0xB2, 0xC3, 0xD4))
    assert siphash(key, bytes([192, 0, 2, 1, 192, 168, 0, 1])).hex() == "3021b9d889017eeb"
