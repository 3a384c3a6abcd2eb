"""The error queue of a socket: recvmsg(2) with MSG_ERRQUEUE, and the two options that fill it (socket(7), Linux
msg_zerocopy.rst and timestamping.rst)."""

from __future__ import annotations

import errno
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from tcplab.api.states import State
from tcplab.tcp import notices
from tcplab.tcp.notices import Notices

if TYPE_CHECKING:
    from tcplab.host.options import Value
    from tcplab.host.sockets import Socket
    from tcplab.tcp.connection import Connection

MSG_ERRQUEUE, MSG_TRUNC = 0x2000, 0x20
_NONE: Final = Notices()
_MAX_FRAGS: Final = 17


def _of(sock: Socket) -> Notices:
    """Its queue; from now on it has one."""
    if sock.notices is None:
        sock.notices = Notices()
        if sock.conn is not None:
            sock.conn.notices = sock.notices
    return sock.notices


def own(sock: Socket, conn: Connection) -> None:
    """A new connection of `sock` uses its queue; one that it accepted brought its own."""
    if conn.notices is None:
        conn.notices = sock.notices
    else:
        sock.notices = conn.notices


def inherit(sock: Socket, conn: Connection) -> None:
    """A connection of a listener has the listener's options, and an empty queue (sk_clone)."""
    if sock.notices is not None:
        conn.notices = Notices(sock.notices.zerocopy, sock.notices.flags)


def zerocopy(sock: Socket, value: Value) -> None:
    """SO_ZEROCOPY: send() with MSG_ZEROCOPY tells by the error queue when the octets are not needed any more."""
    if value not in (0, 1):
        raise OSError(errno.EINVAL, "SO_ZEROCOPY takes 0 or 1")
    _of(sock).zerocopy = bool(value)


def timestamping(sock: Socket, value: Value) -> None:
    """SO_TIMESTAMPING. OPT_ID counts from snd_una, with OPT_ID_TCP from what is written next (sock_set_timestamping).

    EINVAL: an unknown flag, OPT_ID before there is a connection, OPT_ID_TCP without OPT_ID.
    """
    if not isinstance(value, int) or value & ~notices.ALL_STAMPS:
        raise OSError(errno.EINVAL, "SO_TIMESTAMPING takes flags")
    if value & notices.OPT_ID_TCP and not value & notices.OPT_ID:
        raise OSError(errno.EINVAL, "OPT_ID_TCP goes with OPT_ID")
    conn = sock.conn
    if value & notices.OPT_ID and not stamps(sock) & notices.OPT_ID:
        if conn is None or conn.state is State.CLOSED:
            raise OSError(errno.EINVAL, "OPT_ID counts octets of a connection")
        _of(sock).base = conn.data_end if value & notices.OPT_ID_TCP else conn.snd_una
    _of(sock).flags = value


def stamps(sock: Socket) -> int:
    """SO_TIMESTAMPING as it is set."""
    return (sock.notices or _NONE).flags


def is_zerocopy(sock: Socket) -> int:
    """SO_ZEROCOPY as it is set."""
    return int((sock.notices or _NONE).zerocopy)


def read(sock: Socket, most: int) -> tuple[bytes, dict[str, Any]]:
    """recvmsg(2) with MSG_ERRQUEUE: what comes back of the octets, and the control messages. EAGAIN: it is empty.

    `msg_flags` says MSG_TRUNC when there was more than `most`. IP_RECVERR is (ee_errno, ee_origin, ee_type, ee_code,
    ee_info, ee_data), SCM_TIMESTAMPING the time in nanoseconds.
    """
    if sock.notices is None or not sock.notices.queue:
        raise BlockingIOError(errno.EAGAIN, "the error queue is empty")
    notice = sock.notices.queue.popleft()
    control: dict[str, Any] = {"msg_flags": MSG_ERRQUEUE | (MSG_TRUNC if len(notice.octets) > most else 0)}
    if notice.at is not None and sock.notices.flags & notices.SOFTWARE:
        control["SCM_TIMESTAMPING"] = notice.at
    control["IP_RECVERR"] = notice.errno, notice.origin, 0, notice.code, notice.info, notice.data
    if sock.notices.queue:
        sock.noticed()
    return notice.octets[:most], control


def cuts(sock: Socket, parts: list[bytes], flags: int) -> list[int]:
    """Where sendmsg()'s octets are cut: an sk_buff holds at most 17 of the buffers that are lent (MAX_SKB_FRAGS)."""
    if not flags & notices.MSG_ZEROCOPY or len(parts) <= _MAX_FRAGS or not is_zerocopy(sock):
        return []
    ends = list(accumulate(len(part) for part in parts if part))
    return ends[_MAX_FRAGS - 1 : -1 : _MAX_FRAGS]
