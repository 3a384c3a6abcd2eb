"""What may be sent, and sending it: RFC 9293 3.8.6 and 3.7.4, Linux tcp_output.c."""

from __future__ import annotations

import struct

from tcplab.api.events import Noted
from tcplab.api.states import SYN_RECV, State
from tcplab.tcp import (
    burst,
    chrono,
    cwnd,
    delack,
    ecn,
    mtu_probe,
    negotiate,
    pacing,
    pmtu,
    rate,
    seq,
    sndbuf,
    timers,
    tlp,
    window,
)
from tcplab.tcp import sack as sack_blocks
from tcplab.tcp.tcb import COMPRESS, CWR, DELACK, PERSIST, RECOVERY, TLP, SentSeg, Tcb
from tcplab.units import MS, NEVER, Seq
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, ECE, FIN, PSH, RST, SYN

_TS = struct.Struct("!III")
_TS_HEAD = 0x0101080A  # nop, nop, timestamps, length 10

_MAY_SEND = (
    State.ESTABLISHED,
    State.CLOSE_WAIT,
    State.FIN_WAIT_1,
    State.CLOSING,
    State.LAST_ACK,
    State.SYN_RECV,
)


def tsval(tcb: Tcb) -> int:
    """Our timestamp now: a 1 ms clock plus the four-tuple's offset (RFC 7323 section 5.4)."""
    return (tcb.host.now // MS + tcb.ts_off) & seq.MASK


def unsent(tcb: Tcb) -> int:
    """Octets that the application wrote and we did not send; a FIN that waits counts as one."""
    rest = (tcb.snd_base + len(tcb.sndq) + tcb.fin_queued - tcb.snd_nxt) & seq.MASK
    return rest if rest <= seq.MASK >> 1 else 0


def current_mss(tcb: Tcb) -> int:
    """How much payload fits beside the SACK blocks that are to be reported now (tcp_current_mss)."""
    return tcb.mss - sack_blocks.space(tcb) if tcb.sacks or tcb.dsack is not None else tcb.mss


def _options(tcb: Tcb) -> bytes:
    options = b""
    if tcb.ts_ok:
        options = _TS.pack(_TS_HEAD, (tcb.host.now // MS + tcb.ts_off) & seq.MASK, tcb.ts_recent)
    if tcb.sacks or tcb.dsack is not None:
        blocks = sack_blocks.to_report(tcb)
        if blocks:
            options += opt.nop() * 2 + opt.sack(blocks)
    return options


def emit(tcb: Tcb, first: Seq, flags: int, payload: bytes, why: str, ref: str = "", rtx: bool = False) -> None:
    """Build one segment with the connection's window, ACK and options, and hand it to IP."""
    host = tcb.host
    now = host.now
    if tcb.wstamp < now:
        tcb.wstamp = now
    if tcb.ts_ok and not tcb.sacks and tcb.dsack is None:
        options = _TS.pack(_TS_HEAD, (now // MS + tcb.ts_off) & seq.MASK, tcb.ts_recent)
    else:
        options = _options(tcb)
    tos = tcb.tos
    if tcb.ecn:
        flags, bits = ecn.mark(tcb, flags, bool(payload) and not rtx)
        tos |= bits
    segment = wire_tcp.build(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, first, tcb.rcv_nxt, flags, window.select(tcb), options, payload
    )
    tcb.ident = (tcb.ident + 1) & 0xFFFF
    tcb.segs_out += 1
    if payload:
        tcb.data_segs_out += 1
        tcb.bytes_sent += len(payload)
    if rtx:
        host.counters["TcpRetransSegs"] += 1
        tcb.bytes_retrans += len(payload)
    tcb.route = host.routes
    if tcb.quick or tcb.expires[DELACK] != NEVER or tcb.expires[COMPRESS] != NEVER:
        delack.acked(tcb)
    tcb.pending = 0
    if payload:
        tcb.lsndtime = now
        delack.data_sent(tcb)
        if tcb.notices is not None and tcb.notices.stamps:
            tcb.notices.sent(tcb, first, payload, segment)
    host.send_tcp(tcb.raddr, segment, tcb.ident, why, ref, rtx, tos, tcb.df)


def send_syn(
    tcb: Tcb,
    why: str,
    ref: str,
    rtx: bool = False,
    with_ack: bool = False,
    with_ts_recent: bool = False,
    cookie: bytes = b"",
    data: bytes = b"",
) -> None:
    """SYN (or SYN,ACK of a simultaneous open) with what we offer; its window is never scaled.

    `cookie` and `data` are Fast Open's: the whole option, and what the SYN carries.
    """
    host = tcb.host
    sysctl = host.sysctl
    ts = (tsval(tcb), tcb.ts_recent if with_ack or with_ts_recent else 0) if sysctl.tcp_timestamps else None
    wscale = tcb.rcv_wscale if sysctl.tcp_window_scaling else None
    tcb.advmss = min(tcb.advmss, pmtu.advertised(host, tcb.raddr, 0))
    options = negotiate.syn_options(tcb.advmss, ts, wscale, bool(sysctl.tcp_sack)) + cookie
    flags = SYN | ecn.syn_flags(tcb, rtx) if not with_ack else SYN | ACK | (ECE if tcb.ecn else 0)
    segment = wire_tcp.build(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, tcb.iss, tcb.rcv_nxt if with_ack else 0,
        flags, min(tcb.rcv_wnd, window.MAX_UNSCALED), options, data,
    )  # fmt: skip
    tcb.ident = (tcb.ident + 1) & 0xFFFF
    tcb.segs_out += 1
    tcb.wstamp = host.now
    if rtx:
        host.counters["TcpRetransSegs"] += 1
    again = rtx or with_ack  # a simultaneous open's SYN,ACK repeats our SYN
    host.send_tcp(tcb.raddr, segment, tcb.ident, why, ref, again, tcb.tos, tcb.df)


def _acceptable_seq(tcb: Tcb) -> Seq:
    """The number of a segment without data: the next one, or the edge of a window that the peer took back, behind
    which it would not look at it (tcp_acceptable_seq).
    """
    if not tcb.rtx:
        return tcb.snd_nxt
    edge = seq.add(tcb.snd_una, tcb.snd_wnd)
    blurred = 1 << tcb.rcv_wscale if tcb.wscale_ok else 1
    return edge if seq.diff(tcb.snd_nxt, edge) >= blurred else tcb.snd_nxt


def send_ack(tcb: Tcb, why: str, ref: str = "RFC 9293 3.10.7.4") -> None:
    """A segment that carries nothing but the acknowledgement and the window."""
    emit(tcb, _acceptable_seq(tcb), ACK, b"", why, ref)


def challenge_ack(tcb: Tcb, why: str, ref: str) -> None:
    """RFC 5961 section 7: at most one in tcp_invalid_ratelimit ms for a connection."""
    host = tcb.host
    if host.now - tcb.oow_at < host.sysctl.tcp_invalid_ratelimit * MS:
        host.dropped(tcb.label, "challenge skipped", "TcpExtTCPACKSkippedChallenge", "one challenge ACK in 500 ms", ref)
        return
    tcb.oow_at = host.now
    host.counters["TcpExtTCPChallengeACK"] += 1
    send_ack(tcb, f"challenge ACK: {why}", ref)


def old_ack(tcb: Tcb, why: str, ref: str) -> None:
    """An empty segment one below what is unacknowledged: whoever gets it must answer (tcp_xmit_probe_skb)."""
    emit(tcb, seq.add(tcb.snd_una, -1), ACK, b"", why, ref)


def reset(tcb: Tcb, why: str, ref: str = "RFC 9293 3.10.5") -> None:
    """Abort on the wire: RST,ACK at snd_nxt (Linux tcp_send_active_reset). The caller ends the connection."""
    tcb.host.counters["TcpOutRsts"] += 1
    flags = ecn.mark(tcb, RST | ACK, False)[0]
    segment = wire_tcp.build(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, _acceptable_seq(tcb), tcb.rcv_nxt, flags, window.select(tcb),
        _options(tcb),
    )  # fmt: skip
    tcb.ident = (tcb.ident + 1) & 0xFFFF
    tcb.host.send_tcp(tcb.raddr, segment, tcb.ident, why, ref, False, tcb.tos, tcb.df)


def push_filled(tcb: Tcb, why: str) -> None:
    """send() has filled an sk_buff and has more: if it is the first one burst of it leaves (tcp_sendmsg_locked)."""
    if sndbuf.forced(tcb):
        sndbuf.mark(tcb)
        push(tcb, why, force=True)
    elif len(tcb.skbs) == 1:
        push(tcb, why, force=True, once=True)


def push(tcb: Tcb, why: str, more: bool = False, force: bool = False, once: bool = False) -> None:
    """Send all that window, congestion window and Nagle allow (tcp_write_xmit). `why`: what set us going.

    `more`: hold a part of a segment back, as if corked; `force`: not even Nagle or a cork holds it back; `once`: one
    burst only.
    """
    if tcb.state not in _MAY_SEND or (tcb.state is SYN_RECV and not tcb.rcv_nxt):
        return
    held = ""
    rest = unsent(tcb)
    if not rest:
        tcb.held = held
        return
    before = len(tcb.rtx)
    first = tcb.snd_nxt
    if tcb.pmtu != tcb.host.mtu or tcb.host.path_mtus:
        pmtu.follow(tcb)
    mss = current_mss(tcb)  # for all that leaves now, even if a D-SACK is reported by the first of it
    if tcb.mtup is not None and tcb.mtup.enabled and not once:
        held = mtu_probe.probe(tcb, why) if not tcb.pacing or not pacing.holds(tcb) else "pacing"
        rest = unsent(tcb)
    while rest and not held:
        held = _burst(tcb, mss, why, more, force, once)
        if held:
            break
        rest = unsent(tcb)
        if once:
            break
    sent = tcb.snd_nxt != first
    if tcb.chrono:
        _measure(tcb, held)
    if sent and not tlp.schedule(tcb, advancing=False) and (not before or tcb.expires[TLP] != NEVER):
        timers.rearm_rto(tcb)
    is_limited = held == "cwnd" or held == "TSO cwnd" or tcb.in_flight >= tcb.cwnd
    if sent or is_limited:
        cwnd.validate(tcb, is_limited)
    if held != tcb.held:
        tcb.held = held
        if held and tcb.host.tracing:
            _tell_what_holds(tcb, held)
    if rest and not tcb.rtx and timers.pending(tcb) < 0:
        timers.start_probing(tcb)


def _measure(tcb: Tcb, held: str) -> None:
    """What the connection waits for from now on (tcp_write_xmit)."""
    if held in ("window", "TSO window"):
        chrono.start(tcb, chrono.RWND)
    elif tcb.chrono == chrono.RWND:
        chrono.stop(tcb, chrono.RWND)


def _tell_what_holds(tcb: Tcb, held: str) -> None:
    """Data waits: say why, once, when the reason is a new one."""
    host = tcb.host
    soon = ("few segments could leave now, more of them together with the next ACK", "Linux tcp_tso_should_defer")
    reasons = dict.fromkeys(burst.DEFERS, soon) | {
        "cwnd": (f"{tcb.in_flight} segments are in flight, as many as cwnd allows", "RFC 5681 3.1"),
        "window": (f"the peer offers {tcb.snd_wnd} octets, and the next segment does not fit", "RFC 9293 3.8.6"),
        "Nagle": ("a small segment is unacknowledged: the next small one waits for its ACK", "RFC 9293 3.7.4"),
        "path": ("the last packet was too large for what is known of the path now", pmtu.REF),
        "MTU probe": ("the next segment is to be a probe of the path's MTU, and has no room yet", mtu_probe.REF),
        "pacing": (f"they leave at {pacing.rate_text(tcb.pacing_rate)}, and it is too early", pacing.REF),
        "cork": ("a part of a segment waits for more (TCP_CORK, MSG_MORE), 200 ms at most", "tcp(7) TCP_CORK"),
    }
    why, ref = reasons[held]
    if held == "Nagle" and not host.sysctl.profile.minshall:
        why = "something is unacknowledged: a segment that is not full waits for its ACK"
    why = f"{unsent(tcb)} octets wait: {why}"
    host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"held: {held}", why, ref))


def _burst(
    tcb: Tcb, mss: int, why: str, more: bool = False, force: bool = False, once: bool = False, probe: bool = False
) -> str:
    """Send the next burst, in segments of `mss`, or say what holds it back."""
    if tcb.pacing and pacing.holds(tcb):
        return "pacing"
    prior = tcb.wstamp
    size, fin, held = burst.plan(tcb, mss, more, force, once, probe)
    if held:
        return held
    if tcb.route != tcb.host.routes and pmtu.outgrown(tcb, min(size, mss)):
        return "path"
    first, before = tcb.snd_nxt, len(tcb.rtx)
    end = seq.add(first, size)
    marked = sndbuf.marked(tcb, end)
    several = size > mss
    at, dsack = first, tcb.dsack
    while size > mss:
        _send(tcb, at, mss, False, False, False, why)
        tcb.dsack = dsack  # what leaves together says the same
        at = (at + mss) & seq.MASK
        size -= mss
    _send(tcb, at, size, fin, marked, several, why)
    if size < mss:
        tcb.snd_sml = tcb.snd_nxt
    if tcb.pacing:
        pacing.sent(tcb, prior, seq.diff(end, first))
    sndbuf.sent(tcb, first, before)
    return ""


def _send(tcb: Tcb, first: Seq, size: int, fin: bool, marked: bool, several: bool, why: str) -> None:
    """One segment; the last of several that leave together carries PSH, whether it is `marked` or not."""
    host = tcb.host
    offset = (first - tcb.snd_base) & seq.MASK
    payload = bytes(tcb.sndq[offset : offset + size]) if size else b""
    flags = ACK
    end = (first + size + fin) & seq.MASK
    if marked or several:
        flags |= PSH
    if fin:
        flags |= FIN
        why = "FIN: the application closed its direction" if not size else f"{why}, and FIN: it closed its direction"
    if host.tracing:
        why += f"; {len(tcb.rtx)} of cwnd {tcb.cwnd} in flight, window {tcb.snd_wnd}"
        if tcb.pending:
            why += "; the ACK that was owed rides on it"
    if not tcb.rtx or (tcb.pacing and not tcb.in_flight):
        tcb.cc.on_start(tcb)
    entry = SentSeg(first, end, host.now, False, fin)
    entry.order = tcb.segs_out
    entry.push = marked
    if tcb.eor:
        while tcb.eor and seq.before(tcb.eor[0], end):
            tcb.eor = tcb.eor[1:]
        entry.eor = bool(tcb.eor) and tcb.eor[0] == end
    rate.sent(tcb, entry)
    host.counters["TcpExtTCPOrigDataSent"] += 1
    tcb.rtx.append(entry)
    tcb.tsorted[entry] = None
    tcb.snd_nxt = end
    if tcb.ca_state == RECOVERY or tcb.ca_state == CWR:
        tcb.prr_out += 1
    emit(tcb, first, flags, payload, why, "RFC 9293 3.6" if fin else "RFC 9293 3.8")
    if tcb.expires[PERSIST] != NEVER:
        timers.stop(tcb, PERSIST)


def push_one(tcb: Tcb, why: str) -> bool:
    """Send a burst of new data if the window allows it, whatever cwnd and Nagle say. Whether one left."""
    first = tcb.snd_nxt
    _burst(tcb, current_mss(tcb), why, force=True, once=True, probe=True)
    if tcb.snd_nxt != first:
        cwnd.validate(tcb, tcb.in_flight >= tcb.cwnd)
    return tcb.snd_nxt != first


def push_probe(tcb: Tcb, size: int, why: str) -> None:
    """A segment of `size` octets, more than `Tcb.mss`: it tells whether the path carries so much."""
    first, before, prior = tcb.snd_nxt, len(tcb.rtx), tcb.wstamp
    _send(tcb, first, size, False, sndbuf.marked(tcb, seq.add(first, size)), False, why)
    if tcb.pacing:
        pacing.sent(tcb, prior, size)
    sndbuf.sent(tcb, first, before)


def window_probe(tcb: Tcb, why: str, ref: str) -> None:
    """Zero window: an old empty segment; a window smaller than the segment: as much as fits (tcp_write_wakeup)."""
    room = seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), tcb.snd_nxt)
    data = unsent(tcb) - tcb.fin_queued
    if room > 0 and data:
        size = min(room, data, tcb.mss)
        first = tcb.snd_nxt
        before, prior = len(tcb.rtx), tcb.wstamp
        _send(tcb, first, size, False, True, False, why)
        if tcb.pacing:
            pacing.sent(tcb, prior, size)
        sndbuf.sent(tcb, first, before)
        timers.rearm_rto(tcb)
        return
    tcb.host.counters["TcpExtTCPWinProbe"] += 1
    old_ack(tcb, why, ref)
