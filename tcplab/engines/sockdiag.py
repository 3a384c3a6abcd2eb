"""A network namespace's TCP sockets as `ss` gets them: sock_diag(7) by netlink, requests and buckets included."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from tcplab.api.states import State
from tcplab.engines.tcp_info import cc_info, tcp_info

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x001 | 0x300
_DONE, _ERROR = 3, 2
_INFO: Final = 2
"""INET_DIAG_INFO."""
_VEGASINFO, _BBRINFO = 3, 16
"""Whoever asks for the first gets the second of a socket with bbr: it does not fit into what can be asked for."""
_HEADER: Final = 16
_MESSAGE: Final = struct.Struct("=BBBB 2s2s 4s12x 4s12x I8x 5I")
"""struct inet_diag_msg."""
_STATES: Final = (
    None, State.ESTABLISHED, State.SYN_SENT, State.SYN_RECV, State.FIN_WAIT_1, State.FIN_WAIT_2, State.TIME_WAIT,
    State.CLOSED, State.CLOSE_WAIT, State.LAST_ACK, State.LISTEN, State.CLOSING, State.SYN_RECV,
)  # fmt: skip


class Entry(NamedTuple):
    """One socket, request or bucket."""

    state: State
    local: str
    """`10.77.0.1:40001`"""
    peer: str
    timer: int
    """0 none, 1 retransmission, 2 keepalive, 3 TIME_WAIT, 4 window probe."""
    retrans: int
    expires: int
    """Milliseconds."""
    recv_q: int
    send_q: int
    info: dict[str, int]

    @property
    def conn(self) -> str:
        """The connection's name in events and views."""
        return f"{self.local}>{self.peer}"


class SockDiag:
    """Asks about the network namespace in which it was made."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)

    def dump(self, info: bool = False) -> list[Entry]:
        """All of IPv4; with TCP_INFO and TCP_CC_INFO if `info`."""
        wanted = (1 << (_INFO - 1) | 1 << (_VEGASINFO - 1)) * info
        body = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, wanted, 0, 0xFFFFFFFF)
        head = struct.pack("=IHHII", _HEADER + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
        self._netlink.send(head + body)
        found: list[Entry] = []
        while self._take(self._netlink.recv(1 << 17), found):
            pass
        return found

    @staticmethod
    def _take(data: bytes, found: list[Entry]) -> bool:
        """The messages of one datagram; False after the last."""
        at = 0
        while at + _HEADER <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind == _DONE:
                return False
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", data, at + _HEADER)
                raise OSError(-code, "sock_diag refuses")
            found.append(_entry(data[at + _HEADER : at + length]))
            at += length + 3 & ~3
        return True

    def close(self) -> None:
        """Give the socket back."""
        self._netlink.close()


def _entry(body: bytes) -> Entry:
    _, state, timer, retrans, sport, dport, src, dst, _, expires, rqueue, wqueue, _, _ = _MESSAGE.unpack_from(body)
    info: dict[str, int] = {}
    at = _MESSAGE.size
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if kind == _INFO:
            info |= tcp_info(body[at + 4 : at + length])
        elif kind == _BBRINFO:
            info |= cc_info(body[at + 4 : at + length])
        at += max(length + 3 & ~3, 4)
    known = _STATES[state] if state < len(_STATES) else None
    local, peer = _endpoint(src, sport), _endpoint(dst, dport)
    return Entry(known or State.CLOSED, local, peer, timer, retrans, expires, rqueue, wqueue, info)


def _endpoint(addr: bytes, port: bytes) -> str:
    return f"{socket.inet_ntoa(addr)}:{int.from_bytes(port, 'big')}"
