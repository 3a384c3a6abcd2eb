"""What may be sent, and sending it: RFC 9293 3.8.6 and 3.7.4, Linux tcp_output.c."""

from __future__ import annotations

import struct

from tcplab.api.events import Noted
from tcplab.api.states import State
from tcplab.tcp import chrono, cwnd, delack, ecn, mtu_probe, negotiate, pmtu, seq, sndbuf, timers, tlp, tso, window
from tcplab.tcp import sack as sack_blocks
from tcplab.tcp.tcb import CWR, PERSIST, RECOVERY, TLP, SentSeg, Tcb
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
    tcb.wstamp = host.now
    if payload:
        tcb.data_segs_out += 1
        tcb.bytes_sent += len(payload)
    if rtx:
        host.counters["TcpRetransSegs"] += 1
        tcb.bytes_retrans += len(payload)
    delack.acked(tcb)
    if payload:
        tcb.lsndtime = host.now
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
    if rtx:
        host.counters["TcpRetransSegs"] += 1
    host.send_tcp(
        tcb.raddr, segment, tcb.ident, why, ref, rtx or with_ack, tcb.tos, tcb.df
    )  # the SYN,ACK repeats our SYN


def _acceptable_seq(tcb: Tcb) -> Seq:
    """The number of a segment without data: the next one, or the edge of a window that the peer took back, behind
    which it would not look at it (tcp_acceptable_seq).
    """
    if not tcb.rtx:
        return tcb.snd_nxt
    edge = seq.add(tcb.snd_una, tcb.snd_wnd)
    return edge if seq.diff(tcb.snd_nxt, edge) >= 1 << tcb.rcv_wscale else tcb.snd_nxt


def send_ack(tcb: Tcb, why: str, ref: str = "RFC 9293 3.10.7.4") -> None:
    """A segment that carries nothing but the acknowledgement and the window."""
    emit(tcb, _acceptable_seq(tcb), ACK, b"", why, ref)


def challenge_ack(tcb: Tcb, why: str, ref: str) -> None:
    """RFC 5961 section 7: at most one in tcp_invalid_ratelimit ms for a connection."""
    if may_challenge(tcb, ref):
        send_ack(tcb, f"challenge ACK: {why}", ref)


def may_challenge(tcb: Tcb, ref: str) -> bool:
    """Count a challenge ACK, or that it is one too many."""
    host = tcb.host
    if host.now - tcb.oow_at < host.sysctl.tcp_invalid_ratelimit * MS:
        host.dropped(tcb.label, "challenge skipped", "TcpExtTCPACKSkippedChallenge", "one challenge ACK in 500 ms", ref)
        return False
    tcb.oow_at = host.now
    host.counters["TcpExtTCPChallengeACK"] += 1
    return True


def old_ack(tcb: Tcb, why: str, ref: str) -> None:
    """An empty segment one below what is unacknowledged: whoever gets it must answer (tcp_xmit_probe_skb)."""
    emit(tcb, seq.add(tcb.snd_una, -1), ACK, b"", why, ref)


def reset(tcb: Tcb, why: str, ref: str = "RFC 9293 3.10.5") -> None:
    """Abort on the wire: RST,ACK at snd_nxt (Linux tcp_send_active_reset). The caller ends the connection."""
    tcb.host.counters["TcpOutRsts"] += 1
    flags = ecn.mark(tcb, RST | ACK, False)[0]
    segment = wire_tcp.build(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, _acceptable_seq(tcb), tcb.rcv_nxt, flags, window.select(tcb),
        _options(tcb) if tcb.ts_ok else b"",
    )  # fmt: skip
    tcb.host.send_tcp(tcb.raddr, segment, 0, why, ref, False, tcb.tos)


def push_filled(tcb: Tcb, why: str) -> None:
    """send() has filled an sk_buff and has more: one burst of it leaves if it is the first (tcp_push_one).

    What makes more than half of the greatest window without PSH is pushed (forced_push).
    """
    if seq.diff(tcb.data_end, tcb.pushed_seq) > tcb.max_window >> 1:
        mark_push(tcb)
        push(tcb, why)
    elif len(tcb.skbs) == 1:
        push(tcb, why, most=tso.segments(tcb))


def mark_push(tcb: Tcb) -> None:
    """What was written last is to be pushed (tcp_mark_push)."""
    tcb.pushed_seq = tcb.data_end
    if not tcb.psh or tcb.psh[-1] != tcb.pushed_seq:
        tcb.psh += (tcb.pushed_seq,)


_ONE_BURST = 1 << 20
"""Whoever asks for fewer segments wants them now."""


