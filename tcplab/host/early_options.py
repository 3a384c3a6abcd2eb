"""The socket options of Fast Open (tcp(7), Linux do_tcp_setsockopt)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tcplab.tcp.fastopen import CLIENT

if TYPE_CHECKING:
    from tcplab.host.options import Value
    from tcplab.host.sockets import Socket


def queue_length(sock: Socket, value: Value) -> None:
    """Connections that may be open before their third step; 0: no Fast Open. Also on a live listener."""
    if not isinstance(value, int) or value < 0 or sock.conn is not None:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN takes a number, from 0, on a listening or fresh socket")
    sock.fastopen.max_qlen = min(value, sock.machine.sysctl.somaxconn)


def connect(sock: Socket, value: Value) -> None:
    """connect() waits for the first data, if a cookie is there."""
    if value not in (0, 1):
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_CONNECT takes 0 or 1")
    if not sock.machine.sysctl.tcp_fastopen & CLIENT:
        raise OSError(errno.EOPNOTSUPP, "the sysctl tcp_fastopen has no client bit")
    if sock.conn is not None or sock.listener is not None:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_CONNECT comes before connect()")
    sock.fastopen.connect = bool(value)


def no_cookie(sock: Socket, value: Value) -> None:
    """Data in the SYN without a cookie, as a client and as a server."""
    if value not in (0, 1) or sock.conn is not None:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_NO_COOKIE takes 0 or 1, on a listening or fresh socket")
    sock.fastopen.no_cookie = bool(value)


def key(sock: Socket, value: Value) -> None:
    """16 octets, or 32: then cookies of the second key count too, and are replaced."""
    try:
        sock.fastopen.set_key(bytes(value) if isinstance(value, (bytes, tuple)) else b"")
    except ValueError:
        raise OSError(errno.EINVAL, "TCP_FASTOPEN_KEY takes 16 or 32 octets") from None
