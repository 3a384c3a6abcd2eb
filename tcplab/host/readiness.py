"""What poll(2) says of a socket (Linux tcp_poll)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tcplab.api.states import State
from tcplab.tcp import seq

if TYPE_CHECKING:
    from tcplab.host.sockets import Socket
    from tcplab.tcp.tcb import Tcb

IN, PRI, OUT, ERR, HUP, RDNORM, WRNORM, RDHUP = 1, 2, 4, 8, 0x10, 0x40, 0x100, 0x2000
ALWAYS: Final = ERR | HUP
"""Told also when nobody asks."""


def mask(sock: Socket) -> int:
    """The events that hold now."""
    if sock.listener is not None:
        return IN | RDNORM if sock.listener.accept_queue else 0
    conn = sock.conn
    if conn is None:
        return OUT | WRNORM | HUP  # a fresh socket is in CLOSE
    shut_wr = conn.fin_queued or conn.state is State.CLOSED
    shut_rd = conn.shut_rd or conn.fin_rcvd or conn.state is State.CLOSED
    found = HUP if conn.state is State.CLOSED or (shut_rd and shut_wr) else 0
    if shut_rd:
        found |= IN | RDNORM | RDHUP
    if conn.state is not State.SYN_SENT:
        if conn.rcvq:
            found |= IN | RDNORM
        if shut_wr or writable(conn):
            found |= OUT | WRNORM
    if conn.error:
        found |= ERR
    return found


def writable(conn: Tcb) -> bool:
    """Room for a third of the buffer, and less than half of TCP_NOTSENT_LOWAT unsent (sk_stream_is_writeable)."""
    queued, unsent = len(conn.sndq), seq.diff(conn.data_end, conn.snd_nxt)
    if conn.notsent_lowat and 2 * unsent >= conn.notsent_lowat:
        return False
    return conn.sndbuf - queued >= queued >> 1 and unsent <= conn.sndbuf
