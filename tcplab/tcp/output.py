"""What may be sent, and sending it: RFC 9293 3.8.6 and 3.7.4, Linux tcp_output.c."""

from __future__ import annotations

import struct

from tcplab.api.events import Noted
from tcplab.api.states import State
from tcplab.tcp import chrono, delack, negotiate, seq, sndbuf, timers, tlp, tso, window
from tcplab.tcp import sack as sack_blocks
from tcplab.tcp.tcb import PERSIST, RECOVERY, SentSeg, Tcb
from tcplab.units import MS, NEVER, Seq
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN

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
    delack.acked(tcb)
    if payload:
        tcb.lsndtime = host.now
        delack.data_sent(tcb)
        if tcb.notices is not None and tcb.notices.stamps:
            tcb.notices.sent(tcb, first, payload, segment)
    host.send_tcp(tcb.raddr, segment, tcb.ident, why, ref, rtx)


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
    options = negotiate.syn_options(tcb.advmss, ts, wscale, bool(sysctl.tcp_sack)) + cookie
    segment = wire_tcp.build(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, tcb.iss, tcb.rcv_nxt if with_ack else 0,
        SYN | ACK if with_ack else SYN, min(tcb.rcv_wnd, window.MAX_UNSCALED), options, data,
    )  # fmt: skip
    tcb.ident = (tcb.ident + 1) & 0xFFFF
    tcb.segs_out += 1
    if rtx:
        host.counters["TcpRetransSegs"] += 1
    host.send_tcp(tcb.raddr, segment, tcb.ident, why, ref, rtx)


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
    segment = wire_tcp.build(
        tcb.laddr, tcb.raddr, tcb.lport, tcb.rport, _acceptable_seq(tcb), tcb.rcv_nxt, RST | ACK, window.select(tcb),
        _options(tcb) if tcb.ts_ok else b"",
    )  # fmt: skip
    tcb.host.send_tcp(tcb.raddr, segment, 0, why, ref)


def push_filled(tcb: Tcb, why: str) -> None:
    """send() has filled an sk_buff and has more: one burst of it leaves if it is the first (tcp_push_one)."""
    if seq.diff(tcb.data_end, tcb.pushed_seq) > tcb.max_window >> 1:
        push(tcb, why)
    elif len(tcb.skbs) == 1:
        push(tcb, why, most=tso.segments(tcb))


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
    was_idle = not tcb.rtx
    first = tcb.snd_nxt
    while rest and not held and most:
        most -= 1
        held = _next(tcb, rest, why, more, force)
        rest = unsent(tcb)
    if tcb.snd_nxt != first:
        sndbuf.sent(tcb, first)
    if tcb.chrono:
        _measure(tcb, held, tcb.snd_nxt != first)
    if tcb.snd_nxt != first and not tlp.schedule(tcb, advancing=False) and was_idle:
        timers.arm_rto(tcb)
    if held != tcb.held:
        tcb.held = held
        if held and tcb.host.tracing:
            _tell_what_holds(tcb, held)
    if rest and not tcb.rtx and tcb.expires[PERSIST] == NEVER:
        timers.arm_persist(tcb)


def cwnd_limited(tcb: Tcb) -> bool:
    """Only a window that was used may grow (tcp_is_cwnd_limited)."""
    if tcb.cwnd < tcb.ssthresh:
        return tcb.cwnd < 2 * tcb.max_packets_out
    return tcb.cwnd_limited


def _measure(tcb: Tcb, held: str, sent: bool) -> None:
    """What the connection waits for from now on (tcp_write_xmit, tcp_cwnd_validate)."""
    if held == "window":
        chrono.start(tcb, chrono.RWND)
    elif tcb.chrono == chrono.RWND:
        chrono.stop(tcb, chrono.RWND)
    if sent and tcb.nospace and not tcb.skbs and not cwnd_limited(tcb):
        chrono.start(tcb, chrono.SNDBUF)


def _tell_what_holds(tcb: Tcb, held: str) -> None:
    """Data waits: say why, once, when the reason is a new one."""
    host = tcb.host
    reasons = {
        "cwnd": (f"{tcb.in_flight} segments are in flight, as many as cwnd allows", "RFC 5681 3.1"),
        "window": (f"the peer offers {tcb.snd_wnd} octets, and the next segment does not fit", "RFC 9293 3.8.6"),
        "Nagle": ("a small segment is unacknowledged: the next small one waits for its ACK", "RFC 9293 3.7.4"),
        "cork": ("a part of a segment waits for more (TCP_CORK, MSG_MORE), 200 ms at most", "tcp(7) TCP_CORK"),
    }
    why, ref = reasons[held]
    why = f"{unsent(tcb)} octets wait: {why}"
    host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"held: {held}", why, ref))


