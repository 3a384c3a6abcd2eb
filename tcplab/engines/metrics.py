"""What TCP remembers of its peers, Fast Open cookies among it, forgotten: `ip tcp_metrics flush` by generic netlink.

See netlink(7), linux/genetlink.h, linux/tcp_metrics.h.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

_NETLINK_GENERIC: Final = 16
_CONTROLLER: Final = 0x10
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_DELETE: Final = 2
_REQUEST_ACK: Final = 1 | 4
_ERROR: Final = 2
_HEADER: Final = 16 + 4


def flush_metrics() -> None:
    """All of this network namespace. OSError: it may not, or the kernel has none."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as netlink:
        name = b"tcp_metrics\0"
        wanted = struct.pack("HH", 4 + len(name), _FAMILY_NAME) + name
        answer = _ask(netlink, _CONTROLLER, _GET_FAMILY, wanted)
        at = _HEADER
        while at + 4 <= len(answer):
            length, kind = struct.unpack_from("HH", answer, at)
            if kind == _FAMILY_ID:
                (family,) = struct.unpack_from("H", answer, at + 4)
                _ask(netlink, family, _DELETE, b"")
                return
            at += max(length + 3 & ~3, 4)


def _ask(netlink: socket.socket, family: int, command: int, attributes: bytes) -> bytes:
    """The first message that answers, if it is not the acknowledgement alone."""
    body = struct.pack("BBH", command, 1, 0) + attributes
    netlink.send(struct.pack("IHHII", 16 + len(body), family, _REQUEST_ACK, 1, 0) + body)
    found = b""
    while True:
        data = netlink.recv(1 << 16)
        (kind,) = struct.unpack_from("H", data, 4)
        if kind != _ERROR:
            found = found or data
            continue
        (code,) = struct.unpack_from("i", data, 16)
        if code:
            raise OSError(-code, os.strerror(-code))
        return found
