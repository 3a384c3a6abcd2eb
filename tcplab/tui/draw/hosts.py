"""A host's pane: its listeners with both queues as gauges, half-open entries, connections; and one connection's TCB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from tcplab.api.views import ConnView, HostView, ListenerView, RequestView, TimerView
from tcplab.tui.draw import names
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, bar, fit, sides, wrap
from tcplab.units import Nanos, duration

Peer: TypeAlias = ConnView | RequestView
"""What a cursor can stand on: a connection, or a half-open entry of a SYN queue."""
_DROPPED: Final = (
    ("syn_dropped", "dropped"),
    ("overflows", "overflow"),
    ("cookies_sent", "cookies"),
)


@dataclass(frozen=True, slots=True)
class Ink:
    """What every drawing needs: the signs, the instant, the width."""

    glyphs: Glyphs
    now: Nanos
    room: int


def peers(host: HostView) -> list[Peer]:
    """All that is listed under the host, in the order of the pane."""
    requests = [request for listener in host.listeners for request in listener.syn_queue]
    return [*host.conns, *requests]


def pane(host: HostView, ink: Ink, chosen: str, detail: bool = False) -> tuple[list[Line], list[str]]:
    """The pane's lines, and for each line the connection it stands for (or nothing). `detail`: say the limits' why."""
    lines: list[Line] = []
    for listener in sorted(host.listeners, key=lambda one: not _busy(one)):
        if _busy(listener) or len(host.listeners) == 1 or detail:
            lines += _listener(listener, host, ink, detail)
        else:
            lines.append(_idle(listener, host))
    keys = [""] * len(lines)
    listed = peers(host)
    if not listed:
        if not lines:
            lines += _empty(host.name, ink.room)
        return lines, [""] * len(lines)
    lines.append(_columns(ink.room))
    keys.append("")
    for peer in listed:
        lines.append(_entry(peer, host.name, ink, peer.conn == chosen))
        keys.append(peer.conn)
    return lines, keys


def _empty(name: str, room: int) -> list[Line]:
    example = "a connect b:80 as c1" if name == "a" else "b serve echo 80"
    return [[(text, "dim")] for text in wrap(f"No connection yet. Press i, or : and type {example}", room)]


def _listener(listener: ListenerView, host: HostView, ink: Ink, detail: bool) -> list[Line]:
    cookies = "on" if host.sysctl.get("tcp_syncookies", 1) else "off"
    facts = f"  backlog {listener.backlog}  cookies {cookies}"
    head: Line = [(f" {names.port(listener.local)}", "value"), (" LISTEN", f"{host.name}+"), (facts, "dim")]
    lines: list[Line] = [head]
    lines.append(_gauge("SYN queue", listener.syn_len, listener.syn_limit, ink))
    lines.append(_gauge("accept queue", listener.accept_len, listener.accept_limit, ink))
    if detail:
        for why in (listener.syn_limit_why, listener.accept_limit_why):
            lines += [[(text, "dim")] for text in wrap(f" {why}", ink.room, "   ") if why]
    dropped: Line = [(" ", "")]
    for attribute, text in _DROPPED:
        count = getattr(listener, attribute)
        if count or ink.room >= 40:
            dropped += [(f"{text} ", "dim"), (f"{count:<3} ", "trouble" if count else "dim")]
    lines.append(dropped)
    if listener.accept_queue:
        waiting = ", ".join(names.endpoint(peer) for peer in listener.accept_queue)
        lines.append([(" waits for accept(): ", "dim"), (waiting, "")])
    return lines


def _busy(listener: ListenerView) -> bool:
    """Something waits there, or was turned away."""
    seen = listener.syn_len, listener.accept_len, listener.syn_dropped, listener.overflows, listener.cookies_sent
    return any(seen)


def _idle(listener: ListenerView, host: HostView) -> Line:
    """A listener without anything to tell, beside one that has."""
    head: Line = [(f" {names.port(listener.local)}", "value"), (" LISTEN", f"{host.name}+")]
    return [*head, (f"  synq 0/{listener.syn_limit}  acceptq 0/{listener.accept_limit}", "dim")]


def _gauge(text: str, count: int, limit: int, ink: Ink) -> Line:
    full = count >= limit
    cells = max(5, min(20, ink.room - 29))
    if ink.room < 34:
        text = text.replace("queue", "q")
    filled, rest = bar(count, limit, cells, ink.glyphs.full, ink.glyphs.empty)
    role = "trouble" if full else "ok"
    word = " FULL" if full else ""
    number = f" {count}/{limit}"
    return [
        (f" {text:<{9 if ink.room < 34 else 13}}", "dim"),
        (filled, role),
        (rest, "dim"),
        (number, "value"),
        (word, "trouble"),
    ]


def _columns(room: int) -> Line:
    wide = f"  {'local':<12} {'peer':<20} {'state':<11} {'rtx':>3}  timer"
    narrow = f"  {'local':<9} {'peer':<9} {'state':<11}timer"
    least = f"  {'local':<7}{'state':<11}timer"
    return [(wide if room >= 66 else narrow if room >= 38 else least, "dim")]


def _role(state: str) -> str:
    if state == "ESTABLISHED":
        return "ok"
    return "rtx" if state in ("SYN_SENT", "SYN_RECV") else "value"


def _entry(peer: Peer, host: str, ink: Ink, chosen: bool) -> Line:
    half = isinstance(peer, RequestView)
    state = "SYN_RECV" if isinstance(peer, RequestView) else peer.state
    rtx = peer.retrans if isinstance(peer, RequestView) else peer.total_retrans
    local = names.port(peer.conn.partition(">")[0])
    alias = "" if isinstance(peer, RequestView) else peer.alias
    mine = f"{alias} {local}" if alias else local
    column = 4 if half else 9
    cursor: Line = [("> " if chosen else "  ", "accent")]
    remote = names.endpoint(peer.peer)
    name_role = f"{host}+" if not half else "dim"
    if ink.room >= 66:
        line = [*cursor, (f"{mine[:12]:<12} ", name_role), (f"{remote[:20]:<20} ", "")]
        line += [(f"{names.state(state):<11} ", _role(state)), (f"{rtx:>3}  ", "rtx" if rtx else "dim")]
        return [*line, *_short_timer(peer.timers, ink, 14)]
    if ink.room < 38:
        line = [*cursor, (f"{remote[:17]:<18}" if half else f"{local[:6]:<7}", name_role)]
        line += [] if half else [(f"{names.state(state):<11}", _role(state))]
        return [*line, *_short_timer(peer.timers, ink, 0)[1:]]
    line = [*cursor, (f"{mine[:column]:<{column}} ", name_role)]
    room = 9 if len(remote) <= 9 else 18
    line += [(f"{remote[:room]:<{room}} ", "")]
    if room == 9:
        line.append((f"{names.state(state):<11}", _role(state)))
    line += [(f"{rtx}rtx ", "rtx") if rtx else ("     ", "")] if half else []
    return [*line, *_short_timer(peer.timers, ink, 3 if half and ink.room > 40 else 0)[1:]]


def _short_timer(timers: tuple[TimerView, ...], ink: Ink, cells: int) -> Line:
    """The nearest timer as `RTO 0.4/1 s`, with a bar if there is room."""
    if not timers:
        return []
    timer = min(timers, key=lambda one: one.expires)
    total = max(1, timer.expires - timer.armed)
    elapsed = ink.now - timer.armed
    filled, rest = bar(elapsed, total, cells, ink.glyphs.full, ink.glyphs.empty)
    name = {"synack": "", "timewait": "", "rto": "RTO ", "delack": "ack "}.get(timer.name, f"{timer.name} ")
    text = names.progress(elapsed, total)
    return [(name, "dim"), (filled, "ok"), (rest, "dim"), (" " if cells else "", ""), (text, "")]


def timer_lines(timers: tuple[TimerView, ...], ink: Ink) -> list[Line]:
    """Every timer as a bar that counts down, the nearest first, with its rung on the ladder of retries."""
    lines: list[Line] = []
    for timer in sorted(timers, key=lambda one: one.expires):
        total = max(1, timer.expires - timer.armed)
        elapsed = max(0, ink.now - timer.armed)
        name = names.TIMERS.get(timer.name, timer.name)
        cells = max(6, min(18, ink.room - 28))
        filled, rest = bar(min(elapsed, total), total, cells, ink.glyphs.full, ink.glyphs.empty)
        line: Line = [(f" {name[:11]:<11} ", ""), (filled, "rtx"), (rest, "dim")]
        lines.append([*line, (f" {names.progress(elapsed, total)}", "value")])
        rung = f"{name} {timer.rung} of {timer.rungs}" if timer.rungs else ""
        words = "; ".join(part for part in (rung, timer.why) if part)
        lines += [[(f"   {text}", "rtx" if rung and at == 0 else "dim")] for at, text in enumerate(_two(words, ink))]
    return lines or [[(" none runs", "dim")]]


def _two(words: str, ink: Ink) -> list[str]:
    """At most two lines of the room that is left."""
    return wrap(words, max(10, ink.room - 4))[:2] if words else []


def tcb(peer: Peer | None, host: str, ink: Ink) -> list[Line]:
    """One connection in Linux's and the RFC's names; state and timers first, for they are what moves."""
    if peer is None:
        return [[(text, "dim")] for text in wrap(f"No connection on {host}: its variables will stand here.", ink.room)]
    if isinstance(peer, RequestView):
        return _request(peer, host, ink)
    head: Line = [(peer.state, _role(peer.state) + "+" if _role(peer.state) == "ok" else _role(peer.state))]
    right: Line = [(f"{peer.congestion} ", "dim"), (peer.ca_state, "" if peer.ca_state == "Open" else "rtx")]
    lines = [sides(head, right, ink.room), [("timers", "dim")], *timer_lines(peer.timers, ink)]
    if peer.state == "TIME_WAIT":
        return [*lines, [], *[[(text, "dim")] for text in wrap(_TIME_WAIT, ink.room)]]
    flight = (peer.snd_nxt - peer.snd_una) & 0xFFFFFFFF
    lines.append(sides([("send", "dim")], _pair("ISS", str(peer.iss), 10), ink.room))
    lines.append(_facts("SND.UNA", _rel(peer.snd_una, peer.iss), "SND.NXT", _rel(peer.snd_nxt, peer.iss)))
    lines.append(_facts("SND.WND", str(peer.snd_wnd), "in flight", str(flight)))
    if peer.not_sent:
        lines.append(_facts("", "", "unsent", str(peer.not_sent)))
    lines.append(sides([("receive", "dim")], _pair("IRS", str(peer.irs), 10), ink.room))
    lines.append(_facts("RCV.NXT", _rel(peer.rcv_nxt, peer.irs), "RCV.WND", str(peer.rcv_wnd)))
    ooo = sum((right - left) & 0xFFFFFFFF for left, right in peer.ooo)
    lines.append(_facts("unread", str(peer.recv_q), "ooo", str(ooo)))
    threshold = ink.glyphs.infinite if peer.ssthresh >= names.INFINITE else str(peer.ssthresh)
    lines.append([("congestion ", "dim"), *_pair("cwnd", str(peer.cwnd), 0), ("  ", ""), *_pair("ssthresh", threshold)])
    cells = max(6, min(20, ink.room - 20))
    filled, rest = bar(peer.packets_out, peer.cwnd, cells, ink.glyphs.full, ink.glyphs.empty)
    lines.append([(" ", ""), (filled, "ok"), (rest, "dim"), (f" {peer.packets_out}/{peer.cwnd} in flight", "")])
    rtt = f"{peer.srtt_us / 1000:.1f} ms" if peer.srtt_us else "-"
    lines.append([*_pair("srtt", rtt), ("  ", ""), *_pair("var", f"{peer.rttvar_us / 1000:.1f} ms")])
    lines[-1] += [("  ", ""), *_pair("rto", duration(peer.rto_us * 1000))]
    lines.append([*_pair("retrans", str(peer.total_retrans)), ("  ", ""), *_pair("dupACK", str(peer.dupacks))])
    lines[-1] += [("  ", ""), *_pair("mss", str(peer.mss))]
    lines.append([(peer.options or "no options", "dim")])
    return lines


_TIME_WAIT: Final = (
    "The last ACK was this side's: if it is lost, somebody must be here to repeat it. And until the time is over an "
    "old segment could be taken for one of a new connection on this port pair. J jumps over the wait."
)


def _request(request: RequestView, host: str, ink: Ink) -> list[Line]:
    text = f"SYN,ACK repeated {request.retrans} of {request.retries}"
    words = "Half open: the SYN came, the third step has not. It waits in the SYN queue of the listener."
    return [
        sides([("SYN_RECV", "rtx")], [(text, "rtx" if request.retrans else "dim")], ink.room),
        *[[(line, "dim")] for line in wrap(words, ink.room)],
        [("timers", "dim")],
        *timer_lines(request.timers, ink),
        [*_pair("ISS", str(request.iss)), ("  ", ""), *_pair("IRS", str(request.irs))],
        [*_pair("waits for", duration(max(0, ink.now - request.since) // 1_000_000 * 1_000_000))],
    ]


def _rel(value: int, base: int) -> str:
    return str((value - base) & 0xFFFFFFFF) if base else str(value)


def _pair(name: str, value: str, size: int = 0) -> Line:
    return [(f"{name} ", "dim"), (f"{value:>{size}}", "value")]


def _facts(name: str, value: str, other: str, second: str) -> Line:
    return [(f" {name:<8}", "dim"), (f"{value:>8}", "value"), (f"  {other:<9}", "dim"), (f"{second:>8}", "value")]


def title(peer: Peer | None, host: str, glyphs: Glyphs) -> str:
    """`TCB a:40001 → b:80`."""
    if peer is None:
        return f"TCB {host}"
    local, remote = names.ends(peer.conn)
    return f"TCB {local} {glyphs.to} {remote}"


def _listener_of(host: HostView, chosen: Peer | None) -> tuple[ListenerView, ...]:
    """The listener on the chosen connection's port; else one that has something to tell; else the first."""
    port = names.port(chosen.conn.partition(">")[0]) if chosen is not None else ""
    order = sorted(host.listeners, key=lambda one: (names.port(one.local) != port, not _busy(one)))
    return tuple(order[:1])


def summary(host: HostView, chosen: Peer | None, ink: Ink) -> Line:
    """The host in a few words, for the continuity strip."""
    line: Line = [(f"{host.name} ", f"{host.name}+")]
    if chosen is not None:
        state = "SYN_RECV" if isinstance(chosen, RequestView) else chosen.state
        line += [(f"{names.port(chosen.conn.partition('>')[0])} ", ""), (names.state(state), "value")]
    for listener in _listener_of(host, chosen):
        for text, count, limit in (
            (" synq", listener.syn_len, listener.syn_limit),
            (" acceptq", listener.accept_len, listener.accept_limit),
        ):
            line += [(f"{text} ", "dim"), (f"{count}/{limit}", "trouble" if count >= limit else "")]
    idle = len(line) == 1
    profile = host.sysctl.get("profile")
    if profile:
        line.insert(1, (f"{profile} ", "dim"))
    if idle:
        line.append(("idle", "dim"))
    return fit(line, min(ink.room, sum(len(text) for text, _ in line)))
