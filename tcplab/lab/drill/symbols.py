"""Linux's constants by name, as scripts use them (x86-64 and every architecture with its generic numbers)."""

from __future__ import annotations

import errno
from typing import Any, Final

from tcplab.engines.sockopt import IP_OPTIONS, SOCKET_OPTIONS, TCP_OPTIONS
from tcplab.lab.drill.errors import NotHere
from tcplab.lab.drill.script import Either, Word

LEVELS: Final = {
    "SOL_SOCKET": 1, "SOL_IP": 0, "IPPROTO_IP": 0, "SOL_TCP": 6, "IPPROTO_TCP": 6, "SOL_IPV6": 41, "IPPROTO_IPV6": 41,
}  # fmt: skip
MSG_FLAGS: Final = {
    "MSG_OOB": 1, "MSG_PEEK": 2, "MSG_DONTROUTE": 4, "MSG_CTRUNC": 8, "MSG_TRUNC": 0x20, "MSG_DONTWAIT": 0x40,
    "MSG_EOR": 0x80, "MSG_WAITALL": 0x100, "MSG_FIN": 0x200, "MSG_SYN": 0x400, "MSG_ERRQUEUE": 0x2000,
    "MSG_NOSIGNAL": 0x4000, "MSG_MORE": 0x8000, "MSG_ZEROCOPY": 0x4000000, "MSG_FASTOPEN": 0x20000000,
}  # fmt: skip
POLL: Final = {
    "POLLIN": 1, "POLLPRI": 2, "POLLOUT": 4, "POLLERR": 8, "POLLHUP": 0x10, "POLLNVAL": 0x20, "POLLRDNORM": 0x40,
    "POLLWRNORM": 0x100, "POLLRDHUP": 0x2000, "EPOLLIN": 1, "EPOLLPRI": 2, "EPOLLOUT": 4, "EPOLLERR": 8,
    "EPOLLHUP": 0x10, "EPOLLRDNORM": 0x40, "EPOLLWRNORM": 0x100, "EPOLLRDHUP": 0x2000, "EPOLLONESHOT": 1 << 30,
    "EPOLLEXCLUSIVE": 1 << 28,
    "EPOLLET": 1 << 31, "EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3,
}  # fmt: skip
STATES: Final = {
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
    "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
    "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16,
    "TCPI_OPT_SYN_DATA": 32, "TCPI_OPT_USEC_TS": 64, "TCPI_OPT_TFO_CHILD": 128,
}  # fmt: skip
_OTHER: Final = {
    "AF_INET": 2, "PF_INET": 2, "AF_INET6": 10, "AF_UNIX": 1, "SOCK_STREAM": 1, "SOCK_DGRAM": 2,
    "SOCK_NONBLOCK": 0o4000, "SOCK_CLOEXEC": 0o2000000, "SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2,
    "F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2,
    "O_NONBLOCK": 0o4000, "FIONREAD": 0x541B, "SIOCINQ": 0x541B, "SIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894B,
    "SPLICE_F_MOVE": 1, "SPLICE_F_NONBLOCK": 2, "SPLICE_F_MORE": 4,
    "SO_EE_ORIGIN_NONE": 0, "SO_EE_ORIGIN_LOCAL": 1, "SO_EE_ORIGIN_ICMP": 2, "SO_EE_ORIGIN_TIMESTAMPING": 4,
    "SO_EE_ORIGIN_ZEROCOPY": 5, "SO_EE_CODE_ZEROCOPY_COPIED": 1, "SCM_TIMESTAMPING": 37, "SCM_TSTAMP_SND": 0,
    "SCM_TSTAMP_SCHED": 1, "SCM_TSTAMP_ACK": 2, "TCP_CM_INQ": 36, "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_WANT": 1,
    "IP_PMTUDISC_DO": 2, "IP_PMTUDISC_PROBE": 3, "SOF_TIMESTAMPING_TX_HARDWARE": 1,
    "SOF_TIMESTAMPING_TX_SOFTWARE": 2, "SOF_TIMESTAMPING_RX_SOFTWARE": 8, "SOF_TIMESTAMPING_SOFTWARE": 16,
    "SOF_TIMESTAMPING_OPT_ID": 128, "SOF_TIMESTAMPING_TX_SCHED": 256, "SOF_TIMESTAMPING_TX_ACK": 512,
    "SOF_TIMESTAMPING_OPT_TSONLY": 2048, "NULL": 0,
}  # fmt: skip
CONSTANTS: Final[dict[str, int]] = {
    **LEVELS, **IP_OPTIONS, **SOCKET_OPTIONS, **TCP_OPTIONS, **MSG_FLAGS, **POLL, **STATES, **_OTHER,
}  # fmt: skip
_OPTION_NAMES: Final[dict[int, dict[int, str]]] = {
    level: {number: name for name, number in table.items()}
    for level, table in ((1, SOCKET_OPTIONS), (6, TCP_OPTIONS), (0, IP_OPTIONS))
}


def number(value: Any, file: str, line: int) -> int:
    """The number that an expression stands for. NotHere: a name that is not known."""
    if isinstance(value, int):
        return value
    if isinstance(value, Word):
        if value.name in CONSTANTS:
            return CONSTANTS[value.name]
        if hasattr(errno, value.name):
            return int(getattr(errno, value.name))
        raise NotHere(file, line, f"{value.name}: no such constant here")
    if isinstance(value, Either):
        bits = 0
        for part in value.parts:
            bits |= number(part, file, line)
        return bits
    raise NotHere(file, line, f"{value!r} stands here, where a number was expected")


def option_name(level: int, option: int) -> str:
    """`SO_REUSEADDR` of its numbers; `level:option` when it has no name here."""
    return _OPTION_NAMES.get(level, {}).get(option, f"{level}:{option}")
