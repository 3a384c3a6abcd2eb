"""TCP Fast Open: data in the SYN, allowed by a cookie that the server gave before (RFC 7413, Linux tcp_fastopen.c).

Here are the cookies, what a host remembers of its peers, and the client's side; `tcplab.tcp.early` is the server's.
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import chrono, negotiate, pmtu, rack, resegment, seq, sndbuf
from tcplab.tcp.env import Env
from tcplab.tcp.siphash import siphash
from tcplab.tcp.tcb import Tcb
from tcplab.units import SEC, Nanos
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import Segment

REF = "RFC 7413 4"
CLIENT_REF = "RFC 7413 4.2.1"
SERVER_REF = "RFC 7413 4.2.2"

# Bits of the sysctl tcp_fastopen (Linux TFO_*).
CLIENT, SERVER, CLIENT_NO_COOKIE, SERVER_NO_COOKIE, ALL_LISTENERS = 1, 2, 4, 0x200, 0x400

MSG_FASTOPEN: Final = 0x20000000
"""Flag of sendto(2), by Linux's number."""
COOKIE_SIZE: Final = 8
KEY_SIZE: Final = 16
_COOKIE_LEAST, _COOKIE_MOST = 4, 16
_NO_KEY: Final = "random"
_OPTION_SPACE: Final = 40  # Linux MAX_TCP_OPTION_SPACE: what others may add to a SYN is left free too


class Settings:
    """The Fast Open options of a socket; of a listening one also who is counted against its limit."""

    __slots__ = ("connect", "keys", "max_qlen", "no_cookie", "qlen", "resets")

    def __init__(self) -> None:
        self.connect = False
        """TCP_FASTOPEN_CONNECT: connect() waits for the first data, if a cookie is there."""
        self.no_cookie = False
        self.keys: tuple[bytes, ...] = ()
        """TCP_FASTOPEN_KEY: the key of new cookies, and perhaps an older one whose cookies still count."""
        self.max_qlen = 0
        """TCP_FASTOPEN: how many connections may wait for their third step; 0: Fast Open is off."""
        self.qlen = 0
        self.resets: tuple[Nanos, ...] = ()
        """When those that ended with a RST stop counting: a forged source costs the forger 60 s of one place."""

    def set_key(self, octets: bytes) -> None:
        """TCP_FASTOPEN_KEY: one key of 16 octets, or two. ValueError: another length."""
        if len(octets) not in (KEY_SIZE, 2 * KEY_SIZE):
            raise ValueError
        self.keys = tuple(octets[at : at + KEY_SIZE] for at in range(0, len(octets), KEY_SIZE))


# --- cookies ----------------------------------------------------------------------------------------------------------


def keys_of(host: Env, settings: Settings) -> tuple[bytes, ...]:
    """The keys of a listener: its own, the host's sysctl, or what the host made up for itself."""
    if settings.keys:
        return settings.keys
    text = host.sysctl.tcp_fastopen_key
    if text == _NO_KEY:
        return (host.isn.fastopen_key,)
    return (
        b"".join(bytes.fromhex(word)[::-1] for word in text.split("-")),
    )  # each word little-endian, as Linux has it


def cookie(key: bytes, client: int, server: int) -> bytes:
    """What proves that the client can receive at its address (tcp_fastopen_cookie_gen)."""
    pair = client.to_bytes(4, "big") + server.to_bytes(4, "big")
    return siphash(key, pair)


def option(octets: bytes, experimental: bool) -> bytes:
    """The option with Linux's padding, NOPs behind it; without octets it asks for a cookie."""
    if experimental:
        body = opt.FASTOPEN_MAGIC + octets
        return bytes((opt.EXPERIMENT, 2 + len(body))) + body
    return opt.fastopen(octets) + opt.nop() * (-(2 + len(octets)) & 3)


def offered(seg: Segment) -> tuple[bytes, bool] | None:
    """(cookie, in the experimental option?) of a SYN or SYN,ACK; None: no option, or a length that makes no sense."""
    octets = seg.fastopen
    if octets is None or len(octets) & 1 or (octets and not _COOKIE_LEAST <= len(octets) <= _COOKIE_MOST):
        return None
    kinds = [kind for kind, _ in opt.walk(seg.raw_options)]
    return octets, opt.FASTOPEN not in kinds


# --- what a host remembers --------------------------------------------------------------------------------------------


class Peer:
    """One server, as the client knows it (Linux tcp_fastopen_metrics)."""

    __slots__ = ("cookie", "experimental", "mss", "tried")

    def __init__(self) -> None:
        self.cookie = b""
        self.experimental = False
        """The cookie came in the experimental option, so it goes back in one."""
        self.mss = 0
        self.tried = 0
        """1: the option was not answered, so the experimental one comes next; 2: nor was that, back to the first."""


