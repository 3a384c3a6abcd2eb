"""The socket options of Fast Open (tcp(7), Linux do_tcp_setsockopt)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tcplab.tcp.fastopen import CLIENT

if TYPE_CHECKING:
    from tcplab.host.sockets import Socket


def _queue_length(sock: Socket, value: int | tuple[int, ...]) -> None:
    """Connections that may be open before their third step; 0: no Fast Open. Also on a live listener."""
    if isinstance(value, tuple) or value < 0 or sock.conn is not None:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN takes a number, from 0, on a listening or fresh socket")
    sock.fastopen.max_qlen = min(value, sock.machine.sysctl.somaxconn)


def _connect(sock: Socket, value: int | tuple[int, ...]) -> None:
    if value not in (0, 1):
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_CONNECT takes 0 or 1")
    if not sock.machine.sysctl.tcp_fastopen & CLIENT:
        raise OSError(errno.EOPNOTSUPP, "the sysctl tcp_fastopen has no client bit")
    if sock.conn is not None or sock.listener is not None:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_CONNECT comes before connect()")
    sock.fastopen.connect = bool(value)


def _no_cookie(sock: Socket, value: int | tuple[int, ...]) -> None:
    if value not in (0, 1) or sock.conn is not None:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_NO_COOKIE takes 0 or 1, on a listening or fresh socket")
    sock.fastopen.no_cookie = bool(value)


def _key(sock: Socket, value: int | tuple[int, ...]) -> None:
    """16 octets, or 32: then cookies of the second key count too, and are replaced."""
    try:
        sock.fastopen.set_key(b"" if isinstance(value, int) else bytes(value))
    except ValueError:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_KEY takes 16 or 32 octets") from None


SETTERS: Final[dict[str, Callable[[Socket, int | tuple[int, ...]], None]]] = {
    "TCP_FASTOPEN": _queue_length,
    "TCP_FASTOPEN_CONNECT": _connect,
    "TCP_FASTOPEN_NO_COOKIE": _no_cookie,
    "TCP_FASTOPEN_KEY": _key,
}

GETTERS: Final[dict[str, Callable[[Socket], int]]] = {
    "TCP_FASTOPEN": lambda sock: sock.fastopen.max_qlen,
    "TCP_FASTOPEN_CONNECT": lambda sock: int(sock.fastopen.connect),
    "TCP_FASTOPEN_NO_COOKIE": lambda sock: int(sock.fastopen.no_cookie),
}
