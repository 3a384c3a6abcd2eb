"""A host as text: what `ss -tan` and `nstat` would print of it."""

from __future__ import annotations

from tcplab.api.views import ConnView, HostView, TimerView
from tcplab.units import MS, Nanos

_STATES = {"ESTABLISHED": "ESTAB", "LISTEN": "LISTEN"}


def ss(view: HostView, now: Nanos) -> str:
    """Sockets, listeners first; SYN_RECV entries under theirs."""
    rows = [("State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "")]
    for listener in view.listeners:
        rows.append(
            ("LISTEN", str(listener.accept_len), str(listener.max_ack_backlog), listener.local, "0.0.0.0:*", "")
        )
        rows += [
            ("SYN-RECV", "0", "0", listener.local, request.peer, _timers(request.timers, now))
            for request in listener.syn_queue
        ]
    rows += [_row(conn, now) for conn in view.conns]
    widths = [max(len(row[at]) for row in rows) for at in range(6)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(conn: ConnView, now: Nanos) -> tuple[str, str, str, str, str, str]:
    state = _STATES.get(conn.state, conn.state.replace("_", "-"))
    extra = [_timers(conn.timers, now), conn.options]
    if conn.state == "ESTABLISHED":
        extra.append(
            f"rto:{conn.rto_us // 1000} rtt:{conn.srtt_us / 1000:g}/{conn.rttvar_us / 1000:g} cwnd:{conn.cwnd}"
        )
    queued = (str(conn.recv_q), str(conn.send_q))
    return (state, *queued, conn.local, conn.peer, " ".join(word for word in extra if word))


def _timers(timers: tuple[TimerView, ...], now: Nanos) -> str:
    """ss's word for the first timer: `timer:(on,776ms,2)`."""
    if not timers:
        return ""
    first = timers[0]
    name = {"rto": "on", "synack": "on", "finwait2": "timewait", "delack": "delack"}.get(first.name, first.name)
    left = max(first.expires - now, 0)
    span = f"{left // MS}ms" if left < 10_000 * MS else f"{left // (1000 * MS)}sec"
    return f"timer:({name},{span},{first.rung})"


def nstat(view: HostView) -> str:
    """Counters that are not 0."""
    if not view.counters:
        return "all counters are 0"
    width = max(map(len, view.counters))
    return "\n".join(f"{name:<{width}}  {count}" for name, count in sorted(view.counters.items()))
