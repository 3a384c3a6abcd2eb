"""The transmission control block: the variables of one connection, and nothing that acts on them.

Names are those of Linux's struct tcp_sock and inet_connection_sock, or RFC 9293 section 3.3.1 where both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from tcplab.api.states import CLOSED, TIME_WAIT, State
from tcplab.tcp import cc
from tcplab.tcp.env import Entry, Env, FlowKey
from tcplab.units import MS, NEVER, SEC, Nanos, Seq
from tcplab.wire.ipv4 import text as ip_text
from tcplab.wire.tcp import Segment

if TYPE_CHECKING:
    from tcplab.tcp.autotune import Receiver
    from tcplab.tcp.cc.base import Controller
    from tcplab.tcp.fastopen import Attempt
    from tcplab.tcp.minmax import Minmax
    from tcplab.tcp.mtu_probe import Search
    from tcplab.tcp.notices import Notices
    from tcplab.tcp.rate import Rate
    from tcplab.tcp.reassembly import Waiting

INFINITE_SSTHRESH: Final = 0x7FFFFFFF
INIT_CWND: Final = 10  # RFC 6928
INIT_RTO: Final = 1 * SEC  # RFC 6298 (2.1)
QUICKACKS: Final = 16  # Linux TCP_MAX_QUICKACKS
ATO_MIN: Final = 40 * MS
NO_PACING: Final = 2**64 - 1

OPEN, DISORDER, CWR, RECOVERY, LOSS = "Open", "Disorder", "CWR", "Recovery", "Loss"

NOMEM: Final = 32
"""Bit of Tcb.pending: data had to be dropped, so the next ACK shuts the window (Linux ICSK_ACK_NOMEM)."""

# The timers of a connection, as indices of Tcb.expires.
RTO, DELACK, PERSIST, KEEPALIVE, TLP, REO, COMPRESS, PACING = range(8)
TIMER_NAMES: Final = ("rto", "delack", "persist", "keepalive", "tlp", "reo", "compress", "pacing")


_NOTHING_SPENT: Final = (0, 0, 0, 0)


class SentSeg:
    """A segment on the retransmission queue: sequence space `seq` .. `end` (SYN and FIN count)."""

    __slots__ = (
        "app_limited", "delivered", "delivered_at", "end", "eor", "ever", "fin", "first_tx", "lost", "order", "push",
        "retrans", "sacked", "sent", "seq", "starts", "syn",
    )  # fmt: skip

    def __init__(self, seq: Seq, end: Seq, sent: Nanos, syn: bool = False, fin: bool = False) -> None:
        self.seq = seq
        self.end = end
        self.sent = sent
        self.syn = syn
        self.fin = fin
        self.sacked = False
        self.lost = False
        self.push = False
        """It carries PSH, and so does a repeat of it."""
        self.retrans = False
        """A repeat of it is on the way."""
        self.ever = False
        """It was repeated at some time: no RTT sample (Karn)."""
        self.eor = False
        """A send() with MSG_EOR ended with it: nothing is added."""
        self.starts = True
        """Linux's sk_buff begins with it, not before (`tcplab.tcp.shift`)."""
        self.delivered = 0
        """Tcb.delivered when it was sent; -1 when it was counted (struct tcp_skb_cb tx.delivered)."""
        self.delivered_at: Nanos = -1
        """When that had been delivered; -1: nobody noted it (`tcplab.tcp.rate`)."""
        self.first_tx: Nanos = 0
        """When the segment had left that was acknowledged last then."""
        self.app_limited = False
        self.order = 0
        """How many segments left before it: in virtual time many leave in one instant."""


class Owner(Protocol):
    """The socket above a connection. An orphan has none."""

    fd: int

    def readable(self) -> None:
        """Data, the end, or an error: reading makes sense."""
        ...

    def writable(self) -> None:
        """Room, the connection, or an error: writing makes sense."""
        ...

    def noticed(self) -> None:
        """The error queue has a new entry."""
        ...


class HalfOpen(Protocol):
    """The handshake of a connection that Fast Open made before the third step (Linux fastopen_rsk)."""

    def passes(self, seg: Segment) -> bool:
        """May `seg` go on to the connection? False: it is dealt with."""
        ...

    def timeout(self) -> None:
        """The third step did not come in time."""
        ...

    def complete(self, seg: Segment) -> None:
        """The third step came: the handshake is over."""
        ...

    def drop(self) -> None:
        """The connection ended first."""
        ...


