"""Snapshots of a host: its variables as the views of `tcplab.api.views`, nothing computed that is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcplab.api.views import ConnView, HostView, ListenerView, RequestView, TimerView
from tcplab.host.arp import Resolution
from tcplab.host.sockets import Linger
from tcplab.tcp import sack, seq, timers, window
from tcplab.tcp.env import Timed
from tcplab.tcp.listen import Listener
from tcplab.tcp.request import Request
from tcplab.tcp.tcb import COMPRESS, KEEPALIVE, PACING, PERSIST, REO, RTO, TIMER_NAMES, TLP, Tcb
from tcplab.tcp.timewait import TimeWait
from tcplab.units import NEVER
from tcplab.wire.ipv4 import text as ip_text

if TYPE_CHECKING:
    from tcplab.host.machine import Machine

MOST_SHOWN = 64


def of(machine: Machine) -> HostView:
    """The whole host."""
    conns = tuple(
        _connection(flow) if isinstance(flow, Tcb) else _bucket(flow)
        for flow in machine.flows.values()
        if isinstance(flow, (Tcb, TimeWait))
    )
    return HostView(
        machine.name,
        ip_text(machine.addr),
        "tcplab",
        conns,
        tuple(_listener(machine, listener) for group in machine.listeners.values() for listener in group),
        {name: count for name, count in sorted(machine.counters.items()) if count},
        machine.sysctl.changed(),
    )


def _options(tcb: Tcb) -> str:
    words = ["ts"] if tcb.ts_ok else []
    if tcb.sack_ok:
        words.append("sack")
    if tcb.wscale_ok:
        words.append(f"wscale:{tcb.snd_wscale},{tcb.rcv_wscale}")
    if tcb.ecn:
        words.append("ecn")
    return " ".join(words)


def _connection(tcb: Tcb) -> ConnView:
    left = window.offered(tcb)
    not_sent = max(seq.diff(tcb.data_end, tcb.snd_nxt), 0)
    fin_waits = tcb.fin_queued and not seq.after(tcb.snd_nxt, tcb.data_end)
    return ConnView(
        conn=tcb.label,
        local=f"{ip_text(tcb.laddr)}:{tcb.lport}",
        peer=f"{ip_text(tcb.raddr)}:{tcb.rport}",
        state=tcb.state.value,
        fd=tcb.owner.fd if tcb.owner is not None else -1,
        iss=tcb.iss,
        irs=tcb.irs,
        snd_una=tcb.snd_una,
        snd_nxt=tcb.snd_nxt,
        snd_wnd=tcb.snd_wnd,
        rcv_nxt=tcb.rcv_nxt,
        rcv_wnd=left,
        snd_wscale=tcb.snd_wscale,
        rcv_wscale=tcb.rcv_wscale,
        options=_options(tcb),
        mss=tcb.mss,
        advmss=tcb.advmss,
        cwnd=tcb.cwnd,
        ssthresh=tcb.ssthresh,
        ca_state=tcb.ca_state,
        congestion=tcb.congestion,
        packets_out=len(tcb.rtx),
        sacked_out=tcb.sacked_out,
        lost_out=tcb.lost_out,
        retrans_out=tcb.retrans_out,
        total_retrans=tcb.total_retrans,
        dupacks=tcb.dupacks,
        srtt_us=tcb.srtt >> 3,
        rttvar_us=tcb.mdev >> 2 if tcb.srtt else 0,
        rto_us=tcb.rto // 1000,
        backoff=tcb.backoff,
        recv_q=len(tcb.rcvq) + (tcb.fin_rcvd and not tcb.fin_read),
        send_q=seq.diff(tcb.snd_nxt, tcb.snd_una) + not_sent + fin_waits,
        not_sent=not_sent,
        ooo=tuple((held.seq, held.end) for held in tcb.ooo),
        sacked=sack.edges(tcb),
        bytes_acked=tcb.bytes_acked,
        bytes_received=tcb.bytes_received,
        segs_out=tcb.segs_out,
        segs_in=tcb.segs_in,
        timers=_timers(tcb),
    )


def _timers(tcb: Tcb) -> tuple[TimerView, ...]:
    shown = []
    for which, expires in enumerate(tcb.expires):
        if expires != NEVER:
            rung, rungs = timers.rung(tcb, which), timers.rungs(tcb, which)
            shown.append(TimerView(TIMER_NAMES[which], tcb.armed[which], expires, rung, rungs, _TIMER_WHY[which]))
    return tuple(sorted(shown, key=lambda timer: timer.expires))


_TIMER_WHY = {
    RTO: "retransmit what is not acknowledged (RFC 6298 5)",
    1: "acknowledge at the latest now (RFC 9293 3.8.6.3)",
    PERSIST: "probe the closed window (RFC 9293 3.8.6.1)",
    TLP: "probe whether the tail was lost (RFC 8985 7)",
    REO: "an overtaken segment is lost then (RFC 8985 6.2)",
    COMPRESS: "one ACK for all that came out of order until now (Linux tcp_compressed_ack_kick)",
    PACING: "the next segment may leave, at the pacing rate (Linux tcp_pacing_check)",
    KEEPALIVE: "look whether the silent peer is there (RFC 9293 3.8.4)",
}


def _bucket(bucket: TimeWait) -> ConnView:
    why = "2MSL: answer a repeated FIN, let old segments die" if bucket.timer == "timewait" else "tcp_fin_timeout"
    return ConnView(
        conn=bucket.label,
        local=f"{ip_text(bucket.laddr)}:{bucket.lport}",
        peer=f"{ip_text(bucket.raddr)}:{bucket.rport}",
        state=bucket.state.value,
        iss=bucket.iss,
        irs=bucket.irs,
        snd_una=bucket.snd_nxt,
        snd_nxt=bucket.snd_nxt,
        rcv_nxt=bucket.rcv_nxt,
        rcv_wnd=bucket.rcv_wnd,
        timers=(TimerView(bucket.timer, bucket.armed, bucket.deadline, why=why),),
    )


def _request(request: Request) -> RequestView:
    retries = request.retries()
    why = "repeat the SYN,ACK, or forget the peer (tcp_synack_retries)"
    timer = TimerView("synack", request.armed, request.deadline, request.num_timeout, retries, why)
    return RequestView(
        conn=request.label,
        peer=f"{ip_text(request.raddr)}:{request.rport}",
        since=request.since,
        retrans=request.num_timeout,
        retries=retries,
        iss=request.iss,
        irs=request.irs,
        timers=(timer,),
    )


def _listener(machine: Machine, listener: Listener) -> ListenerView:
    limit, why = listener.syn_limit()
    requests = list(listener.syn_queue.values())[:MOST_SHOWN]
    waiting = list(listener.accept_queue)[:MOST_SHOWN]
    return ListenerView(
        local=f"{ip_text(machine.addr)}:{listener.port}",
        port=listener.port,
        backlog=listener.backlog,
        max_ack_backlog=listener.max_ack_backlog,
        syn_queue=tuple(_request(request) for request in requests),
        syn_len=len(listener.syn_queue),
        syn_limit=limit,
        syn_limit_why=why,
        accept_queue=tuple(f"{ip_text(conn.raddr)}:{conn.rport}" for conn in waiting),
        accept_len=len(listener.accept_queue),
        accept_limit=listener.max_ack_backlog + 1,
        accept_limit_why="min(backlog, somaxconn) + 1: Linux tests for more than the limit",
        syn_dropped=listener.syn_dropped,
        overflows=listener.overflows,
        cookies_sent=listener.cookies_sent,
        fd=listener.fd,
        congestion=machine.sockets[listener.fd].congestion,
    )


def timer_text(item: Timed) -> str:
    """The earliest timer of `item`, in a few words."""
    if isinstance(item, Tcb):
        which = item.expires.index(min(item.expires))
        return f"{_SHORT[which]} {item.label}"
    if isinstance(item, TimeWait):
        return f"{'2MSL' if item.timer == 'timewait' else 'FIN_WAIT_2'} {item.label}"
    if isinstance(item, Request):
        return f"SYN,ACK {item.label}"
    if isinstance(item, Linger):
        return f"SO_LINGER {item.label}"
    return f"ARP {item.label}" if isinstance(item, Resolution) else ""


_SHORT = (
    "RTO",
    "delayed ACK",
    "window probe",
    "keepalive",
    "tail loss probe",
    "reordering",
    "compressed ACK",
    "pacing",
)