class Memory:
    """What a host knows as a client: each server's cookie, and whether Fast Open rests because SYNs got lost."""

    __slots__ = ("peers", "rest_since", "rests")

    def __init__(self) -> None:
        self.peers: dict[int, Peer] = {}
        self.rest_since: Nanos = 0
        self.rests = 0

    def learn(self, addr: int, mss: int, found: tuple[bytes, bool] | None, tried: int) -> None:
        """What a SYN,ACK told (tcp_fastopen_cache_set)."""
        peer = self.peers.setdefault(addr, Peer())
        peer.mss = mss
        if found is not None and found[0]:
            peer.cookie, peer.experimental = found
        elif tried > peer.tried and not peer.cookie:
            peer.tried = tried


def _resting(host: Env) -> bool:
    """Fast Open pauses after SYNs with data were lost again and again (tcp_fastopen_active_should_disable)."""
    span = host.sysctl.tcp_fastopen_blackhole_timeout_sec
    memory = host.fastopen
    if not span or not memory.rests:
        return False
    return host.now < memory.rest_since + (span * SEC << min(memory.rests - 1, 6))


def suspect_blackhole(tcb: Tcb, expired: bool) -> None:
    """The third timeout in a row, or the last: perhaps something swallows Fast Open (..._detect_blackhole)."""
    host = tcb.host
    if not host.sysctl.tcp_fastopen_blackhole_timeout_sec:
        return
    if tcb.retransmits == 2 or (tcb.retransmits < 2 and expired):
        host.fastopen.rests += 1
        host.fastopen.rest_since = host.now
        host.counters["TcpExtTCPFastOpenBlackhole"] += 1


# --- the client -------------------------------------------------------------------------------------------------------


class Attempt:
    """The client's Fast Open of one connection: what its first SYN carries (Linux tcp_fastopen_request)."""

    __slots__ = ("deferred", "experimental", "option", "room", "taken")

    def __init__(self, option: bytes, experimental: bool, room: int) -> None:
        self.option = option
        self.experimental = experimental
        self.room = room
        """Octets of data that fit into the SYN; 0: none may be sent."""
        self.taken = 0
        """Octets of data that it carried."""
        self.deferred = False
        """connect() returned and the SYN waits for the first data."""


def attempt(host: Env, addr: int, no_cookie: bool, user_mss: int = 0) -> Attempt:
    """What to put into a SYN to `addr` (tcp_fastopen_cookie_check, tcp_send_syn_data)."""
    peer = host.fastopen.peers.get(addr)
    mss = pmtu.advertised(host, addr, user_mss)
    if peer is not None:
        mss = min(peer.mss, mss)
    if _resting(host):
        return Attempt(b"", False, 0)
    if no_cookie or host.sysctl.tcp_fastopen & CLIENT_NO_COOKIE:
        return Attempt(b"", False, max(mss - _OPTION_SPACE, 0))
    if peer is not None and peer.cookie:
        return Attempt(option(peer.cookie, peer.experimental), peer.experimental, max(mss - _OPTION_SPACE, 0))
    experimental = peer is not None and peer.tried == 1
    return Attempt(option(b"", experimental), experimental, 0)


def answered(tcb: Tcb, seg: Segment) -> None:
    """The SYN,ACK came: remember what it says, and repeat what it does not acknowledge (tcp_rcv_fastopen_synack)."""
    mine = tcb.attempt
    assert mine is not None
    host = tcb.host
    found = offered(seg) if mine.option else None  # a cookie that nobody asked for is not taken
    tried = 0
    if mine.option and not tcb.total_retrans and found is None and not mine.taken:
        tried = 2 if mine.experimental else 1
    if mine.option or mine.taken:
        host.fastopen.learn(tcb.raddr, max(seg.mss or negotiate.DEFAULT_MSS, negotiate.MIN_SND_MSS), found, tried)
    if tcb.rtx:
        _data_acknowledged(tcb)
    if tcb.rtx:
        host.counters["TcpExtTCPFastOpenActiveFail"] += 1
        _repeat_data(tcb)
    elif mine.taken:
        tcb.syn_data_acked = True
        host.counters["TcpExtTCPFastOpenActive"] += 1
        host.fastopen.rests = 0


def _data_acknowledged(tcb: Tcb) -> None:
    """Take what the SYN,ACK acknowledges of the data off the queues."""
    taken = seq.diff(tcb.snd_una, tcb.snd_base)
    del tcb.sndq[:taken]
    tcb.snd_base = tcb.snd_una
    tcb.bytes_acked += taken
    if tcb.snd_una == tcb.snd_nxt:
        tcb.rtx.clear()
        tcb.tsorted.clear()
        tcb.lost_out = tcb.retrans_out = 0
    else:
        tcb.rtx[0].seq = tcb.snd_una
    sndbuf.acked(tcb)
    if tcb.notices is not None:
        tcb.notices.acked(tcb)
    if not tcb.rtx:
        chrono.stop(tcb, chrono.BUSY)


def _repeat_data(tcb: Tcb) -> None:
    """The data did not get through: again at once."""
    for entry in tcb.rtx:
        rack.mark_skb_lost(tcb, entry)
    why = "the third step, with the data again: the SYN,ACK acknowledges the SYN, but not the data in it"
    resegment.without_congestion(tcb, why, CLIENT_REF)
