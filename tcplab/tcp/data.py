"""Segment text and FIN: the last steps of RFC 9293 section 3.10.7.4 (Linux tcp_data_queue, tcp_fin)."""

from __future__ import annotations

import errno

from tcplab.api.events import Noted
from tcplab.api.states import ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, Cause, State
from tcplab.tcp import autotune, delack, ecn, machine, output, rcvbuf, reassembly, sack, seq, timewait, window
from tcplab.tcp.seq import MASK
from tcplab.tcp.tcb import NOMEM, Tcb
from tcplab.units import Seq
from tcplab.wire.tcp import FIN, Segment

REF = "RFC 9293 3.10.7.4"


def segment_text(tcb: Tcb, seg: Segment) -> None:
    """Steps 7 and 8 (tcp_data_queue): in order, out of order, or seen before."""
    fin = seg.flags & FIN != 0
    is_next = seg.seq == tcb.rcv_nxt
    if is_next and tcb.state is ESTABLISHED:
        if _has_room(tcb, seg):
            _in_order(tcb, seg, fin)
        return
    end = seq.add(seg.seq, len(seg.payload) + fin)
    if tcb.fin_rcvd and not seq.before(seg.seq, tcb.rcv_nxt):
        tcb.host.dropped(tcb.label, "data after FIN", "", "the peer closed its direction before", REF)
        return
    deaf = tcb.dead or tcb.fin_rcvd or (tcb.shut_rd and tcb.state is not State.ESTABLISHED)
    if deaf and end != seg.seq and seq.after(seq.add(end, -fin), tcb.rcv_nxt):
        _nobody_reads(tcb, seg)
        return
    if not is_next and not seq.after(end, tcb.rcv_nxt):
        tcb.host.dropped(tcb.label, "duplicate", "", "all of it was received before", REF)
        seen_before(tcb, seg.seq, end)
        tcb.pending |= delack.NOW
    elif not is_next and _at_the_edge(tcb, seg):
        tcb.host.dropped(tcb.label, "no window", "", "it begins where the window ends", REF)
        delack.enter_quickack(tcb)
        tcb.pending |= delack.SCHED
    elif not is_next and seq.after(seg.seq, tcb.rcv_nxt):
        _out_of_order(tcb, seg, fin)
    elif _has_room(tcb, seg):
        _in_order(tcb, seg, fin)


def _at_the_edge(tcb: Tcb, seg: Segment) -> bool:
    """Does it begin where the window ends? It is not wrong, but there is no room for any of it."""
    return not seq.before(seg.seq, seq.add(tcb.rcv_nxt, window.offered(tcb))) and seq.after(seg.seq, tcb.rcv_nxt)


def _has_room(tcb: Tcb, seg: Segment) -> bool:
    """May data in order be taken? A bare FIN always, and anything while nothing is unread."""
    if seg.payload and tcb.rcv_wnd <= (tcb.rcv_nxt - tcb.rcv_wup) & MASK:  # not window.offered
        why = "the window is shut: nothing was asked for"
        tcb.host.dropped(tcb.label, "zero window", "TcpExtTCPZeroWindowDrop", why, REF)
        delack.enter_quickack(tcb)
        tcb.pending |= delack.SCHED
        return False
    if tcb.rmem_alloc <= tcb.rcvbuf or rcvbuf.make_room(tcb, seg.seq):
        return True
    tcb.pending |= NOMEM | delack.NOW
    if not seg.payload or not tcb.rcvq:
        return True
    why = "nobody reads: the receive buffer is full"
    tcb.host.dropped(tcb.label, "rcvbuf full", "TcpExtTCPRcvQDrop", why, REF)
    return False


def _nobody_reads(tcb: Tcb, seg: Segment) -> None:
    """Data for a socket that was closed or shut down both ways, or beyond a FIN: nobody reads it (TCPAbortOnData)."""
    did = "closed the socket" if tcb.dead else "shut down both directions"
    did = f"the application has {did}" if not tcb.fin_rcvd else "the peer had closed its direction"
    tcb.host.counters["TcpExtTCPAbortOnData"] += 1
    tcb.host.reply_rst(seg, tcb.raddr, f"data came, but {did}", "RFC 9293 3.6.1")
    error = errno.EPIPE if tcb.state is State.CLOSE_WAIT else errno.ECONNRESET
    machine.destroy(tcb, Cause.ABORT, f"data came, but {did}: RST", "RFC 9293 3.6.1", error)


