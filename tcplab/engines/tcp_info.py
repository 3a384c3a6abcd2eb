"""struct tcp_info as the kernel returns it, by the names of its fields."""

from __future__ import annotations

import struct
from typing import Final

# Of struct tcp_info of linux/tcp.h, in order, by size; behind what the kernel returned there is nothing.
_INFO_8: Final = "state ca_state retransmits probes backoff options"
_INFO_32: Final = """
    rto ato snd_mss rcv_mss unacked sacked lost retrans fackets last_data_sent last_ack_sent last_data_recv
    last_ack_recv pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans
"""
_INFO_LATER: Final = """
    Q pacing_rate Q max_pacing_rate Q bytes_acked Q bytes_received I segs_out I segs_in I notsent_bytes I min_rtt
    I data_segs_in I data_segs_out Q delivery_rate Q busy_time Q rwnd_limited Q sndbuf_limited I delivered
    I delivered_ce Q bytes_sent Q bytes_retrans I dsack_dups I reord_seen I rcv_ooopack I snd_wnd I rcv_wnd I rehash
    H total_rto H total_rto_recoveries I total_rto_time I received_ce I delivered_e1_bytes I delivered_e0_bytes
    I delivered_ce_bytes I received_e1_bytes I received_e0_bytes I received_ce_bytes H accecn_fail_mode
    H accecn_opt_seen
"""


_BBR_INFO: Final = ("bbr_bw_lo", "bbr_bw_hi", "bbr_min_rtt", "bbr_pacing_gain", "bbr_cwnd_gain")


def cc_info(raw: bytes) -> dict[str, int]:
    """What TCP_CC_INFO gave: struct tcp_bbr_info by the names of its fields; empty if it is another controller's."""
    shape = struct.Struct(f"{len(_BBR_INFO)}I")
    return dict(zip(_BBR_INFO, shape.unpack(raw), strict=True)) if len(raw) == shape.size else {}


def tcp_info(raw: bytes) -> dict[str, int]:
    """The fields of struct tcp_info by name, as many as there are."""
    if len(raw) < 8:
        return {}
    found = dict(zip(_INFO_8.split(), raw, strict=False))
    found["snd_wscale"], found["rcv_wscale"] = raw[6] & 15, raw[6] >> 4
    found["delivery_rate_app_limited"], found["fastopen_client_fail"] = raw[7] & 1, raw[7] >> 1 & 3
    at = 8
    later = _INFO_LATER.split()
    names = [("I", name) for name in _INFO_32.split()]
    for kind, name in [*names, *zip(later[::2], later[1::2], strict=True)]:
        size = struct.calcsize(kind)
        at = (at + size - 1) // size * size
        if at + size > len(raw):
            break
        (found[name],) = struct.unpack_from(kind, raw, at)
        at += size
    return {f"tcpi_{name}": value for name, value in found.items()}
