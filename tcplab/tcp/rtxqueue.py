"""The retransmission queue gives up what is acknowledged; the round trip is measured (Linux tcp_clean_rtx_queue)."""

from __future__ import annotations

from tcplab.tcp import chrono, mtu_probe, rack, recovery, rtt, seq, shift, sndbuf, undo
from tcplab.tcp.acked import (
    ANY_ACKED,
    CA_ALERT,
    DATA_ACKED,
    MAYBE_DELAYED,
    ORIG_SACK_ACKED,
    RETRANS_DATA_ACKED,
    SACK_RENEGING,
    SET_XMIT_TIMER,
    SYN_ACKED,
    Acked,
)
from tcplab.tcp.tagging import check_reordering
from tcplab.tcp.tcb import SentSeg, Tcb
from tcplab.units import US, Seq


def clean(tcb: Tcb, acked: Acked, prior_fack: Seq, prior_una: Seq) -> None:
    """snd_una moved on from `prior_una`: drop what lies below it, and say what that was (tcp_clean_rtx_queue).

    `prior_fack`: how far SACKs reached before.
    """
    rtx, una = tcb.rtx, tcb.snd_una
    done = 0
    for entry in rtx:
        if entry.end != una and (una - entry.end) & seq.MASK >= seq.HALF:
            break
        done += 1
    begun = tcb.begun
    if done:
        tcb.begun = -1
    if done < len(rtx) and seq.before(rtx[done].seq, una):
        done += _cut_head(tcb, done)
    prior_sacked = tcb.sacked_out
    first, last = _take(tcb, acked, rtx[:done] if done < len(rtx) else rtx)
    reord = first.seq if first is not None else tcb.snd_nxt
    if begun >= 0 and done and first is rtx[0]:
        reord = begun
    del rtx[:done]
    _forget_octets(tcb)
    if rtx and rtx[0].sacked:
        acked.flags |= SACK_RENEGING
    seq_rtt = -1
    if done == 1 and not prior_sacked and first is not None:
        _notice_delay(tcb, acked, first, prior_una)
    if first is not None and last is not None and not acked.flags & RETRANS_DATA_ACKED:
        seq_rtt = (tcb.host.now - first.sent) // US
        acked.ca_rtt = (tcb.host.now - last.sent) // US
    update_rtt(tcb, acked, seq_rtt)
    if acked.flags & ANY_ACKED:
        acked.flags |= SET_XMIT_TIMER
        _notice_reordering(tcb, acked, done, reord, prior_fack)
    tcb.cc.on_sample(tcb, done, acked.ca_rtt)


def _notice_delay(tcb: Tcb, acked: Acked, only: SentSeg, prior_una: Seq) -> None:
    """One short segment, which was alone on its way: its ACK may have waited at the peer for another one."""
    alone = only.end == tcb.snd_una and acked.prior_delivered + 1 == tcb.delivered
    if alone and (tcb.snd_una - prior_una) & seq.MASK < tcb.mss and not acked.flags & (CA_ALERT | SYN_ACKED):
        acked.flags |= MAYBE_DELAYED


def _notice_reordering(tcb: Tcb, acked: Acked, done: int, reord: Seq, prior_fack: Seq) -> None:
    if tcb.sack_ok:
        if seq.before(reord, prior_fack):  # a hole was filled by what was never repeated
            check_reordering(tcb, reord, by_timestamp=False)
        return
    recovery.remove_reno_sacks(tcb, done)
    if acked.flags & RETRANS_DATA_ACKED:  # without SACK nobody knows which of the two arrived
        acked.flags &= ~ORIG_SACK_ACKED