def push(tcb: Tcb, why: str, more: bool = False, force: bool = False, most: int = 1 << 30) -> None:
    """Send all that window, congestion window and Nagle allow (tcp_write_xmit). `why`: what set us going.

    `more`: hold a part of a segment back, as if corked; `force`: not even Nagle or a cork holds it back; `most`: so
    many segments.
    """
    if tcb.state not in _MAY_SEND or (tcb.state is State.SYN_RECV and not tcb.rcv_nxt):
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
    if tcb.mtup is not None and tcb.mtup.enabled and most > 1:
        held = mtu_probe.probe(tcb, why)
        rest = unsent(tcb)
    left = several = 0
    while rest and not held and most:
        begins = not left
        if begins:
            held = _deferred(tcb, most)
            if held:
                break
            left = several = _burst(tcb, most, more, force)
        most -= 1
        left -= 1
        held = _next(tcb, rest, why, more, force, several > 1 and not left)
        if not held:
            tcb.rtx[-1].starts = begins
        rest = unsent(tcb)
    sent = tcb.snd_nxt != first
    if sent:
        sndbuf.sent(tcb, before)
    if tcb.chrono:
        _measure(tcb, held)
    if sent and not tlp.schedule(tcb, advancing=False) and (not before or tcb.expires[TLP] != NEVER):
        timers.rearm_rto(tcb)
    limited = held == "cwnd" or held == "burst, cwnd"
    if sent or limited:
        cwnd.validate(tcb, limited or tcb.in_flight >= tcb.cwnd)
    if held != tcb.held and not held.startswith("burst"):  # that is over with the next ACK
        tcb.held = held
        if held and tcb.host.tracing:
            _tell_what_holds(tcb, held)
    if rest and not tcb.rtx and tcb.expires[PERSIST] == NEVER:
        timers.arm_persist(tcb)


def _measure(tcb: Tcb, held: str) -> None:
    """What the connection waits for from now on (tcp_write_xmit)."""
    if held == "window" or held == "burst, window":
        chrono.start(tcb, chrono.RWND)
    elif tcb.chrono == chrono.RWND:
        chrono.stop(tcb, chrono.RWND)


def _tell_what_holds(tcb: Tcb, held: str) -> None:
    """Data waits: say why, once, when the reason is a new one."""
    host = tcb.host
    reasons = {
        "cwnd": (f"{tcb.in_flight} segments are in flight, as many as cwnd allows", "RFC 5681 3.1"),
        "window": (f"the peer offers {tcb.snd_wnd} octets, and the next segment does not fit", "RFC 9293 3.8.6"),
        "Nagle": ("a small segment is unacknowledged: the next small one waits for its ACK", "RFC 9293 3.7.4"),
        "MTU probe": ("the next segment is to be a probe of the path's MTU, and has no room yet", mtu_probe.REF),
        "cork": ("a part of a segment waits for more (TCP_CORK, MSG_MORE), 200 ms at most", "tcp(7) TCP_CORK"),
    }
    why, ref = reasons[held]
    why = f"{unsent(tcb)} octets wait: {why}"
    host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"held: {held}", why, ref))


def _skb_end(tcb: Tcb) -> Seq:
    """Where the first sk_buff ends that was not sent, or not sent as a whole."""
    begin = tcb.snd_nxt
    return next((later for later in tcb.skbs if seq.after(later, begin)), tcb.data_end)


def _deferred(tcb: Tcb, most: int) -> str:
    """Several segments could leave, but with the next ACK it would be more of them: what is waited for; empty: go."""
    if most < _ONE_BURST or not tcb.rtx or tcb.in_flight >= tcb.cwnd:
        return ""
    end = _skb_end(tcb)
    octets = seq.diff(end, tcb.snd_nxt)
    mss = current_mss(tcb)
    if octets <= mss or seq.diff(tcb.snd_una, tcb.snd_nxt) + tcb.snd_wnd < mss:
        return ""
    return tso.should_defer(tcb, octets, end == tcb.data_end)


