"""TCP_INFO has all fields of Linux's struct tcp_info, in its units, with the numbers that Linux 6.18 gave."""

from __future__ import annotations

from typing import Any

from support.pair import Pair

from tcplab.host.tcp_info import NAMES
from tcplab.units import MS, SEC


def info(pair: Pair, host: str, fd: Any) -> dict[str, int]:
    found = pair.call(host, "getsockopt", fd, "TCP_INFO")
    assert isinstance(found, dict)
    assert list(found) == [f"tcpi_{name}" for name in NAMES]
    return {name.removeprefix("tcpi_"): number for name, number in found.items()}


def nonzero(found: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in found.items() if number}


def test_a_fresh_socket() -> None:
    pair = Pair()
    assert nonzero(info(pair, "a", pair.call("a", "socket"))) == {
        "state": 7, "delivery_rate_app_limited": 1, "rto": 1_000_000, "snd_mss": 536, "rttvar": 250_000,
        "snd_ssthresh": 2**31 - 1, "snd_cwnd": 10, "reordering": 3, "pacing_rate": 2**64 - 1,
        "max_pacing_rate": 2**64 - 1, "min_rtt": 2**32 - 1,
    }  # fmt: skip


def test_a_listener_shows_its_accept_queue() -> None:
    pair = Pair()
    listener = pair.listen(backlog=5)
    pair.connect()
    pair.run(20 * MS)
    assert nonzero(info(pair, "b", listener)) == {
        "state": 10, "unacked": 1, "sacked": 5, "snd_cwnd": 10, "reordering": 3, "pacing_rate": 2**64 - 1,
        "max_pacing_rate": 2**64 - 1,
    }  # fmt: skip


def test_after_the_handshake() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.run(50 * MS)
    a, b = info(pair, "a", client), info(pair, "b", server)
    both = {
        "state": 1, "options": 7, "snd_wscale": 10, "rcv_wscale": 10, "rto": 210_000, "ato": 0, "snd_mss": 1448,
        "rcv_mss": 536, "pmtu": 1500, "rtt": 10_000, "rttvar": 5_000, "snd_cwnd": 10, "advmss": 1448,
        "rcv_space": 14_480, "bytes_received": 0, "notsent_bytes": 0, "min_rtt": 10_000, "delivered": 1,
        "pacing_rate": 10 * 1448 * 2 * 100,
    }  # fmt: skip
    assert {name: a[name] for name in both} == {name: b[name] for name in both} == both
    assert (a["segs_out"], a["segs_in"], a["bytes_acked"]) == (2, 1, 1), "Linux counts the SYN as acknowledged"
    assert (b["segs_out"], b["segs_in"], b["bytes_acked"]) == (0, 2, 0), "and nobody counts the SYN,ACK"
    assert (a["rcv_ssthresh"], b["rcv_ssthresh"]) == (64_088, 64_088), "half of the buffer, less one segment"
    assert a["last_data_sent"] == a["last_data_recv"] == a["last_ack_recv"] == 61


def test_a_dialogue_and_a_close() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"x" * 300)
    pair.run(10 * MS)
    pair.call("b", "recv", server, 1000)
    pair.call("b", "send", server, b"y" * 200)
    pair.run(50 * MS)
    pair.call("a", "shutdown", client, "wr")
    pair.run(100 * MS)
    a, b = info(pair, "a", client), info(pair, "b", server)
    names = ("state", "bytes_sent", "bytes_acked", "bytes_received", "data_segs_out", "data_segs_in", "delivered")
    assert [a[name] for name in names] == [5, 300, 302, 200, 1, 1, 3]
    assert [b[name] for name in names] == [8, 200, 200, 301, 1, 1, 2]
    assert a["ato"] == b["ato"] == 40_000


def test_loss_shows() -> None:
    pair = Pair()
    client, _ = pair.open()
    count = 0

    def fifth(host: str, seg: Any) -> bool:
        nonlocal count
        count += host == "a" and len(seg.payload) > 0
        return host == "a" and count == 5

    pair.lose = fifth
    pair.call("a", "send", client, b"x" * 14_480)
    pair.run(10 * MS)
    a, b = info(pair, "a", client), info(pair, "b", pair.conn("b").fd)
    assert (a["ca_state"], a["unacked"], a["sacked"], a["lost"], a["retrans"]) == (3, 6, 5, 1, 1)
    assert (a["total_retrans"], a["bytes_retrans"], a["bytes_sent"]) == (1, 1448, 11 * 1448)
    assert b["rcv_ooopack"] == 5
    pair.run(SEC)
    a = info(pair, "a", client)
    assert (a["ca_state"], a["unacked"], a["delivered"], a["snd_ssthresh"]) == (0, 0, 11, 9)


def test_no_segment_is_greater_than_half_of_the_greatest_window() -> None:
    pair = Pair()
    listener = pair.listen()
    pair.call("b", "setsockopt", listener, "SO_RCVBUF", 2000)
    client = pair.connect()
    pair.run(20 * MS)
    assert pair.sent[1].seg.window == 2000 - 2000 % 1448
    assert info(pair, "a", client)["snd_mss"] == 724, "measured in a namespace: MSS 724"