def _next(tcb: Tcb, rest: int, why: str, more: bool, force: bool) -> str:
    """Send the next segment, or say what holds it back."""
    data = rest - tcb.fin_queued
    mss = tcb.mss - sack_blocks.space(tcb)
    size = data if data < mss else mss
    last = size == data
    marked = seq.after(tcb.marked_seq, tcb.snd_nxt)
    if tcb.eor:
        size, last, marked = _up_to_eor(tcb, size, last, marked)
    fin = size == data and tcb.fin_queued
    if tcb.in_flight >= tcb.cwnd and not (fin and not size):
        tcb.cwnd_limited = True
        return "cwnd"
    if size + fin > tcb.snd_wnd - seq.diff(tcb.snd_nxt, tcb.snd_una):
        return "window"
    if size < mss and size == data and not fin and not force:  # to one in the middle of the queue nothing is added
        if tcb.cork or more:
            return "cork"
        if _nagle(tcb):
            return "Nagle"
    if tcb.host.now - tcb.lsndtime > tcb.rto and not tcb.rtx and tcb.lsndtime >= 0:
        _restart_after_idle(tcb)
    first = tcb.snd_nxt
    push_it = size > 0 and ((last and marked) or _forced_push(tcb, first, size))
    _send(tcb, first, size, fin, push_it, why)
    if size < mss:
        tcb.snd_sml = seq.add(first, size)
    return ""


def _up_to_eor(tcb: Tcb, size: int, last: bool, marked: bool) -> tuple[int, bool, bool]:
    """A segment ends where a send() with MSG_EOR ended: its size, whether it is a last one, and is to be pushed."""
    while tcb.eor and not seq.after(tcb.eor[0][0], tcb.snd_nxt):
        del tcb.eor[0]
    if not tcb.eor or seq.diff(tcb.eor[0][0], tcb.snd_nxt) > size:
        return size, last, marked
    end, push_it = tcb.eor[0]
    return seq.diff(end, tcb.snd_nxt), True, push_it


def _nagle(tcb: Tcb) -> bool:
    """A small segment waits while an earlier small one is unacknowledged (RFC 9293 3.7.4, Minshall's variant)."""
    if tcb.nodelay or not tcb.rtx:
        return False
    return seq.after(tcb.snd_sml, tcb.snd_una) and not seq.after(tcb.snd_sml, tcb.snd_nxt)


def _send(tcb: Tcb, first: Seq, size: int, fin: bool, push_it: bool, why: str) -> None:
    host = tcb.host
    offset = (first - tcb.snd_base) & seq.MASK
    payload = bytes(memoryview(tcb.sndq)[offset : offset + size]) if size else b""
    flags = ACK
    end = seq.add(first, size + fin)
    if push_it:
        flags |= PSH
        tcb.pushed_seq = end if not fin else seq.add(first, size)
    if fin:
        flags |= FIN
        why = "FIN: the application closed its direction" if not size else f"{why}, and FIN: it closed its direction"
    if host.tracing:
        why += f"; {len(tcb.rtx)} of cwnd {tcb.cwnd} in flight, window {tcb.snd_wnd}"
    if tcb.pending:
        why += "; the ACK that was owed rides on it"
    entry = SentSeg(first, end, host.now, False, fin)
    entry.push = push_it
    entry.eor = bool(tcb.eor) and tcb.eor[0][0] == end
    tcb.rtx.append(entry)
    tcb.snd_nxt = end
    if tcb.ca_state == RECOVERY:
        tcb.prr_out += 1
    if len(tcb.rtx) > tcb.max_packets_out or not seq.before(tcb.snd_una, tcb.max_packets_seq):
        tcb.max_packets_out = len(tcb.rtx)  # in this round trip (tcp_cwnd_validate)
        tcb.max_packets_seq = tcb.snd_nxt
        tcb.cwnd_limited = False
    emit(tcb, first, flags, payload, why, "RFC 9293 3.6" if fin else "RFC 9293 3.8")
    if tcb.expires[PERSIST] != NEVER:
        timers.stop(tcb, PERSIST)


def _forced_push(tcb: Tcb, first: Seq, size: int) -> bool:
    """Half of the greatest window went out without PSH: set one (Linux forced_push)."""
    return seq.diff(seq.add(first, size), tcb.pushed_seq) > tcb.max_window >> 1


def _restart_after_idle(tcb: Tcb) -> None:
    """Halve cwnd for each RTO that nothing was sent (RFC 2861, Linux tcp_cwnd_restart)."""
    if not tcb.host.sysctl.tcp_slow_start_after_idle:
        return
    idle = tcb.host.now - tcb.lsndtime
    restart = min(10, tcb.cwnd)
    tcb.ssthresh = max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))
    cwnd = tcb.cwnd
    while (idle := idle - tcb.rto) > 0 and cwnd > restart:
        cwnd >>= 1
    tcb.cwnd = max(cwnd, restart)


def push_one(tcb: Tcb, why: str) -> bool:
    """Send one segment of new data if the window allows it, whatever cwnd and Nagle say. Whether one left."""
    first = tcb.snd_nxt
    data = unsent(tcb) - tcb.fin_queued
    size = min(data, tcb.mss - sack_blocks.space(tcb))
    fin = size == data and tcb.fin_queued
    if size + fin <= seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), first):
        _send(tcb, first, size, fin, size == data, why)
        sndbuf.sent(tcb, first)
    return tcb.snd_nxt != first