class Tcb:
    """One connection. `tcplab.tcp.machine.enter` alone writes `state`."""

    __slots__ = (
        "advmss", "armed", "ato", "attempt", "backoff", "begun", "bytes_acked", "bytes_received", "bytes_retrans",
        "bytes_sent",
        "ca_state", "cc", "chrono", "chrono_at", "chronos", "clamp", "cork", "cwnd", "cwnd_cnt", "cwnd_limited",
        "cwnd_stamp", "cwnd_used", "data_segs_in", "data_segs_out", "dead", "deadline", "delivered", "delivered_ce",
        "df", "done", "dsack", "dsack_dups", "dupacks", "ecn", "entry", "eor", "error", "expires", "fastopen_child",
        "fin_later", "fin_queued", "fin_rcvd", "fin_read", "frto", "held", "high_seq", "highest_sack", "host", "ident",
        "irs", "iss", "keepalive", "key", "laddr", "last_seg_size", "linger2", "lost", "lost_out", "lport", "lrcvtime",
        "lsndtime", "max_pacing_rate", "max_packets_out", "max_packets_seq", "max_window", "mdev", "mdev_max", "mss",
        "mss_clamp", "mtup", "nodelay", "nospace", "notices", "notsent_lowat", "ooo", "oow_at", "owner",
        "pacing", "pacing_rate", "pending", "pingpong", "pmtu", "pmtudisc", "prior_cwnd", "prior_ssthresh",
        "probes_out", "probes_since", "prr_delivered", "prr_out", "pushed_seq", "pushes", "quick", "rack_advanced",
        "rack_dsack_seen", "rack_end", "rack_last_delivered", "rack_order", "rack_rtt", "rack_sent", "raddr", "rate",
        "rcv_mss", "rcv_nxt", "rcv_ooopack", "rcv_ssthresh", "rcv_tsecr", "rcv_tstamp", "rcv_wnd", "rcv_wscale",
        "rcv_wup", "rcvbuf", "rcvbuf_locked", "rcvq", "rcvskbs", "receiver", "reo_wnd_persist", "reo_wnd_steps",
        "reord_seen", "reordering", "request", "retrans_out", "retrans_stamp", "retransmits", "reuse", "reuseport",
        "rmem_alloc", "route", "rport", "rto", "rtt_min", "rtt_mins", "rtt_seq", "rttvar", "rtx", "sack_cache",
        "sack_ok", "sack_reneg", "sacked_out", "sacks", "scaling_ratio", "segs_in", "segs_out", "shut_rd", "skbs",
        "skbs_sent", "snd_base", "snd_nxt", "snd_sml", "snd_una", "snd_wl1", "snd_wnd", "snd_wscale", "sndbuf",
        "sndbuf_fixed", "sndq", "soft_error", "space", "space_at", "srtt", "ssthresh", "state", "syn_data_acked",
        "syn_retries", "thin_lto", "tlp_high_seq", "tlp_retrans", "tos", "total_retrans", "ts_off", "ts_ok",
        "ts_recent", "ts_recent_at", "tsorted", "undo_marker", "undo_retrans", "user_clamp", "user_mss", "user_timeout",
        "write_pending", "wscale_ok", "wstamp",
    )  # fmt: skip

    cc: Controller

    def __init__(self, host: Env, laddr: int, lport: int, raddr: int, rport: int) -> None:
        self.host = host
        self.laddr, self.lport, self.raddr, self.rport = laddr, lport, raddr, rport
        self.key: FlowKey = (raddr, rport, lport)
        self.state = State.CLOSED
        self.owner: Owner | None = None
        self.dead = False
        """The application closed it: an orphan (Linux SOCK_DEAD)."""
        self.done = False
        """The error was told once: from now on recv() gives the end (Linux SOCK_DONE)."""
        self.reuse = False
        """SO_REUSEADDR of the socket that made it."""
        self.reuseport = False
        """SO_REUSEPORT, likewise."""
        self.error = 0
        """errno that the next socket call reports (SO_ERROR)."""
        self.soft_error = 0
        """errno of an ICMP message that does not end the connection: told in place of ETIMEDOUT (sk_err_soft)."""

        # Send sequence space. snd_base is the sequence number of sndq[0].
        self.iss: Seq = 0
        self.snd_una: Seq = 0
        self.snd_nxt: Seq = 0
        self.snd_wnd = 0
        self.snd_wl1: Seq = 0
        self.snd_sml: Seq = 0
        self.pushed_seq: Seq = 0
        """What was written last that is marked to be pushed."""
        self.pushes: tuple[Seq, ...] = ()
        """Where sk_buffs end that are not sent and whose end is to be pushed (`tcplab.tcp.sndbuf.mark`)."""
        self.wstamp: Nanos = -SEC
        """When anything was sent last; with pacing, when the next may be (tcp_wstamp_ns)."""
        self.eor: tuple[Seq, ...] = ()
        """Where a send() with MSG_EOR ended and no segment may go on."""
        self.snd_wscale = 0
        self.max_window = 0
        self.sndq = bytearray()
        self.snd_base: Seq = 0
        self.sndbuf = 0
        self.sndbuf_fixed = False
        """SO_SNDBUF said how large; else it grows with cwnd."""
        self.skbs: list[Seq] = []
        """Where each sk_buff of the send queue begins that was not sent (`tcplab.tcp.sndbuf`)."""
        self.skbs_sent: list[Seq] = []
        """The same for those that were sent and are not acknowledged."""
        self.nospace = False
        """The application was told that the buffer is full (SOCK_NOSPACE)."""
        self.notices: Notices | None = None
        """What it wants to know of octets that it sent."""
        self.fin_queued = False
        self.fin_later = False
        """shutdown() came in SYN_RECV: the FIN goes when the handshake is complete."""
        self.held = ""
        """What holds data back since the last attempt to send: `cwnd`, `window`, `Nagle`, `pacing`, ...; or nothing."""

        # Receive sequence space. rcvq is what the application has not read.
        self.irs: Seq = 0
        self.rcv_nxt: Seq = 0
        self.rcv_wnd = 0
        self.rcv_wup: Seq = 0
        """rcv_nxt when the window was last advertised."""
        self.rcv_wscale = 0
        self.rcv_ssthresh = 0
        self.rcvbuf = 0
        self.rcvq = bytearray()
        self.rcvskbs: list[list[int]] = []
        """The segments in rcvq: [octets unread, memory, room at the end]; `tcplab.tcp.rcvbuf`."""
        self.rcvbuf_locked = False
        """SO_RCVBUF was set: the buffer keeps its size."""
        self.rmem_alloc = 0
        """Memory that the receive buffer takes, what waits out of order included."""
        self.scaling_ratio = 128
        """How much of such memory is payload, in 1/256 (Linux TCP_DEFAULT_SCALING_RATIO)."""
        self.clamp = 65535 << 14
        """The greatest window to offer (Linux window_clamp)."""
        self.ooo: Sequence[Waiting] = ()
        """Out of order, sorted by where they begin; they may overlap."""
        self.sacks: Sequence[tuple[Seq, Seq]] = ()
        """SACK blocks to report, the one that grew last first."""
        self.dsack: tuple[Seq, Seq] | None = None
        self.fin_rcvd = False
        self.fin_read = False
        """The application read up to the end."""
        self.shut_rd = False
        self.write_pending = False
        """Somebody waits in a call to write: the third step can ride on that data (Linux sk_write_pending)."""
        self.syn_data_acked = False
        self.fastopen_child = False
        """Data went with the SYN and was taken (Fast Open, either side)."""

        # Fast Open: the client's SYN with data or cookie; the server's handshake that is not complete.
        self.attempt: Attempt | None = None
        self.request: HalfOpen | None = None

        # How large the receive buffer should be (`tcplab.tcp.autotune`).
        self.space = 0
        """Octets that the application read in a round trip, at most so far (rcvq_space.space); since when it counts."""
        self.space_at: Nanos = 0
        self.receiver: Receiver | None = None
        """What only a connection keeps that received data."""

        # What the two sides agreed on.
        self.mss = 536
        """Greatest payload we send, options already taken off (Linux mss_cache)."""
        self.mss_clamp = 536
        """The most that the peer takes, options included (Linux rx_opt.mss_clamp)."""
        self.pmtu = 0
        """The greatest packet that `mss` is made for (Linux icsk_pmtu_cookie)."""
        self.route = host.routes
        """How old what the connection knows of its path is: Env.routes when it looked."""
        self.mtup: Search | None = None
        """The search for a greater MTU, or for a smaller one without ICMP."""
        self.advmss = 1460
        self.rcv_tsecr = 0
        """The timestamp that was echoed last (Linux rcv_rtt_last_tsecr)."""
        self.rcv_mss = 536
        self.last_seg_size = 0
        """The size of the last segment, if it was smaller than that."""
        self.sack_ok = False
        self.wscale_ok = False
        self.ts_ok = False
        self.ts_off = 0
        self.ts_recent = 0
        self.ts_recent_at: Nanos = 0

        # Retransmission.
        self.rtx: list[SentSeg] = []
        self.begun = -1
        """Where its first segment began, if an ACK ended within it; -1: there, and when it left again."""
        self.rto: Nanos = INIT_RTO
        self.srtt = 0
        """8 times the smoothed RTT, microseconds, as Linux keeps it."""
        self.mdev = self.mdev_max = self.rttvar = 0
        self.rtt_seq: Seq = 0
        self.rtt_min = 0
        """The least round trip lately, microseconds; and what it is made of."""
        self.rtt_mins: Minmax | None = None
        self.backoff = 0
        self.retransmits = 0
        """Unanswered repeats in a row (icsk_retransmits)."""
        self.retrans_stamp: Nanos = -1
        self.probes_out = 0
        self.probes_since: Nanos = -1
        """When the first probe of a closed window was due, answered or not (Linux icsk_probes_tstamp)."""
        self.total_retrans = 0
        self.syn_retries = 0
        self.user_timeout: Nanos = 0
        self.thin_lto = False
        """TCP_THIN_LINEAR_TIMEOUTS."""
        self.tlp_high_seq: Seq = 0
        """snd_nxt when a tail loss probe was sent that nothing was heard of; 0: none is on its way."""
        self.tlp_retrans = False
        """That probe was a repeat."""

        # Loss and congestion; counts are segments.
        cc.assign(self, host.sysctl.tcp_congestion_control)
        self.ca_state = OPEN
        self.cwnd = INIT_CWND
        self.cwnd_cnt = 0
        self.cwnd_limited = False
        self.max_packets_out = 0
        self.max_packets_seq: Seq = 0
        self.ssthresh = INFINITE_SSTHRESH
        self.high_seq: Seq = 0
        self.sacked_out = self.lost_out = self.retrans_out = 0
        self.lost = 0
        """Segments that were ever marked lost."""
        self.dupacks = 0
        self.highest_sack: Seq = 0
        """The end of the highest segment that was SACKed, while any is (`tcplab.tcp.tagging`)."""
        self.sack_cache: tuple[tuple[Seq, Seq], ...] = ()
        """The blocks of the last ACK that had any (Linux recv_sack_cache)."""
        self.sack_reneg = False
        """The peer has reneged: no rate can be told from this recovery."""
        self.reordering = host.sysctl.tcp_reordering
        """So many segments may be overtaken before it means a loss."""
        self.reord_seen = 0
        self.cwnd_used = 0
        self.cwnd_stamp: Nanos = 0
        """When cwnd was last set, or used up."""
        self.rate: Rate | None = None
        """How fast data is delivered, once some was sent."""
        self.pacing = False
        """Segments leave at that rate, not all at once (sk_pacing_status)."""
        self.pacing_rate = self.max_pacing_rate = NO_PACING
        """Octets a second, as of the last ACK (sk_pacing_rate); and SO_MAX_PACING_RATE."""
        self.prior_cwnd = self.prior_ssthresh = self.prr_delivered = self.prr_out = 0
        self.undo_marker: Seq = -1
        """snd_una when this recovery began; -1: there is nothing to take back."""
        self.undo_retrans = -1
        """Repeats since then that no D-SACK came for."""
        self.frto = False
        """F-RTO finds out whether the last RTO was right."""

        # RACK: the newest segment that arrived, and how long an overtaken one is waited for.
        self.tsorted: dict[SentSeg, None] = {}
        """What is on the way, in the order of sending (Linux tsorted_sent_queue)."""
        self.rack_sent: Nanos = -1
        self.rack_end: Seq = 0
        self.rack_order = 0
        self.rack_rtt = 0
        """Its round trip, microseconds."""
        self.rack_advanced = self.rack_dsack_seen = False
        self.rack_last_delivered = 0
        """Tcb.delivered when reo_wnd grew last."""
        self.reo_wnd_steps = 1
        self.reo_wnd_persist = 0
        """So many recoveries more it stays as it is."""
        self.lsndtime: Nanos = -1

        # Delayed acknowledgement.
        self.pending = 0
        self.quick = 0
        self.pingpong = 0
        self.ato: Nanos = 0
        self.lrcvtime: Nanos = 0
        self.rcv_tstamp: Nanos = 0
        self.oow_at: Nanos = -SEC

        # Socket options.
        self.nodelay = False
        self.cork = False
        self.notsent_lowat = 0
        """TCP_NOTSENT_LOWAT in octets; 0: no limit."""
        self.tos = 0
        self.ecn = 0
        """What is agreed on and known of congestion notification: bits of `tcplab.tcp.ecn`; 0: there is none."""
        """IP_TOS."""
        self.pmtudisc = 1
        """IP_MTU_DISCOVER; and whether packets carry DF because of it."""
        self.df = True
        self.user_mss = 0
        """TCP_MAXSEG; 0: what the path allows."""
        self.user_clamp = 0
        """TCP_WINDOW_CLAMP; 0: what the buffer allows."""
        self.keepalive: tuple[int, int, int] | None = None
        """(idle, interval, probes) in seconds while SO_KEEPALIVE is on; 0 takes the sysctl."""

        self.linger2 = 0
        """TCP_LINGER2 in seconds: 0 takes tcp_fin_timeout, below 0 nobody waits."""

        # Timers.
        self.expires: list[Nanos] = [NEVER] * len(TIMER_NAMES)
        self.armed: list[Nanos] = [0] * len(TIMER_NAMES)
        self.deadline: Nanos = NEVER
        self.entry: Entry | None = None

        self.ident = 0
        # What TCP_INFO counts.
        self.bytes_acked = self.bytes_received = self.bytes_sent = self.bytes_retrans = 0
        self.segs_in = self.segs_out = self.data_segs_in = self.data_segs_out = 0
        self.delivered_ce = 0
        self.delivered = self.dsack_dups = self.rcv_ooopack = 0
        self.chrono = 0
        """What the connection spends its time on (`tcplab.tcp.chrono`), since when, and what it spent so far."""
        self.chrono_at = 0
        self.chronos = _NOTHING_SPENT

    @property
    def label(self) -> str:
        """`10.77.0.1:40001>10.77.0.2:80`"""
        return f"{ip_text(self.laddr)}:{self.lport}>{ip_text(self.raddr)}:{self.rport}"

    @property
    def congestion(self) -> str:
        """The name of its congestion control."""
        return self.cc.name

    @property
    def data_end(self) -> Seq:
        """The sequence number behind the last octet that the application wrote."""
        return (self.snd_base + len(self.sndq)) & 0xFFFFFFFF

    @property
    def packets_out(self) -> int:
        """Segments that were sent and are not acknowledged."""
        return len(self.rtx)

    @property
    def in_flight(self) -> int:
        """Segments believed to be on the way (Linux tcp_packets_in_flight)."""
        return len(self.rtx) - self.sacked_out - self.lost_out + self.retrans_out

    @property
    def over(self) -> bool:
        """Nothing more is sent or received: closed, or a TIME_WAIT bucket took over."""
        return self.state is CLOSED or self.state is TIME_WAIT

    def on_timer(self) -> None:
        """The earliest deadline has come; `tcplab.tcp.connection.Connection` says what then."""
        raise NotImplementedError

    def on_segment(self, seg: Segment) -> None:
        """A segment for this connection; `tcplab.tcp.connection.Connection` says what then."""
        raise NotImplementedError
