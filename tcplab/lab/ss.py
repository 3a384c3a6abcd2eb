"""A host's sockets as `ss -tnaoi` prints them: its words, its order, its units (iproute2 misc/ss.c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tcplab.api.views import ConnView, HostView, TimerView
from tcplab.host.tcp_info import (
    NO_LIMIT,
    NO_SAMPLE,
    OPT_ECN,
    OPT_ECN_SEEN,
    OPT_SACK,
    OPT_SYN_DATA,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
)
from tcplab.units import MS, Nanos

Info = Mapping[str, int]
"""What TCP_INFO gave, by Linux's names."""

_HEAD: Final = ("State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port", "Process")
_OPTIONS: Final = {
    OPT_TIMESTAMPS: "ts",
    OPT_SACK: "sack",
    OPT_ECN: "ecn",
    OPT_ECN_SEEN: "ecnseen",
    OPT_SYN_DATA: "fastopen",
}
_TIMERS: Final = {
    "rto": "on", "tlp": "on", "reo": "on", "synack": "on", "persist": "persist", "keepalive": "keepalive",
    "timewait": "timewait", "finwait2": "timewait",
}  # fmt: skip
"""Our timers, in the order in which the kernel shows one of them; the delayed ACK's it never shows."""

_Row = tuple[tuple[str, ...], str]
"""The cells of a line, and the line under it."""


def ss(view: HostView, infos: Mapping[str, Info], now: Nanos) -> str:
    """All sockets, listeners first; SYN-RECV entries under theirs. `infos`: TCP_INFO by connection."""
    rows: list[_Row] = []
    for listener in view.listeners:
        queues = (str(listener.accept_len), str(listener.max_ack_backlog))
        info = {"tcpi_snd_cwnd": 10, "tcpi_unacked": listener.accept_len}
        rows.append((("LISTEN", *queues, *_ends(listener.local, "0.0.0.0:*"), ""), _details(listener.congestion, info)))
        for request in listener.syn_queue:
            ends = _ends(listener.local, request.peer)
            rows.append((("SYN-RECV", "0", "0", *ends, _timer(request.timers, now)), ""))
    rows += [_connection(conn, infos.get(conn.conn), now) for conn in view.conns]
    return _table(rows)


def _ends(local: str, peer: str) -> tuple[str, str, str, str]:
    here, _, port = local.rpartition(":")
    there, _, rport = peer.rpartition(":")
    return here, port, there, rport


def _connection(conn: ConnView, info: Info | None, now: Nanos) -> _Row:
    state = {"ESTABLISHED": "ESTAB"}.get(conn.state, conn.state.replace("_", "-"))
    cells = (state, str(conn.recv_q), str(conn.send_q), *_ends(conn.local, conn.peer), _timer(conn.timers, now))
    return cells, _details(conn.congestion, info) if info is not None else ""


def _table(rows: list[_Row]) -> str:
    cells = [_HEAD, *(row for row, _ in rows)]
    width = [max(len(row[at]) for row in cells) for at in range(len(_HEAD))]
    lines = []
    for row, under in [(_HEAD, ""), *rows]:
        state, recv_q, send_q, here, port, there, rport, more = row
        lines.append(
            f"{state:<{width[0]}} {recv_q:<{width[1]}} {send_q:<{width[2]}} {here:>{width[3]}}:{port:<{width[4]}} "
            f"{there:>{width[5]}}:{rport:<{width[6]}} {more}".rstrip()
        )
        if under:
            lines.append(f"\t {under}")
    return "\n".join(lines)


# --- timers -----------------------------------------------------------------------------------------------------------


def _timer(timers: tuple[TimerView, ...], now: Nanos) -> str:
    """`timer:(on,428ms,2)`: what it is for, when it fires, how often it has fired in vain."""
    for name, word in _TIMERS.items():
        for timer in timers:
            if timer.name == name:
                return f"timer:({word},{span(max(timer.expires - now, 0) // MS)},{timer.rung})"
    return ""


def span(milliseconds: int) -> str:
    """A time as ss writes it: `428ms`, `1.200ms` (which means seconds), `59sec`, `1min30sec`, `119min`."""
    minutes, rest = divmod(milliseconds, 60_000)
    seconds, thousandths = divmod(rest, 1000)
    text = ""
    if minutes:
        thousandths = 0
        text = f"{minutes}min"
        if minutes > 9:
            seconds = 0
    if seconds:
        if seconds > 9:
            thousandths = 0
        text += f"{seconds}." if thousandths else f"{seconds}sec"
    if thousandths or not text:
        text += f"{thousandths:03d}ms"
    return text


