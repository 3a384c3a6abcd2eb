"""Explicit congestion notification: RFC 3168 section 6.1, as Linux has it (include/net/tcp_ecn.h, tcp_ecn_send).

A router that would drop a segment marks it CE instead. Whoever receives it says so with ECE until the sender says with
CWR that it sends less since. Both sides agree on it in SYN and SYN,ACK; only then data carries ECT(0) in its IP header.
"""

from __future__ import annotations

from typing import Final

from tcplab.api.events import Noted
from tcplab.tcp import delack
from tcplab.tcp.sysctl import Sysctl
from tcplab.tcp.tcb import Tcb
from tcplab.wire.tcp import CWR, ECE, FIN, SYN, Segment

REF: Final = "RFC 3168 6.1"

# Bits of Tcb.ecn (Linux TCP_ECN_*).
OK, QUEUE_CWR, DEMAND_CWR, SEEN = 1, 2, 4, 8

# The two bits in the IP header.
NOT_ECT, ECT_1, ECT_0, CE = range(4)
MASK: Final = 3

_AE: Final = 256
_ASKED: Final = ECE | CWR
_ASKS: Final = 1
"""The value of tcp_ecn that asks for it in our SYNs; all but 0 grant it."""
_QUICKACKS: Final = 2


# --- the agreement ----------------------------------------------------------------------------------------------------


def grants(seg: Segment, sysctl: Sysctl) -> bool:
    """Does the SYN ask, and may it? One that is marked in the IP header itself is none of RFC 3168
    (tcp_ecn_create_request).
    """
    asked = seg.flags & _ASKED == _ASKED and (not seg.ecn or seg.flags & _AE)
    return bool(asked and sysctl.tcp_ecn)


def syn_flags(tcb: Tcb, again: bool) -> int:
    """What our SYN asks with. `again`: the first got lost, perhaps because it asked (tcp_ecn_send_syn, _clear_syn)."""
    sysctl = tcb.host.sysctl
    if not again:
        tcb.ecn = OK if sysctl.tcp_ecn == _ASKS else 0
    elif tcb.ecn:
        tcb.ecn |= QUEUE_CWR  # the timeout was a loss
        if sysctl.tcp_ecn_fallback:
            return 0
    return _ASKED if tcb.ecn else 0


def take_syn(tcb: Tcb, seg: Segment) -> None:
    """The peer's SYN crossed ours (tcp_ecn_rcv_syn)."""
    if seg.flags & _ASKED != _ASKED:
        tcb.ecn = 0


def take_syn_ack(tcb: Tcb, seg: Segment) -> None:
    """ECE alone grants it (tcp_ecn_rcv_synack)."""
    if seg.flags & _ASKED != ECE:
        tcb.ecn = 0


# --- sending ----------------------------------------------------------------------------------------------------------


def mark(tcb: Tcb, flags: int, new_data: bool) -> tuple[int, int]:
    """The flags of a segment and its two bits for IP: only data that is new may be marked on its way (tcp_ecn_send)."""
    bits = NOT_ECT
    if new_data:
        bits = ECT_0
        if tcb.ecn & QUEUE_CWR:
            tcb.ecn &= ~QUEUE_CWR
            flags |= CWR
    if tcb.ecn & DEMAND_CWR:
        flags |= ECE
    return flags, bits


def queue_cwr(tcb: Tcb) -> None:
    """cwnd goes down: the next new data tells the peer (tcp_ecn_queue_cwr)."""
    if tcb.ecn:
        tcb.ecn |= QUEUE_CWR


def withdraw_cwr(tcb: Tcb) -> None:
    """The reduction was taken back (tcp_ecn_withdraw_cwr)."""
    tcb.ecn &= ~QUEUE_CWR


# --- receiving --------------------------------------------------------------------------------------------------------


def data_check(tcb: Tcb, seg: Segment) -> None:
    """Data came: was it marked on its way (tcp_data_ecn_check)?"""
    if seg.ecn == NOT_ECT:
        if tcb.ecn & SEEN:
            delack.enter_quickack(tcb, _QUICKACKS)  # others were marked, so it is a repeat
        return
    if seg.ecn == CE and not tcb.ecn & DEMAND_CWR:
        delack.enter_quickack(tcb, _QUICKACKS)  # the peer's cwnd may be tiny
        tcb.ecn |= DEMAND_CWR
        _note(tcb, "CE", "a router marked the segment: ECE tells the peer, until it answers with CWR")
    tcb.ecn |= SEEN


def take_flags(tcb: Tcb, seg: Segment) -> bool:
    """CWR of an ACK: the peer has reduced (tcp_ecn_accept_cwr). True: with ECE it says that we should."""
    if seg.flags & CWR:
        if tcb.ecn & DEMAND_CWR:
            _note(tcb, "CWR", "the peer has reduced its window: no more ECE")
        tcb.ecn &= ~DEMAND_CWR
        if seg.payload or seg.flags & (SYN | FIN):
            tcb.pending |= delack.NOW  # its window may be one segment
    return bool(seg.flags & ECE and not seg.flags & SYN)


def _note(tcb: Tcb, note: str, why: str) -> None:
    host = tcb.host
    if host.tracing:
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, note, why, REF))