def _behind_the_window(tcb: Tcb, entry: SentSeg) -> bool:
    """The peer took window back: of what lies behind it now only the first segment may be repeated, and of one that
    straddles the edge the part before it, which becomes a segment of its own (__tcp_retransmit_skb).
    """
    room = seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), entry.seq)
    if entry.syn or room >= seq.diff(entry.end, entry.seq) - entry.fin:
        return False
    if room <= 0:
        return entry.seq != tcb.snd_una
    _cut(tcb, entry, room)
    return False


def _cut(tcb: Tcb, entry: SentSeg, size: int) -> None:
    """The first `size` octets of `entry` stay, the rest becomes a segment of its own (tcp_fragment)."""
    rest = SentSeg(seq.add(entry.seq, size), entry.end, entry.sent, fin=entry.fin)
    rest.push, rest.lost, rest.sacked = entry.push, entry.lost, entry.sacked
    rest.retrans, rest.ever, rest.eor = entry.retrans, entry.ever, entry.eor
    tcb.lost_out += rest.lost
    tcb.sacked_out += rest.sacked
    tcb.retrans_out += rest.retrans
    entry.end, entry.fin, entry.push, entry.eor = rest.seq, False, False, False
    tcb.rtx.insert(tcb.rtx.index(entry) + 1, rest)


def _cut_to_mss(tcb: Tcb, entry: SentSeg) -> None:
    """A segment that was sent when more fitted into one is repeated as several (__tcp_retransmit_skb).

    All become entries now, as Linux counts them; the first is repeated, the rest when cwnd lets them.
    """
    mss = tcb.mss - sack_blocks.space(tcb)
    while seq.diff(entry.end, entry.seq) - entry.fin > mss:
        _cut(tcb, entry, mss)
        entry = tcb.rtx[tcb.rtx.index(entry) + 1]


def retransmit(tcb: Tcb, entry: SentSeg, why: str, ref: str, probe: bool = False) -> bool:
    """Send `entry` again (tcp_retransmit_skb). A `probe` does not count as being repaired. False: it may not leave."""
    if _behind_the_window(tcb, entry):
        return False
    if not entry.syn:
        _cut_to_mss(tcb, entry)
    host = tcb.host
    tcb.total_retrans += 1
    if not entry.retrans and not probe:
        entry.retrans = True
        tcb.retrans_out += 1
    entry.ever = True
    entry.sent = host.now
    if tcb.retrans_stamp < 0 and not probe:
        tcb.retrans_stamp = host.now
    if entry.syn:
        host.counters["TcpExtTCPSynRetrans"] += 1
        send_syn(tcb, why, ref, rtx=True, with_ack=tcb.state is State.SYN_RECV)
        return True
    _collapse(tcb, entry)
    size = seq.diff(entry.end, entry.seq) - entry.fin
    offset = (entry.seq - tcb.snd_base) & seq.MASK
    payload = bytes(memoryview(tcb.sndq)[offset : offset + size])
    flags = ACK | (FIN if entry.fin else 0)
    if entry.push:
        flags |= PSH
    if tcb.ca_state == RECOVERY:
        tcb.prr_out += 1
    emit(tcb, entry.seq, flags, payload, why, ref, rtx=True)
    return True


def _collapse(tcb: Tcb, entry: SentSeg) -> None:
    """Small segments that follow are repeated along with it, as one (tcp_retrans_try_collapse)."""
    edge = seq.add(tcb.snd_una, tcb.snd_wnd)
    room = min(seq.diff(edge, entry.seq), tcb.mss) - seq.diff(entry.end, entry.seq) + entry.fin
    if room <= 0 or entry is tcb.rtx[-1] or not tcb.host.sysctl.tcp_retrans_collapse:
        return
    behind = tcb.rtx.index(entry) + 1
    while behind < len(tcb.rtx) and not entry.eor:
        later = tcb.rtx[behind]
        room -= seq.diff(later.end, later.seq) - later.fin
        if room < 0 or later.sacked or seq.after(later.end, edge):
            return
        entry.end, entry.eor = later.end, later.eor
        entry.fin |= later.fin
        entry.push |= later.push
        tcb.lost_out -= later.lost
        tcb.retrans_out -= later.retrans
        if not tcb.sack_ok and tcb.sacked_out:
            tcb.sacked_out -= 1
        del tcb.rtx[behind]


def window_probe(tcb: Tcb, why: str, ref: str) -> None:
    """Zero window: an old empty segment; a window smaller than the segment: as much as fits (tcp_write_wakeup)."""
    room = seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), tcb.snd_nxt)
    data = unsent(tcb) - tcb.fin_queued
    if room > 0 and data:
        size = min(room, data, tcb.mss)
        first = tcb.snd_nxt
        _send(tcb, first, size, False, True, why)
        sndbuf.sent(tcb, first)
        timers.arm_rto(tcb)
        return
    tcb.host.counters["TcpExtTCPWinProbe"] += 1
    old_ack(tcb, why, ref)