# --- the line under it ------------------------------------------------------------------------------------------------


def _details(congestion: str, info: Info) -> str:
    """tcp_stats_print: everything that is not zero."""
    bits = info.get("tcpi_options", 0)
    flags = [word for bit, word in _OPTIONS.items() if bits & bit]
    scale = f"wscale:{info['tcpi_snd_wscale']},{info['tcpi_rcv_wscale']}" if bits & OPT_WSCALE else ""
    words = [
        *flags,
        congestion,
        scale,
        *_times(info),
        *_counts(info),
        _bbr(info),
        *_rates(info),
        *_losses(info),
        *_ends_of(info),
    ]
    return " ".join(word for word in words if word)


def _some(info: Info, *names: str) -> list[str]:
    """`name:value` for each that is not zero; `word=field` where the words differ."""
    shown = []
    for name in names:
        word, _, field = name.partition("=")
        number = info.get(f"tcpi_{field or word}", 0)
        shown.append(f"{word}:{number}" if number else "")
    return shown


def _ms(info: Info, field: str) -> str:
    """A time in µs as ms with up to three decimals."""
    return f"{info.get(f'tcpi_{field}', 0) / 1000:g}"


def _times(info: Info) -> list[str]:
    ssthresh = info.get("tcpi_snd_ssthresh", 0)
    return [
        f"rto:{_ms(info, 'rto')}" if info.get("tcpi_rto") else "",
        *_some(info, "backoff"),
        f"rtt:{_ms(info, 'rtt')}/{_ms(info, 'rttvar')}" if info.get("tcpi_rtt") else "",
        f"ato:{_ms(info, 'ato')}" if info.get("tcpi_ato") else "",
        *_some(info, "mss=snd_mss", "pmtu", "rcvmss=rcv_mss", "advmss", "cwnd=snd_cwnd"),
        f"ssthresh:{ssthresh}" if 0 < ssthresh < 0xFFFF else "",
    ]


def _counts(info: Info) -> list[str]:
    return _some(
        info, "bytes_sent", "bytes_retrans", "bytes_acked", "bytes_received", "segs_out", "segs_in", "data_segs_out",
        "data_segs_in",
    )  # fmt: skip


def _bbr(info: Info) -> str:
    """`bbr:(bw:9280000bps,mrtt:10.2,pacing_gain:1.25,cwnd_gain:2)`"""
    if "bbr_min_rtt" not in info:
        return ""
    gains = [
        f",{word}:{info[field] / 256:g}"
        for word, field in (("pacing_gain", "bbr_pacing_gain"), ("cwnd_gain", "bbr_cwnd_gain"))
        if info[field]
    ]
    octets = info["bbr_bw_hi"] << 32 | info["bbr_bw_lo"]
    return f"bbr:(bw:{octets * 8}bps,mrtt:{info['bbr_min_rtt'] / 1000:g}{''.join(gains)})"


def _rates(info: Info) -> list[str]:
    rtt, pacing = info.get("tcpi_rtt", 0), info.get("tcpi_pacing_rate", NO_LIMIT)
    send = info["tcpi_snd_cwnd"] * info["tcpi_snd_mss"] * 8_000_000 // rtt if rtt else 0
    return [
        f"send {send}bps" if send else "",
        *_some(info, "lastsnd=last_data_sent", "lastrcv=last_data_recv", "lastack=last_ack_recv"),
        f"pacing_rate {pacing * 8}bps" if pacing != NO_LIMIT else "",
        f"delivery_rate {info['tcpi_delivery_rate'] * 8}bps" if info.get("tcpi_delivery_rate") else "",
        *_some(info, "delivered"),
        "app_limited" if info.get("tcpi_delivery_rate_app_limited") else "",
    ]


def _losses(info: Info) -> list[str]:
    retrans, total = info.get("tcpi_retrans", 0), info.get("tcpi_total_retrans", 0)
    return [
        *_some(info, "unacked"),
        f"retrans:{retrans}/{total}" if retrans or total else "",
        *_some(info, "lost", "sacked", "dsack_dups"),
    ]


def _ends_of(info: Info) -> list[str]:
    min_rtt = info.get("tcpi_min_rtt", NO_SAMPLE)
    return [
        *_some(info, "rcv_space", "rcv_ssthresh", "notsent=notsent_bytes"),
        f"minrtt:{_ms(info, 'min_rtt')}" if min_rtt != NO_SAMPLE else "",
        *_some(info, "rcv_ooopack", "snd_wnd", "rcv_wnd"),
    ]
