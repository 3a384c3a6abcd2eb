"""Who may use which port: bind(2), listen(2), and the ephemeral ports of connect(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tcplab.api.states import State
from tcplab.tcp.tcb import Tcb
from tcplab.tcp.timewait import TimeWait
from tcplab.units import SEC

if TYPE_CHECKING:
    from tcplab.host.machine import Machine
    from tcplab.host.sockets import Socket


def check_bind(machine: Machine, sock: Socket, port: int) -> None:
    """EADDRINUSE unless every other user of the port and the new one set SO_REUSEADDR and none listens (socket(7))."""
    for other in machine.sockets.values():
        if other is not sock and other.port == port and (other.listener or not (_reuse(other) and _reuse(sock))):
            raise OSError(errno.EADDRINUSE, f"port {port} is in use")
    for flow in machine.flows.values():
        if isinstance(flow, (Tcb, TimeWait)) and flow.lport == port and not (flow.reuse and _reuse(sock)):
            state = flow.state.value
            raise OSError(errno.EADDRINUSE, f"port {port} is in use by a connection in {state}")


def _reuse(sock: Socket) -> bool:
    return bool(sock.options.get("SO_REUSEADDR"))


def ephemeral(machine: Machine, raddr: int, rport: int) -> int:
    """A free local port for this peer; EADDRNOTAVAIL when none is left. Even ones first, as Linux's connect()."""
    low, high = machine.sysctl.ip_local_port_range
    count = high - low + 1
    start = machine.port_stream.below(count) & ~1
    listening = machine.listeners
    bound = {sock.port for sock in machine.sockets.values() if sock.bound}
    for parity in (0, 1):
        for step in range(0, count, 2):
            port = low + (start + step + parity) % count
            if port not in listening and port not in bound and usable(machine, raddr, rport, port):
                return port
    raise OSError(errno.EADDRNOTAVAIL, "no local port is left for this peer")


def usable(machine: Machine, raddr: int, rport: int, port: int) -> bool:
    """The four-tuple is free, or only remembered in a TIME_WAIT that may be reused."""
    flow = machine.flows.get((raddr, rport, port))
    return flow is None or (isinstance(flow, TimeWait) and may_reuse(machine, flow))


def may_reuse(machine: Machine, bucket: TimeWait) -> bool:
    """Linux tcp_twsk_unique: tcp_tw_reuse = 1, timestamps, and a second has passed."""
    if bucket.state is not State.TIME_WAIT or machine.sysctl.tcp_tw_reuse != 1:
        return False
    return bucket.ts_ok and machine.now - bucket.ts_recent_at >= SEC
