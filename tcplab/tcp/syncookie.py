"""SYN cookies: the SYN,ACK carries what the queue has no room to remember (RFC 4987 section 3.6).

The ISN holds a minute counter, an index into a table of MSS values and a keyed hash; SACK and the window scale
travel in the low bits of our timestamp, which the peer echoes (Linux net/ipv4/syncookies.c). Without timestamps
they are lost. A cookie is never repeated: there is no entry whose timer could do it.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from hashlib import blake2s
from typing import TYPE_CHECKING

from tcplab.tcp import seq, window
from tcplab.tcp.negotiate import Offer
from tcplab.tcp.request import Request
from tcplab.units import MS, SEC
from tcplab.wire.tcp import Segment

if TYPE_CHECKING:
    from tcplab.tcp.listen import Listener

MSS_TABLE = (536, 1300, 1440, 1460)  # Linux msstab
PERIOD = 60 * SEC  # COUNTER: the minute
MAX_AGE = 2  # MAX_SYNCOOKIE_AGE, in periods
REF = "RFC 4987 3.6"

_TS_BITS = 6
_TS_MASK = (1 << _TS_BITS) - 1
_SACK_BIT = 1 << 4
_ECN_BIT = 1 << 5
_NO_WSCALE = 0xF
_HASHED = struct.Struct("!IIHHI")


def _hash(listener: Listener, raddr: int, rport: int, count: int, begun: blake2s) -> int:
    keyed = begun.copy()
    keyed.update(_HASHED.pack(listener.host.addr, raddr, listener.port, rport, count & seq.MASK))
    return int.from_bytes(keyed.digest(), "big")


def _minute(listener: Listener) -> int:
    return listener.host.now // PERIOD


def _mss_index(mss: int) -> int:
    return max(bisect_right(MSS_TABLE, mss) - 1, 0)


def _cookie(listener: Listener, raddr: int, rport: int, irs: int, index: int) -> int:
    """secure_tcp_syn_cookie: hash + IRS + minute<<24 + (hash(minute) + index) in the low 24 bits."""
    minute = _minute(listener)
    secrets = listener.host.isn
    mixed = (_hash(listener, raddr, rport, minute, secrets.cookie_data) + index) & 0xFFFFFF
    return (_hash(listener, raddr, rport, 0, secrets.cookie_base) + irs + (minute << 24) + mixed) & seq.MASK


def _index_of(listener: Listener, raddr: int, rport: int, irs: int, cookie: int) -> int | None:
    """check_tcp_syn_cookie: the index, or None when it is not ours or too old."""
    secrets = listener.host.isn
    rest = (cookie - _hash(listener, raddr, rport, 0, secrets.cookie_base) - irs) & seq.MASK
    minute = _minute(listener)
    age = (minute - (rest >> 24)) & 0xFF
    if age >= MAX_AGE:
        return None
    index = (rest - _hash(listener, raddr, rport, minute - age, secrets.cookie_data)) & 0xFFFFFF
    return index if index < len(MSS_TABLE) else None


def recently_sent(listener: Listener) -> bool:
    """Cookies are on, and one went out within their lifetime (tcp_synq_no_recent_overflow)."""
    host = listener.host
    return bool(host.sysctl.tcp_syncookies) and host.now - listener.cookie_at <= MAX_AGE * PERIOD


def answer(listener: Listener, seg: Segment, raddr: int) -> None:
    """Send a SYN,ACK with a cookie; nothing is kept."""
    host = listener.host
    offer = Offer(seg, host.sysctl)
    if not offer.ts_ok:
        offer.sack_ok = False
        offer.wscale = None
        offer.ecn_ok = False
    request = Request(listener, seg, raddr, offer, 0)
    request.iss = _cookie(listener, raddr, seg.sport, seg.seq, _mss_index(offer.mss))
    if offer.ts_ok:
        request.ts_off = _with_options(request) - host.now // MS
    listener.cookie_at = host.now
    listener.cookies_sent += 1
    host.counters["TcpExtSyncookiesSent"] += 1
    request.send_syn_ack("SYN cookie: the SYN queue is full, so its content travels in the ISN", REF)


def _with_options(request: Request) -> int:
    """Our timestamp with the options in its low bits, never ahead of the clock (cookie_init_timestamp)."""
    offer = request.offer
    bits = (offer.wscale if offer.wscale is not None else _NO_WSCALE) | (_SACK_BIT if offer.sack_ok else 0)
    bits |= _ECN_BIT if offer.ecn_ok else 0
    clock = request.host.now // MS + request.ts_off
    value = clock & ~_TS_MASK | bits
    return value if value <= clock else value - (1 << _TS_BITS)


def check(listener: Listener, seg: Segment, raddr: int) -> Request | None:
    """The request that a valid cookie stands for, or None (Linux cookie_v4_check)."""
    irs = seq.add(seg.seq, -1)
    index = _index_of(listener, raddr, seg.sport, irs, seq.add(seg.ack, -1))
    if index is None:
        return None
    request = Request(listener, seg, raddr, _restored(listener, seg, MSS_TABLE[index]), seq.add(seg.ack, -1))
    request.irs, request.rcv_nxt = irs, seg.seq
    buffer = listener.rcvbuf or listener.host.sysctl.tcp_rmem[1]
    request.rcv_wnd = window.initial(buffer, MSS_TABLE[index], listener.window_clamp)  # without room for a timestamp
    request.cookie = request.repeated = True  # when it was sent is not known: no RTT sample
    return request


def _restored(listener: Listener, seg: Segment, mss: int) -> Offer:
    """What the echoed timestamp remembers (cookie_timestamp_decode)."""
    offer = Offer(seg, listener.host.sysctl)
    offer.mss = mss
    offer.sack_ok, offer.wscale, offer.ecn_ok = False, None, False
    if offer.ts_ok and seg.ts is not None:
        bits = seg.ts[1] & _TS_MASK
        offer.sack_ok = bool(bits & _SACK_BIT)
        offer.ecn_ok = bool(bits & _ECN_BIT and listener.host.sysctl.tcp_ecn)
        offer.wscale = bits & 0xF if bits & 0xF != _NO_WSCALE else None
    return offer
