"""Who may use which port: bind(2), listen(2), and the ports that bind() and connect() take by themselves."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from tcplab.api.states import State
from tcplab.tcp.tcb import Tcb
from tcplab.tcp.timewait import TimeWait
from tcplab.units import SEC

if TYPE_CHECKING:
    from tcplab.host.machine import Machine
    from tcplab.host.sockets import Socket

_User: TypeAlias = tuple[bool, bool, str]
"""SO_REUSEADDR and SO_REUSEPORT of somebody who has a port, and its state."""


def _users(machine: Machine, sock: Socket, port: int) -> Iterator[_User]:
    """Who has `port` beside `sock`: sockets, and connections that have none (any more)."""
    for other in machine.sockets.values():
        if other is not sock and other.port == port and other.holds_port:
            get = other.options.get
            state = State.LISTEN if other.listener is not None else State.CLOSED
            yield bool(get("SO_REUSEADDR")), bool(get("SO_REUSEPORT")), state.value
    for flow in machine.flows.values():
        if isinstance(flow, (Tcb, TimeWait)) and flow.lport == port:
            yield flow.reuse, flow.reuseport, flow.state.value


def check_bind(machine: Machine, sock: Socket, port: int) -> None:
    """EADDRINUSE unless each other user and this one set SO_REUSEPORT, or SO_REUSEADDR and it does not listen.

    Linux inet_bind_conflict, for bind() and again for listen(), which makes a user a listener.
    """
    reuse, reuseport = bool(sock.options.get("SO_REUSEADDR")), bool(sock.options.get("SO_REUSEPORT"))
    for its_reuse, its_reuseport, state in _users(machine, sock, port):
        if not (reuseport and its_reuseport) and not (reuse and its_reuse and state != State.LISTEN):
            who = f" by a connection in {state}" if state not in (State.CLOSED, State.LISTEN) else ""
            raise OSError(errno.EADDRINUSE, f"port {port} is in use{who}")


def _range(machine: Machine) -> tuple[int, int]:
    """First port and how many; an odd one at the end is never taken, as in Linux."""
    low, high = machine.sysctl.ip_local_port_range
    count = high - low + 1
    return low, count & ~1 if count > 1 else count


def for_bind(machine: Machine, sock: Socket) -> int:
    """A port that nobody has, for bind() to port 0; odd ones first, EADDRINUSE when none is left.

    With SO_REUSEADDR the lower half of the range comes first (Linux inet_csk_find_open_port).
    """
    low, count = _range(machine)
    halves = [(low, count)]
    if sock.options.get("SO_REUSEADDR") and count >= 4:
        half = count >> 2 << 1
        halves = [(low, half), (low + half, count - half)]
    for first, size in halves:
        for port in _ports(first, size, machine.port_stream.below(size) | 1):
            if not any(_users(machine, sock, port)):
                return port
    raise OSError(errno.EADDRINUSE, "no local port is left")


def for_connect(machine: Machine, raddr: int, rport: int) -> int:
    """A free local port for this peer; even ones first, EADDRNOTAVAIL when none is left (__inet_hash_connect)."""
    low, count = _range(machine)
    bound, listening = machine.bound, machine.listeners
    for port in _ports(low, count, machine.port_stream.below(count) & ~1):
        if port not in bound and port not in listening and usable(machine, raddr, rport, port):
            return port
    raise OSError(errno.EADDRNOTAVAIL, "no local port is left for this peer")


def bind(machine: Machine, sock: Socket, port: int) -> None:
    """From now on `sock` has `port`, until it is closed; several can have one."""
    sock.port, sock.bound = port, True
    machine.bound[port] = machine.bound.get(port, 0) + 1


def unbind(machine: Machine, sock: Socket) -> None:
    """The socket is closed."""
    if sock.bound:
        machine.bound[sock.port] -= 1
        if not machine.bound[sock.port]:
            del machine.bound[sock.port]


def _ports(low: int, count: int, start: int) -> Iterator[int]:
    """Every second port from `start` on, around, then the ones between."""
    for offset in (start, start ^ 1):
        for step in range(0, max(count, 2), 2):
            if (at := (offset + step) % max(count, 2)) < count:
                yield low + at


def usable(machine: Machine, raddr: int, rport: int, port: int, chosen: bool = False) -> bool:
    """The four-tuple is free, or only remembered in a TIME_WAIT that may be reused. `chosen`: bind() took the port."""
    flow = machine.flows.get((raddr, rport, port))
    return flow is None or (isinstance(flow, TimeWait) and may_reuse(machine, flow, chosen))


def may_reuse(machine: Machine, bucket: TimeWait, chosen: bool) -> bool:
    """Linux tcp_twsk_unique: timestamps, and unless bind() chose the port tcp_tw_reuse = 1 and a second's age."""
    if bucket.state is not State.TIME_WAIT or not bucket.ts_ok:
        return False
    return chosen or (machine.sysctl.tcp_tw_reuse == 1 and machine.now - bucket.ts_recent_at >= SEC)