def _in_order(tcb: Tcb, seg: Segment, fin: bool) -> None:
    old = seq.diff(tcb.rcv_nxt, seg.seq) if seg.seq != tcb.rcv_nxt else 0
    payload = seg.payload[old:] if old else seg.payload
    if old:
        sack.duplicate(tcb, seg.seq, tcb.rcv_nxt, old=True)
    if payload:
        rcvbuf.queue(tcb, payload, rcvbuf.HEADERS + len(seg.raw_options) + old, not old)
        tcb.rcv_nxt = (tcb.rcv_nxt + len(payload)) & MASK
        tcb.bytes_received += len(payload)
    if seg.payload:  # it may all be old, and its FIN alone be new
        delack.data_received(tcb, seg)
    if fin:
        if not payload and tcb.rcvskbs:  # an sk_buff all the same
            tcb.host.counters["TcpExtTCPRcvCoalesce"] += 1
        _fin(tcb)
    if tcb.ooo:
        before = tcb.rcv_nxt
        fin = reassembly.advance(tcb)
        tcb.bytes_received += seq.diff(tcb.rcv_nxt, before)
        if fin:
            _fin(tcb)
        reassembly.forget(tcb)
        if not tcb.ooo and tcb.pending & delack.SCHED:
            tcb.pending |= delack.NOW  # the hole was filled: the peer wants to know (RFC 5681 4.2)
    if tcb.owner is not None and (payload or fin):
        tcb.owner.readable()


def _out_of_order(tcb: Tcb, seg: Segment, fin: bool) -> None:
    host = tcb.host
    if tcb.ecn:
        ecn.data_check(tcb, seg)
    if not rcvbuf.make_room(tcb, seg.seq):
        host.dropped(tcb.label, "rcvbuf full", "TcpExtTCPOFODrop", "nobody reads: the receive buffer is full", REF)
        return
    host.counters["TcpExtTCPOFOQueue"] += 1
    tcb.rcv_ooopack += 1
    delack.measure(tcb, seg)
    reassembly.insert(tcb, seg.seq, seg.payload, fin, rcvbuf.HEADERS + len(seg.raw_options))
    if tcb.owner is not None:
        autotune.grow(tcb, tcb.space)
    tcb.pending |= delack.SCHED
    reassembly.report(tcb, seg.seq, seq.add(seg.seq, len(seg.payload) + fin), lambda: _flush(tcb))
    if host.tracing:
        missing = seq.diff(seg.seq, tcb.rcv_nxt)
        why = f"{missing} octets before it are missing: it waits"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"ooo {len(seg.payload)}", why, REF))


def _flush(tcb: Tcb) -> None:
    """More holes than one ACK should tell of: those ACKs that wait leave first (tcp_sack_compress_send_ack)."""
    why = delack.decompress(tcb)
    if why:
        why = f"data is missing in several places: {why}, before the next block"
        output.send_ack(tcb, why, delack.COMPRESS_REF)


def _fin(tcb: Tcb) -> None:
    """Step 8: the peer has said all that it has to say."""
    again = tcb.fin_rcvd  # one octet further: its segment began before the first
    tcb.rcv_nxt = seq.add(tcb.rcv_nxt, 1)
    tcb.bytes_received += 1
    tcb.fin_rcvd = True
    tcb.pending |= delack.SCHED
    if tcb.state is FIN_WAIT_2:
        output.send_ack(tcb, "ACK of the peer's FIN", "RFC 9293 3.6")
        _nothing_missing(tcb)
        timewait.start(tcb, Cause.FIN, "FIN received: both directions are closed, wait 2MSL")
        return
    if again:
        _tell_of_another_end(tcb)
    elif tcb.state is FIN_WAIT_1:
        machine.enter(tcb, Cause.FIN, "FIN received while ours is on the way: simultaneous close", REF)
        output.send_ack(tcb, "ACK of the peer's FIN", "RFC 9293 3.6")
    else:
        tcb.pingpong = delack.PINGPONG  # what is left to say is ours: the ACK may ride on it
        machine.enter(tcb, Cause.FIN, "FIN received: the peer sends no more", REF)
    _nothing_missing(tcb)
    if tcb.owner is not None:
        tcb.owner.readable()


def _tell_of_another_end(tcb: Tcb) -> None:
    """Linux takes it for a retransmission of the FIN: the end moves, the state does not."""
    host = tcb.host
    if host.tracing:
        why = "its segment begins before the first FIN: the end moves by one, the state stays"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, "FIN again", why, "Linux tcp_fin"))


def _nothing_missing(tcb: Tcb) -> None:
    """The peer has said all: nothing waits, nothing is left to report - behind the ACK that tcp_fin sends itself."""
    reassembly.purge(tcb)
    tcb.sacks = ()
    tcb.dsack = None


def seen_before(tcb: Tcb, left: Seq, right: Seq) -> None:
    """Our ACK was lost or late: acknowledge at once for a while, and tell of the duplicate (tcp_send_dupack)."""
    tcb.host.counters["TcpExtDelayedACKLost"] += 1
    delack.enter_quickack(tcb)
    sack.duplicate(tcb, left, right, old=True)
