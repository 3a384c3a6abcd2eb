"""Linux's socket options by name, level by level, and what a value of each is as octets (socket(7), tcp(7), ip(7))."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Final

from tcplab.engines.tcp_info import cc_info, tcp_info

SOCKET_OPTIONS: Final = {
    "SO_DEBUG": 1, "SO_REUSEADDR": 2, "SO_TYPE": 3, "SO_ERROR": 4, "SO_DONTROUTE": 5, "SO_BROADCAST": 6,
    "SO_SNDBUF": 7, "SO_RCVBUF": 8, "SO_KEEPALIVE": 9, "SO_OOBINLINE": 10, "SO_PRIORITY": 12, "SO_LINGER": 13,
    "SO_REUSEPORT": 15, "SO_RCVLOWAT": 18, "SO_SNDLOWAT": 19, "SO_RCVTIMEO": 20, "SO_SNDTIMEO": 21,
    "SO_TIMESTAMP": 29, "SO_ACCEPTCONN": 30, "SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33, "SO_MARK": 36,
    "SO_TIMESTAMPING": 37, "SO_PROTOCOL": 38, "SO_DOMAIN": 39, "SO_BUSY_POLL": 46, "SO_MAX_PACING_RATE": 47,
    "SO_MEMINFO": 55, "SO_ZEROCOPY": 60,
}  # fmt: skip
TCP_OPTIONS: Final = {
    "TCP_NODELAY": 1, "TCP_MAXSEG": 2, "TCP_CORK": 3, "TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6,
    "TCP_SYNCNT": 7, "TCP_LINGER2": 8, "TCP_DEFER_ACCEPT": 9, "TCP_WINDOW_CLAMP": 10, "TCP_INFO": 11,
    "TCP_QUICKACK": 12, "TCP_CONGESTION": 13, "TCP_MD5SIG": 14, "TCP_THIN_LINEAR_TIMEOUTS": 16,
    "TCP_USER_TIMEOUT": 18, "TCP_REPAIR": 19, "TCP_FASTOPEN": 23, "TCP_TIMESTAMP": 24, "TCP_NOTSENT_LOWAT": 25,
    "TCP_CC_INFO": 26, "TCP_SAVE_SYN": 27, "TCP_SAVED_SYN": 28, "TCP_FASTOPEN_CONNECT": 30, "TCP_ULP": 31,
    "TCP_MD5SIG_EXT": 32, "TCP_FASTOPEN_KEY": 33, "TCP_FASTOPEN_NO_COOKIE": 34, "TCP_INQ": 36, "TCP_TX_DELAY": 37,
    "TCP_RTO_MAX_MS": 44, "TCP_RTO_MIN_US": 45, "TCP_DELACK_MAX_US": 46,
}  # fmt: skip
IP_OPTIONS: Final = {"IP_TOS": 1, "IP_TTL": 2, "IP_MTU_DISCOVER": 10, "IP_RECVERR": 11, "IP_MTU": 14,
                     "IP_BIND_ADDRESS_NO_PORT": 24, "IP_LOCAL_PORT_RANGE": 51}  # fmt: skip

_LEVELS: Final = ((1, SOCKET_OPTIONS), (6, TCP_OPTIONS), (0, IP_OPTIONS))
_LONGEST: Final = 1024


def number_of(name: str) -> tuple[int, int]:
    """Level and number of an option. ENOPROTOOPT: there is none of that name."""
    for level, table in _LEVELS:
        if name in table:
            return level, table[name]
    raise OSError(errno.ENOPROTOOPT, f"no socket option {name}")


def set_option(sock: socket.socket, name: str, value: int | tuple[int, ...] | str | bytes) -> None:
    """setsockopt(2) by name: a number, several of them, a word or octets."""
    if isinstance(value, tuple):
        value = struct.pack(f"{len(value)}i", *value)
    elif isinstance(value, str):
        value = value.encode()
    elif isinstance(value, int):
        value = struct.pack("I", value & 0xFFFFFFFF)
    sock.setsockopt(*number_of(name), value)


def get_option(sock: socket.socket, name: str) -> Any:
    """getsockopt(2) by name; TCP_INFO and TCP_CC_INFO as dictionaries."""
    raw = sock.getsockopt(*number_of(name), _LONGEST)
    if name == "TCP_INFO":
        return tcp_info(raw)
    if name == "TCP_CC_INFO":
        return cc_info(raw)
    if name == "SO_LINGER":
        return struct.unpack("ii", raw)
    if name == "TCP_CONGESTION":
        return raw.rstrip(b"\0").decode()
    number = len(raw) == 4 or name == "SO_MAX_PACING_RATE"
    return int.from_bytes(raw, "little", signed=True) if number else raw
