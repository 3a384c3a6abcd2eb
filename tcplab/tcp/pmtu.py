"""How large a packet may be on the way to a peer, and what that leaves for a segment (RFC 1191, Linux route.c).

A host keeps what ICMP told of a destination for `mtu_expires` seconds; every connection to it looks there before it
sends, as Linux's do by their route (tcp_current_mss). What is done about a path that became smaller is in
`tcplab.tcp.resegment`, and the search without ICMP in `tcplab.tcp.mtu_probe`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tcplab.units import SEC, Nanos

if TYPE_CHECKING:
    from tcplab.tcp.env import Env
    from tcplab.tcp.tcb import Tcb

REF: Final = "RFC 1191 6.4"
HEADERS: Final = 40
"""Of IP and TCP, without options."""
MAX_MTU: Final = 65535
"""The greatest packet that IPv4 has; to the host's own address."""
MSS_DEFAULT: Final = 536
_TS_SPACE: Final = 12
_LEAST: Final = 68
"""What every path carries (RFC 791)."""

# IP_MTU_DISCOVER (ip(7)): whether the packets forbid to be fragmented, and whether ICMP is believed.
DONT, WANT, DO, PROBE, INTERFACE, OMIT = range(6)


class Learned(NamedTuple):
    """What ICMP told of a destination (Linux fib_nh_exception)."""

    mtu: int
    locked: bool
    """It told of less than `min_pmtu`: that much is sent all the same, and may be fragmented."""
    expires: Nanos


# --- a host's destinations --------------------------------------------------------------------------------------------


def to(host: Env, addr: int) -> int:
    """The greatest packet for `addr` (ipv4_mtu)."""
    if addr == host.addr:
        return MAX_MTU
    if not host.path_mtus:
        return host.mtu
    found = _learned(host, addr)
    return found.mtu if found is not None else host.mtu


def locked(host: Env, addr: int) -> bool:
    """Are packets for `addr` fragmented rather than made smaller? (ip_mtu_locked)"""
    found = _learned(host, addr)
    return found is not None and found.locked


def _learned(host: Env, addr: int) -> Learned | None:
    found = host.path_mtus.get(addr)
    if found is not None and host.now >= found.expires:
        del host.path_mtus[addr]
        return None
    return found


def learn(host: Env, addr: int, mtu: int) -> None:
    """ICMP says that no more than `mtu` octets get through (__ip_rt_update_pmtu)."""
    old, known = to(host, addr), _learned(host, addr)
    if mtu > old or addr == host.addr or (known is not None and known.locked):
        return
    least = host.sysctl.min_pmtu
    lock = mtu < least
    if lock:
        mtu = min(old, least)
    lasts = host.sysctl.mtu_expires * SEC
    if known is None or known.mtu != mtu or lock or host.now >= known.expires - lasts // 2:
        host.path_mtus[addr] = Learned(mtu, lock, host.now + lasts)
        host.routes += 1


def advertised(host: Env, addr: int, user_mss: int) -> int:
    """The MSS that our SYN tells: of the path, or TCP_MAXSEG where that is less (ipv4_default_advmss)."""
    mss = min(max(to(host, addr) - HEADERS, host.sysctl.min_adv_mss), MAX_MTU - HEADERS)
    return min(mss, user_mss) if user_mss else mss


# --- a connection's segments ------------------------------------------------------------------------------------------


def to_mss(tcb: Tcb, mtu: int) -> int:
    """The payload that fits into a packet of `mtu` octets, as far as the peer takes it (tcp_mtu_to_mss)."""
    mss = min(mtu - HEADERS, tcb.mss_clamp)
    return max(mss, tcb.host.sysctl.tcp_min_snd_mss) - _TS_SPACE * tcb.ts_ok


def to_mtu(tcb: Tcb, mss: int) -> int:
    """The packet that a payload of `mss` octets makes (tcp_mss_to_mtu)."""
    return mss + HEADERS + _TS_SPACE * tcb.ts_ok


def sync(tcb: Tcb, mtu: int) -> None:
    """The path carries `mtu` octets: how much a segment holds from now on (tcp_sync_mss)."""
    mss = _bound_to_half_window(tcb, to_mss(tcb, mtu))
    tcb.pmtu = mtu
    search = tcb.mtup
    if search is not None:
        search.high = min(search.high, mtu)
        if search.enabled:
            mss = min(mss, to_mss(tcb, search.low))
    tcb.mss = mss
    forbid_fragments(tcb)


def _bound_to_half_window(tcb: Tcb, mss: int) -> int:
    """A segment is at most half of the greatest window that the peer offered (tcp_bound_to_half_wnd)."""
    cutoff = tcb.max_window
    if cutoff > MSS_DEFAULT:
        cutoff >>= 1
    return max(cutoff, _LEAST - 20 - _TS_SPACE * tcb.ts_ok) if cutoff and mss > cutoff else mss


def follow(tcb: Tcb) -> None:
    """What is known of the path may have changed since the last segment (tcp_current_mss)."""
    if tcb.route == tcb.host.routes:
        mtu = to(tcb.host, tcb.raddr)
        if mtu != tcb.pmtu:
            sync(tcb, mtu)


def look_up(tcb: Tcb) -> None:
    """The connection takes notice of what others learned of the path (__sk_dst_check)."""
    tcb.route = tcb.host.routes
    forbid_fragments(tcb)


def outgrown(tcb: Tcb, size: int) -> bool:
    """A segment of `size` octets is about to leave: has another connection learned that it is too large?

    It is lost then: IP throws it away, and tells of it as a router would (ip_queue_xmit, ip_fragment).
    """
    host = tcb.host
    if tcb.route == host.routes:
        return False
    look_up(tcb)
    mtu = to(host, tcb.raddr)
    if not tcb.df or to_mtu(tcb, size) <= mtu:
        return False
    why = f"DF, but the path carries packets of {mtu} octets: another connection learned it"
    host.dropped(tcb.label, "too large", "IpFragFails", why, REF)
    if tcb.pmtu > mtu and tcb.pmtudisc not in (DONT, INTERFACE, OMIT):
        sync(tcb, mtu)
    return True


def forbid_fragments(tcb: Tcb) -> None:
    """Whether the packets carry DF (ip_dont_fragment)."""
    mode = tcb.pmtudisc
    tcb.df = mode == DO or (mode == WANT and not (tcb.host.path_mtus and locked(tcb.host, tcb.raddr)))
