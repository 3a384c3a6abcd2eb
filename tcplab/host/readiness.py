"""What poll(2) says of a socket (Linux tcp_poll)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tcplab.api.states import State
from tcplab.tcp import sndbuf

if TYPE_CHECKING:
    from tcplab.host.sockets import Socket

IN, PRI, OUT, ERR, HUP, RDNORM, WRNORM, RDHUP = 1, 2, 4, 8, 0x10, 0x40, 0x100, 0x2000
ALWAYS: Final = ERR | HUP
"""Told also when nobody asks."""


def mask(sock: Socket) -> int:
    """The events that hold now."""
    if sock.listener is not None:
        return IN | RDNORM if sock.listener.accept_queue else 0
    conn = sock.conn
    failed = sock.error if conn is None else conn.error
    found = ERR if failed or (sock.notices is not None and sock.notices.queue) else 0
    if conn is None:
        return found | OUT | WRNORM | HUP  # a fresh socket is in CLOSE
    shut_wr = conn.fin_queued or conn.state is State.CLOSED
    shut_rd = conn.shut_rd or conn.fin_rcvd or conn.state is State.CLOSED
    if conn.state is State.CLOSED or (shut_rd and shut_wr):
        found |= HUP
    if shut_rd:
        found |= IN | RDNORM | RDHUP
    opening = conn.state is State.SYN_SENT or (conn.state is State.SYN_RECV and conn.request is None)
    if not opening:  # a connection that Fast Open made early can be used before the third step
        if conn.rcvq:
            found |= IN | RDNORM
        if shut_wr or sndbuf.writable(conn):
            found |= OUT | WRNORM
        else:
            conn.nospace = True
    elif conn.attempt is not None and conn.attempt.deferred:
        found |= OUT | WRNORM  # connect() waits for data that the SYN may carry
    return found
