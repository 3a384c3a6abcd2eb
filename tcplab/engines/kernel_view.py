"""The views of a host that is the kernel's, from what sock_diag(7) tells and from the numbers seen on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tcplab.api.states import State
from tcplab.api.views import ConnView, ListenerView, RequestView, TimerView
from tcplab.engines.sockdiag import Entry
from tcplab.units import MS, Nanos
from tcplab.wire.text import describe

_TIMERS: Final = ("", "rto", "keepalive", "timewait", "persist")
_CA_STATES: Final = ("Open", "Disorder", "CWR", "Recovery", "Loss")
_WHY: Final = "as sock_diag(7) tells"
_MASK: Final = 0xFFFFFFFF


class Numbers:
    """The initial sequence numbers of each connection, which the kernel tells nobody."""

    def __init__(self) -> None:
        self._peer: dict[tuple[int, int, int], int] = {}
        """(address, port, our port) -> the ISN of the peer."""
        self._own: dict[tuple[int, int, int], int] = {}

    def arrived(self, frame: bytes) -> None:
        """A frame came in."""
        seg = describe(frame)
        if "S" in seg.flags:
            self._peer.setdefault((seg.saddr, seg.sport, seg.dport), seg.seq)

    def sent(self, frame: bytes) -> None:
        """A frame went out; a SYN begins the connection anew."""
        seg = describe(frame)
        if "S" in seg.flags:
            key = (seg.daddr, seg.dport, seg.sport)
            if self._own.get(key) != seg.seq and seg.flags == "S":
                self._peer.pop(key, None)
            self._own[key] = seg.seq

    def of(self, key: tuple[int, int, int]) -> tuple[int, int]:
        """Our ISN and the peer's; 0 where none was seen."""
        return self._own.get(key, 0), self._peer.get(key, 0)


def of(
    entries: list[Entry], fds: Mapping[str, int], numbers: Numbers, now: Nanos
) -> tuple[tuple[ConnView, ...], tuple[ListenerView, ...]]:
    """Connections and listeners."""
    conns = []
    listeners = []
    for entry in entries:
        if entry.state is State.LISTEN:
            requests = [
                one for one in entries if one.state is State.SYN_RECV and _port(one.local) == _port(entry.local)
            ]
            listeners.append(_listener(entry, requests, fds.get(entry.conn, -1), now))
        elif entry.state is not State.SYN_RECV or entry.info:
            conns.append(_connection(entry, fds.get(entry.conn, -1), numbers, now))
    return tuple(conns), tuple(listeners)


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def _timers(entry: Entry, now: Nanos) -> tuple[TimerView, ...]:
    if not 0 < entry.timer < len(_TIMERS):
        return ()
    return (TimerView(_TIMERS[entry.timer], now, now + entry.expires * MS, entry.retrans, why=_WHY),)


def _key(entry: Entry) -> tuple[int, int, int]:
    addr, _, port = entry.peer.rpartition(":")
    number = 0
    for part in addr.split("."):
        number = number << 8 | int(part)
    return number, int(port), _port(entry.local)


def _options(info: Mapping[str, int]) -> str:
    bits = info.get("tcpi_options", 0)
    words = [word for bit, word in ((1, "ts"), (2, "sack")) if bits & bit]
    if bits & 4:
        words.append(f"wscale:{info.get('tcpi_snd_wscale', 0)},{info.get('tcpi_rcv_wscale', 0)}")
    if bits & 8:
        words.append("ecn")
    return " ".join(words)


def _connection(entry: Entry, fd: int, numbers: Numbers, now: Nanos) -> ConnView:
    info = entry.info
    iss, irs = numbers.of(_key(entry))
    scaled = info.get("tcpi_options", 0) & 4
    ca_state = info.get("tcpi_ca_state", 0)
    return ConnView(
        conn=entry.conn,
        local=entry.local,
        peer=entry.peer,
        state=entry.state.value,
        fd=fd,
        iss=iss,
        irs=irs,
        snd_wnd=info.get("tcpi_snd_wnd", 0),
        rcv_nxt=(irs + 1 + info.get("tcpi_bytes_received", 0)) & _MASK if irs else 0,
        rcv_wnd=info.get("tcpi_rcv_wnd", 0),
        snd_wscale=info.get("tcpi_snd_wscale", 0) if scaled else 0,
        rcv_wscale=info.get("tcpi_rcv_wscale", 0) if scaled else 0,
        options=_options(info),
        mss=info.get("tcpi_snd_mss", 0),
        advmss=info.get("tcpi_advmss", 0),
        cwnd=info.get("tcpi_snd_cwnd", 0),
        ssthresh=info.get("tcpi_snd_ssthresh", 0),
        ca_state=_CA_STATES[ca_state] if ca_state < len(_CA_STATES) else str(ca_state),
        packets_out=info.get("tcpi_unacked", 0),
        sacked_out=info.get("tcpi_sacked", 0),
        lost_out=info.get("tcpi_lost", 0),
        retrans_out=info.get("tcpi_retrans", 0),
        total_retrans=info.get("tcpi_total_retrans", 0),
        srtt_us=info.get("tcpi_rtt", 0),
        rttvar_us=info.get("tcpi_rttvar", 0),
        rto_us=info.get("tcpi_rto", 0),
        backoff=info.get("tcpi_backoff", 0),
        recv_q=entry.recv_q,
        send_q=entry.send_q,
        not_sent=info.get("tcpi_notsent_bytes", 0),
        bytes_acked=info.get("tcpi_bytes_acked", 0),
        bytes_received=info.get("tcpi_bytes_received", 0),
        segs_out=info.get("tcpi_segs_out", 0),
        segs_in=info.get("tcpi_segs_in", 0),
        timers=_timers(entry, now),
    )


def _listener(entry: Entry, requests: list[Entry], fd: int, now: Nanos) -> ListenerView:
    """Its limits as ss shows them; who waits in the accept queue the kernel does not tell."""
    backlog = entry.send_q
    return ListenerView(
        local=entry.local,
        port=_port(entry.local),
        backlog=backlog,
        max_ack_backlog=backlog,
        syn_queue=tuple(
            RequestView(one.conn, one.peer, now, one.retrans, 0, timers=_timers(one, now)) for one in requests[:64]
        ),
        syn_len=len(requests),
        syn_limit=backlog + 1,
        syn_limit_why=_WHY,
        accept_queue=(),
        accept_len=entry.recv_q,
        accept_limit=backlog + 1,
        accept_limit_why=_WHY,
        fd=fd,
    )
