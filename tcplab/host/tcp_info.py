"""TCP_INFO: Linux's struct tcp_info by its names and units (tcp_get_info); what is not kept here reads as unused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tcplab.api.states import State
from tcplab.tcp import chrono, ecn, output, rate, sndbuf
from tcplab.tcp.env import Endpoint
from tcplab.tcp.listen import Listener
from tcplab.tcp.negotiate import DEFAULT_MSS, TS_SPACE
from tcplab.tcp.tcb import INFINITE_SSTHRESH, INIT_CWND, INIT_RTO, NO_PACING, Tcb
from tcplab.units import MS, US

STATES: Final = {
    State.ESTABLISHED: 1, State.SYN_SENT: 2, State.SYN_RECV: 3, State.FIN_WAIT_1: 4, State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 7, State.CLOSED: 7, State.CLOSE_WAIT: 8, State.LAST_ACK: 9, State.LISTEN: 10, State.CLOSING: 11,
}  # fmt: skip
"""A socket is never in TIME_WAIT (6): a bucket is, and the socket is closed then."""
CA_STATES: Final = {"Open": 0, "Disorder": 1, "CWR": 2, "Recovery": 3, "Loss": 4}
OPT_TIMESTAMPS, OPT_SACK, OPT_WSCALE, OPT_ECN, OPT_ECN_SEEN, OPT_SYN_DATA = 1, 2, 4, 8, 16, 32
OPT_TFO_CHILD = 128
NO_LIMIT: Final = NO_PACING
NO_SAMPLE: Final = 2**32 - 1
FIRST_RTTVAR: Final = 250_000
DUPTHRESH: Final = 3  # Linux TCP_FASTRETRANS_THRESH
_DELACK_MAX: Final = 200 * MS

NAMES: Final = (
    "state", "ca_state", "retransmits", "probes", "backoff", "options", "snd_wscale", "rcv_wscale",
    "delivery_rate_app_limited", "fastopen_client_fail", "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked",
    "lost", "retrans", "fackets", "last_data_sent", "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu",
    "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh", "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space",
    "total_retrans", "pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received", "segs_out", "segs_in",
    "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out", "delivery_rate", "busy_time", "rwnd_limited",
    "sndbuf_limited", "delivered", "delivered_ce", "bytes_sent", "bytes_retrans", "dsack_dups", "reord_seen",
    "rcv_ooopack", "snd_wnd", "rcv_wnd", "rehash",
)  # fmt: skip
"""In the order of the struct, without `tcpi_`."""


def _complete(known: dict[str, int]) -> dict[str, int]:
    return {f"tcpi_{name}": known.get(name, 0) for name in NAMES}


def of_all(flows: Iterable[Endpoint]) -> dict[str, dict[str, int]]:
    """All connections of a host, by their names, with what the congestion control tells; what is less than a
    connection has no TCP_INFO.
    """
    return {flow.label: of(flow) | flow.cc.info(flow) for flow in flows if isinstance(flow, Tcb)}


def of_listener(listener: Listener) -> dict[str, int]:
    """A listener shows its accept queue: `unacked` is its length, `sacked` its limit."""
    return _complete({
        "state": STATES[State.LISTEN], "unacked": len(listener.accept_queue), "sacked": listener.max_ack_backlog,
        "reordering": listener.host.sysctl.tcp_reordering, "snd_cwnd": INIT_CWND, "pacing_rate": NO_LIMIT,
        "max_pacing_rate": NO_LIMIT,
    })  # fmt: skip


def of_unconnected() -> dict[str, int]:
    """A socket without a connection."""
    return _complete({
        "state": STATES[State.CLOSED], "delivery_rate_app_limited": 1, "rto": INIT_RTO // US, "snd_mss": DEFAULT_MSS,
        "rttvar": FIRST_RTTVAR, "snd_ssthresh": INFINITE_SSTHRESH, "snd_cwnd": INIT_CWND, "reordering": DUPTHRESH,
        "pacing_rate": NO_LIMIT, "max_pacing_rate": NO_LIMIT, "min_rtt": NO_SAMPLE,
    })  # fmt: skip


def _options(tcb: Tcb) -> int:
    shape = OPT_TIMESTAMPS * tcb.ts_ok | OPT_SACK * tcb.sack_ok | OPT_WSCALE * tcb.wscale_ok
    early = OPT_SYN_DATA * tcb.syn_data_acked | OPT_TFO_CHILD * tcb.fastopen_child
    return shape | early | OPT_ECN * bool(tcb.ecn) | OPT_ECN_SEEN * bool(tcb.ecn & ecn.SEEN)


def of(tcb: Tcb) -> dict[str, int]:
    """A connection, in any state."""
    now, ts_space = tcb.host.now, TS_SPACE if tcb.ts_ok else 0
    busy, rwnd_limited, sndbuf_limited = chrono.times(tcb)
    return _complete({
        "state": STATES[State.CLOSED if tcb.state is State.TIME_WAIT else tcb.state],  # the bucket has no socket
        "ca_state": CA_STATES[tcb.ca_state],
        "retransmits": tcb.retransmits,
        "probes": tcb.probes_out,
        "backoff": tcb.backoff,
        "options": _options(tcb),
        "snd_wscale": tcb.snd_wscale,
        "rcv_wscale": tcb.rcv_wscale if tcb.wscale_ok else 0,
        "delivery_rate_app_limited": rate.is_limited(tcb),
        "delivery_rate": rate.octets(tcb),
        "rto": tcb.rto // US,
        "ato": min(tcb.ato, _DELACK_MAX) // US,
        "snd_mss": tcb.mss,
        "rcv_mss": tcb.rcv_mss,
        "unacked": len(tcb.rtx),
        "sacked": tcb.sacked_out,
        "lost": tcb.lost_out,
        "retrans": tcb.retrans_out,
        "last_data_sent": (now - max(tcb.lsndtime, 0)) // MS,
        "last_data_recv": (now - tcb.lrcvtime) // MS,
        "last_ack_recv": (now - tcb.rcv_tstamp) // MS,
        "pmtu": tcb.pmtu,
        "rcv_ssthresh": tcb.rcv_ssthresh,
        "rtt": tcb.srtt >> 3,
        "rttvar": tcb.mdev >> 2 if tcb.mdev else FIRST_RTTVAR,
        "snd_ssthresh": tcb.ssthresh,
        "snd_cwnd": tcb.cwnd,
        "advmss": tcb.advmss - ts_space,
        "reordering": tcb.reordering,
        "reord_seen": tcb.reord_seen,
        "rcv_rtt": tcb.receiver.rtt >> 3 if tcb.receiver is not None else 0,
        "rcv_space": tcb.space,
        "total_retrans": tcb.total_retrans,
        "pacing_rate": tcb.pacing_rate,
        "max_pacing_rate": tcb.max_pacing_rate,
        "bytes_acked": tcb.bytes_acked,
        "bytes_received": tcb.bytes_received,
        "segs_out": tcb.segs_out,
        "segs_in": tcb.segs_in,
        "notsent_bytes": output.unsent(tcb) if tcb.state is not State.SYN_SENT else len(tcb.sndq),
        "min_rtt": tcb.rtt_min or NO_SAMPLE,
        "data_segs_in": tcb.data_segs_in,
        "data_segs_out": tcb.data_segs_out,
        "busy_time": busy,
        "rwnd_limited": rwnd_limited,
        "sndbuf_limited": sndbuf_limited,
        "delivered": tcb.delivered, "delivered_ce": tcb.delivered_ce,
        "bytes_sent": tcb.bytes_sent,
        "bytes_retrans": tcb.bytes_retrans,
        "dsack_dups": tcb.dsack_dups,
        "rcv_ooopack": tcb.rcv_ooopack,
        "snd_wnd": tcb.snd_wnd,
        "rcv_wnd": tcb.rcv_wnd,
    })  # fmt: skip


def memory(tcb: Tcb | None) -> dict[str, int]:
    """SO_MEMINFO by the names of SK_MEMINFO_*, but FWD_ALLOC: what the kernel reserved is not kept here."""
    if tcb is None:
        return dict.fromkeys(("RMEM_ALLOC", "WMEM_QUEUED"), 0)
    return {
        "RMEM_ALLOC": tcb.rmem_alloc, "RCVBUF": tcb.rcvbuf, "SNDBUF": tcb.sndbuf, "WMEM_QUEUED": sndbuf.used(tcb),
    }  # fmt: skip