def _burst(tcb: Tcb, most: int, more: bool, force: bool) -> int:
    """How many segments leave as one: of the first sk_buff that was not sent, as many as cwnd, the window and the size
    of a burst allow (tcp_write_xmit, tcp_mss_split_point).
    """
    begin, end = tcb.snd_nxt, _skb_end(tcb)
    mss = current_mss(tcb)
    octets = seq.diff(end, begin)
    if octets <= mss:
        return 1
    room = seq.diff(tcb.snd_una, begin) + tcb.snd_wnd
    allowed = min(tso.segments(tcb), tcb.cwnd - tcb.in_flight, most)
    whole, part = divmod(octets, mss)
    if whole >= allowed or octets > room:
        return max(min(allowed, room // mss), 1)
    held = end == tcb.data_end and not (tcb.fin_queued or force) and (tcb.cork or more or _nagle(tcb))
    return whole + (part > 0 and not held)


def _next(tcb: Tcb, rest: int, why: str, more: bool, force: bool, ends_burst: bool) -> str:
    """Send the next segment, or say what holds it back."""
    data = rest - tcb.fin_queued
    mss = current_mss(tcb)
    size = data if data < mss else mss
    last = size == data
    if tcb.eor:
        size, last = _up_to_eor(tcb, size, last)
    fin = last and tcb.fin_queued
    if tcb.in_flight >= tcb.cwnd and not (fin and not size):
        return "cwnd"
    if size + fin > tcb.snd_wnd - seq.diff(tcb.snd_nxt, tcb.snd_una):
        return "window"
    if size < mss and size == data and not fin and not force:  # to one in the middle of the queue nothing is added
        if tcb.cork or more:
            return "cork"
        if _nagle(tcb):
            return "Nagle"
    if not tcb.rtx and tcb.host.now - tcb.lsndtime > tcb.rto:
        cwnd.restart(tcb)
    first = tcb.snd_nxt
    _send(tcb, first, size, fin, size > 0 and _marked(tcb, seq.add(first, size)), why, ends_burst)
    if size < mss:
        tcb.snd_sml = seq.add(first, size)
    return ""


def _marked(tcb: Tcb, end: Seq) -> bool:
    """Does the segment that ends at `end` carry PSH? It was written last, or much was written before it."""
    while tcb.psh and seq.before(tcb.psh[0], end):
        tcb.psh = tcb.psh[1:]
    if not tcb.psh or tcb.psh[0] != end:
        return False
    tcb.psh = tcb.psh[1:]
    return True


def _up_to_eor(tcb: Tcb, size: int, last: bool) -> tuple[int, bool]:
    """A segment ends where a send() with MSG_EOR ended: its size, and whether it is a last one."""
    while tcb.eor and not seq.after(tcb.eor[0], tcb.snd_nxt):
        tcb.eor = tcb.eor[1:]
    if not tcb.eor or seq.diff(tcb.eor[0], tcb.snd_nxt) > size:
        return size, last
    return seq.diff(tcb.eor[0], tcb.snd_nxt), True


def _nagle(tcb: Tcb) -> bool:
    """A small segment waits while an earlier small one is unacknowledged (RFC 9293 3.7.4, Minshall's variant)."""
    if tcb.nodelay or not tcb.rtx:
        return False
    return seq.after(tcb.snd_sml, tcb.snd_una) and not seq.after(tcb.snd_sml, tcb.snd_nxt)


def _send(tcb: Tcb, first: Seq, size: int, fin: bool, push_it: bool, why: str, ends_burst: bool = False) -> None:
    """`push_it`: PSH belongs to it; `ends_burst`: it carries PSH because several leave as one (__tcp_transmit_skb)."""
    host = tcb.host
    offset = (first - tcb.snd_base) & seq.MASK
    payload = bytes(memoryview(tcb.sndq)[offset : offset + size]) if size else b""
    flags = ACK
    end = seq.add(first, size + fin)
    if push_it or ends_burst:
        flags |= PSH
    if fin:
        flags |= FIN
        why = "FIN: the application closed its direction" if not size else f"{why}, and FIN: it closed its direction"
    if host.tracing:
        why += f"; {len(tcb.rtx)} of cwnd {tcb.cwnd} in flight, window {tcb.snd_wnd}"
    if tcb.pending:
        why += "; the ACK that was owed rides on it"
    if not tcb.rtx:
        tcb.cc.on_start(tcb)
    entry = SentSeg(first, end, host.now, False, fin)
    entry.push = push_it
    entry.eor = bool(tcb.eor) and tcb.eor[0] == end
    entry.delivered, entry.serial = tcb.delivered, tcb.segs_out
    tcb.rtx.append(entry)
    tcb.tsorted[entry] = None
    tcb.snd_nxt = end
    if tcb.ca_state == RECOVERY or tcb.ca_state == CWR:
        tcb.prr_out += 1
    emit(tcb, first, flags, payload, why, "RFC 9293 3.6" if fin else "RFC 9293 3.8")
    if tcb.expires[PERSIST] != NEVER:
        timers.stop(tcb, PERSIST)


def push_one(tcb: Tcb, why: str) -> bool:
    """Send one segment of new data if the window allows it, whatever cwnd and Nagle say. Whether one left."""
    first = tcb.snd_nxt
    data = unsent(tcb) - tcb.fin_queued
    size = min(data, current_mss(tcb))
    fin = size == data and tcb.fin_queued
    if size + fin <= seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), first):
        before = len(tcb.rtx)
        _send(tcb, first, size, fin, size > 0 and _marked(tcb, seq.add(first, size)), why)
        sndbuf.sent(tcb, before)
        cwnd.validate(tcb, tcb.in_flight >= tcb.cwnd)
    return tcb.snd_nxt != first


def push_probe(tcb: Tcb, size: int, why: str) -> None:
    """A segment of `size` octets, more than `Tcb.mss`: it tells whether the path carries so much."""
    _send(tcb, tcb.snd_nxt, size, False, False, why)


def window_probe(tcb: Tcb, why: str, ref: str) -> None:
    """Zero window: an old empty segment; a window smaller than the segment: as much as fits (tcp_write_wakeup)."""
    room = seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), tcb.snd_nxt)
    data = unsent(tcb) - tcb.fin_queued
    if room > 0 and data:
        size = min(room, data, tcb.mss)
        first = tcb.snd_nxt
        before = len(tcb.rtx)
        _send(tcb, first, size, False, True, why)
        sndbuf.sent(tcb, before)
        timers.rearm_rto(tcb)
        return
    tcb.host.counters["TcpExtTCPWinProbe"] += 1
    old_ack(tcb, why, ref)