def _take(tcb: Tcb, acked: Acked, entries: list[SentSeg]) -> tuple[SentSeg | None, SentSeg | None]:
    """Account for what is acknowledged. The first and the last that were neither repeated nor SACKed before."""
    first = last = fresh = None
    tsorted = tcb.tsorted
    for entry in entries:
        tsorted.pop(entry, None)
        acked.flags |= DATA_ACKED if not entry.syn else SYN_ACKED
        if not entry.ever and not entry.sacked:
            last = entry
            first = first or entry
            if (tcb.high_seq - entry.end) & seq.MASK < seq.HALF:
                acked.flags |= ORIG_SACK_ACKED
            if not entry.lost and tcb.sack_ok:
                tcb.delivered += 1
                fresh = entry
                continue
        if fresh is not None:
            _newest(tcb, acked, fresh)
            fresh = None
        _drop(tcb, acked, entry)
    if fresh is not None:
        _newest(tcb, acked, fresh)
    if not tsorted:
        tsorted.clear()  # an empty dict keeps its table: an idle connection needs none
    return first, last


def _newest(tcb: Tcb, acked: Acked, entry: SentSeg) -> None:
    """Of several in a row the last one tells enough."""
    acked.sample(entry, entry.end)
    rack.advance(tcb, False, entry.end, entry.sent, entry.order)


def _drop(tcb: Tcb, acked: Acked, entry: SentSeg) -> None:
    """One segment, with all that the scoreboard says of it."""
    acked.sample(entry, entry.end)
    if entry.ever:
        if entry.retrans:
            tcb.retrans_out -= 1
        acked.flags |= RETRANS_DATA_ACKED
    if entry.sacked:
        tcb.sacked_out -= 1
    elif tcb.sack_ok:
        tcb.delivered += 1
        if not undo.spurious_retrans(tcb, acked, entry):
            rack.advance(tcb, entry.ever, entry.end, entry.sent, entry.order)
    if entry.lost:
        tcb.lost_out -= 1


def _cut_head(tcb: Tcb, first: int) -> int:
    """The ACK ends within a segment: how many segments that makes less of its sk_buff (tcp_tso_acked)."""
    rtx = tcb.rtx
    stop = shift.end_of(tcb, first)
    if stop - first > 1:
        return shift.realign(tcb, first, stop, tcb.snd_una)
    if tcb.begun < 0 and (not first or rtx[first].starts):
        tcb.begun = rtx[first].seq
    rtx[first].seq = tcb.snd_una
    return 0


def _forget_octets(tcb: Tcb) -> None:
    """The octets leave the send buffer; whoever wants to know is told."""
    if tcb.sndq:
        taken = (tcb.snd_una - tcb.snd_base) & seq.MASK
        if taken <= len(tcb.sndq):
            del tcb.sndq[:taken]
            tcb.snd_base = tcb.snd_una
        else:  # a SYN or FIN is not in the queue
            tcb.snd_base = tcb.data_end
            tcb.sndq.clear()
    if len(tcb.skbs_sent) > 1 or not tcb.rtx:
        sndbuf.acked(tcb)
    if tcb.notices is not None:
        tcb.notices.acked(tcb)
    if tcb.mtup is not None:
        mtu_probe.acknowledged(tcb)
    if not tcb.rtx:
        tcb.tsorted.clear()  # which gives its memory back
        if tcb.chrono:
            chrono.stop(tcb, chrono.BUSY)


def update_rtt(tcb: Tcb, acked: Acked, seq_rtt: int) -> None:
    """Karn's rule: what was acknowledged first, or SACKed, or the echoed timestamp (RFC 6298 3, RFC 7323 4.1).

    Without any of them the RTO stays as it is (tcp_ack_update_rtt). Microseconds; -1: there is none.
    """
    now = tcb.host.now
    sack_rtt = -1
    if acked.first_sackt >= 0:
        sack_rtt = (now - acked.first_sackt) // US
        acked.ca_rtt = (now - acked.last_sackt) // US
    if seq_rtt < 0:
        seq_rtt = sack_rtt
    if seq_rtt < 0 and acked.ecr and acked.flags & ANY_ACKED:
        seq_rtt = acked.ca_rtt = rtt.from_timestamp(tcb, acked.ecr)
    if seq_rtt < 0:
        return
    rtt.sample(tcb, seq_rtt, acked.ca_rtt, bool(acked.flags & MAYBE_DELAYED))
    if not acked.flags & ANY_ACKED and tcb.rtx and sack_rtt > (now - tcb.rtx[0].sent) // US:
        acked.flags |= SET_XMIT_TIMER  # not for what was sent before the first was repeated: that would go on for ever
