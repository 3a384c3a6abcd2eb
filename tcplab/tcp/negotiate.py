"""The options of SYN and SYN,ACK: what we offer, what the peer's offer makes of it (LINUX: tcp_syn_options)."""

from __future__ import annotations

from typing import Final

from tcplab.api.states import State
from tcplab.tcp import ecn, pmtu
from tcplab.tcp.sysctl import Sysctl
from tcplab.tcp.tcb import Tcb
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import Segment

DEFAULT_MSS: Final = 536  # RFC 9293 MUST-15: without the option
MIN_SND_MSS: Final = 48  # Linux tcp_min_snd_mss
TS_SPACE: Final = 12
MAX_WSCALE: Final = 14  # RFC 7323 section 2.3


def syn_options(advmss: int, ts: tuple[int, int] | None, wscale: int | None, sack: bool) -> bytes:
    """The option block in Linux's order and with its padding: `mss,sackOK,TS,nop,wscale` when all are on."""
    if ts is not None and sack and wscale is not None:
        return opt.of_syn(advmss, *ts, wscale)
    parts = [opt.mss(advmss)]
    if ts is not None:
        parts.append(opt.sack_permitted() if sack else opt.nop() * 2)
        parts.append(opt.timestamps(*ts))
    elif sack:
        parts.append(opt.nop() * 2 + opt.sack_permitted())
    if wscale is not None:
        parts.append(opt.nop() + opt.window_scale(wscale))
    return b"".join(parts)


class Offer:
    """What a peer's SYN asks for and what this host's settings let it have."""

    __slots__ = ("ecn_ok", "mss", "sack_ok", "ts_ok", "ts_val", "wscale")

    def __init__(self, seg: Segment, sysctl: Sysctl) -> None:
        self.mss = max(seg.mss or DEFAULT_MSS, MIN_SND_MSS)
        self.ecn_ok = ecn.grants(seg, sysctl)
        self.ts_ok = seg.ts is not None and sysctl.tcp_timestamps > 0
        self.ts_val = seg.ts[0] if seg.ts is not None and self.ts_ok else 0
        self.sack_ok = seg.sack_ok and sysctl.tcp_sack > 0
        self.wscale = min(seg.wscale, MAX_WSCALE) if seg.wscale is not None and sysctl.tcp_window_scaling else None


def apply(tcb: Tcb, offer: Offer) -> None:
    """Set what both sides agreed on: sizes, timestamps, SACK, scaling."""
    tcb.ts_ok = offer.ts_ok
    if offer.ts_ok:
        tcb.ts_recent = offer.ts_val
        tcb.ts_recent_at = tcb.host.now
    tcb.sack_ok = offer.sack_ok
    tcb.wscale_ok = offer.wscale is not None
    if offer.wscale is None:
        tcb.snd_wscale = tcb.rcv_wscale = 0
    else:
        tcb.snd_wscale = offer.wscale
    tcb.mss_clamp = min(offer.mss, tcb.user_mss) if tcb.user_mss else offer.mss
    pmtu.sync(tcb, tcb.pmtu if tcb.state is State.SYN_SENT else pmtu.to(tcb.host, tcb.raddr))
    # Linux tcp_initialize_rcv_mss: a first guess at the size of the peer's segments.
    tcb.rcv_mss = max(min(tcb.advmss, tcb.mss, 536, max(tcb.rcv_wnd >> 1, 88)), 88)


def window_grew(tcb: Tcb, offered: int) -> None:
    """The peer offered more than ever: so may a segment be larger (tcp_ack_update_window)."""
    if offered > tcb.max_window:
        half, tcb.max_window = tcb.max_window >> 1, offered
        if half < tcb.pmtu or tcb.mtup is not None or tcb.host.path_mtus:  # else it bounds nothing, and did not before
            pmtu.sync(tcb, tcb.pmtu)


def buffers(tcb: Tcb, rcvbuf: int, sndbuf: int) -> None:
    """Fix the buffers: 0 takes the initial value of tcp_rmem and tcp_wmem."""
    sysctl = tcb.host.sysctl
    tcb.rcvbuf = rcvbuf or sysctl.tcp_rmem[1]
    tcb.sndbuf = sndbuf or sysctl.tcp_wmem[1]
    tcb.sndbuf_fixed = bool(sndbuf)
