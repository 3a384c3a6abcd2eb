"""`ss HOST` and `nstat HOST` in the words, the order and the units of iproute2."""

from __future__ import annotations

import pytest
from support.pair import Pair

from tcplab.host import tcp_info
from tcplab.lab.nstat import nstat
from tcplab.lab.ss import span, ss
from tcplab.units import MS, SEC


def shown(pair: Pair, host: str) -> list[str]:
    machine = pair.host(host)
    return ss(machine.view(pair.now), tcp_info.of_all(machine.flows.values()), pair.now).splitlines()


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "000ms"), (48, "048ms"), (428, "428ms"), (1000, "1sec"), (1200, "1.200ms"), (9_999, "9.999ms"),
        (10_500, "10sec"), (59_300, "59sec"), (60_000, "1min"), (90_000, "1min30sec"), (119 * 60_000 + 5000, "119min"),
    ],
)  # fmt: skip
def test_times(milliseconds: int, text: str) -> None:
    assert span(milliseconds) == text


def test_nothing() -> None:
    assert shown(Pair(), "a") == ["State Recv-Q Send-Q Local Address:Port Peer Address:Port Process"]


def test_a_connection_after_data() -> None:
    pair = Pair(seed=3)
    client, server = pair.open()
    pair.call("a", "setsockopt", client, "SO_KEEPALIVE", 1)
    pair.call("a", "send", client, b"x" * 5000)
    pair.run(100 * MS)
    pair.call("b", "recv", server, 4000)
    port = pair.call("a", "getsockname", client)[1]
    assert shown(pair, "b") == [
        "State  Recv-Q Send-Q Local Address:Port Peer Address:Port  Process",
        "LISTEN 0      5          10.77.0.2:80        0.0.0.0:*",
        "\t cubic cwnd:10",
        f"ESTAB  1000   0          10.77.0.2:80      10.77.0.1:{port}",
        "\t ts sack cubic wscale:10,10 rto:210 rtt:10/5 ato:40 mss:1448 pmtu:1500 rcvmss:1448 advmss:1448 cwnd:10 "
        "bytes_received:5000 segs_out:4 segs_in:6 data_segs_in:4 send 11584000bps lastsnd:106 lastrcv:95 lastack:95 "
        "pacing_rate 23168000bps delivered:1 app_limited rcv_space:14480 rcv_ssthresh:76160 minrtt:10 snd_wnd:64512 "
        "rcv_wnd:76800",
    ]
    head, first, second = shown(pair, "a")
    assert first == f"ESTAB 0      0          10.77.0.1:{port}    10.77.0.2:80   timer:(keepalive,119min,0)"
    assert "bytes_sent:5000 bytes_acked:5001 segs_out:6 segs_in:5 data_segs_out:4 send" in second
    assert head.startswith("State")


def test_a_connection_that_repeats() -> None:
    pair = Pair()
    client, _ = pair.open()
    pair.lose = lambda *_: True
    pair.call("a", "send", client, b"x" * 3000)
    pair.run(20 * MS)
    assert "timer:(on," in shown(pair, "a")[1], "the tail loss probe"
    pair.run(SEC - 20 * MS)
    first, second = shown(pair, "a")[1:]
    assert first.endswith("timer:(on,492ms,2)")
    assert first.split()[1:3] == ["0", "3000"]
    assert " rto:840 backoff:2 " in second
    assert " cwnd:1 ssthresh:7 bytes_sent:6000 bytes_retrans:3000 " in second
    assert " unacked:3 retrans:1/3 lost:3 rcv_space" in second


def test_every_state() -> None:
    pair = Pair(lose=lambda host, seg: host == "b" and bool(seg.flags & 2))
    pair.listen()
    pair.connect()
    pair.run(SEC // 2)
    assert shown(pair, "a")[1].split()[:3] == ["SYN-SENT", "0", "1"], "the SYN waits"
    assert shown(pair, "a")[1].endswith("timer:(on,500ms,0)")
    assert [line.split()[0] for line in shown(pair, "b") if line[0] != "\t"] == ["State", "LISTEN", "SYN-RECV"]
    assert shown(pair, "b")[3].endswith("timer:(on,505ms,0)")
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(100 * MS)
    assert shown(pair, "a")[1].split()[0] == "FIN-WAIT-2"
    assert "timer:(timewait,59sec,0)" in shown(pair, "a")[1]
    assert shown(pair, "b")[3].split()[:3] == ["CLOSE-WAIT", "1", "0"], "the FIN waits to be read"
    pair.call("b", "recv", server, 1)
    assert shown(pair, "b")[3].split()[:3] == ["CLOSE-WAIT", "0", "0"]
    pair.call("b", "close", server)
    assert shown(pair, "b")[3].split()[:3] == ["LAST-ACK", "0", "1"]
    pair.run(100 * MS)
    assert shown(pair, "a")[1].split()[0] == "TIME-WAIT"
    assert shown(pair, "a")[1].endswith("timer:(timewait,59sec,0)")
    assert len(shown(pair, "a")) == 2, "a bucket has no more to tell"


def test_nstat() -> None:
    pair = Pair()
    pair.open()
    lines = nstat(pair.a.counters).splitlines()
    assert lines[:2] == ["#kernel", "TcpActiveOpens                  1                  0.0"]
    everything = nstat(pair.a.counters, zeros=True).splitlines()
    assert [line[:3] for line in everything[1:9]] == ["IpF"] * 3 + ["IpI"] * 3 + ["IpR", "Icm"]
    assert everything[-1].startswith("IpExtInNoECTPkts")
    assert len(everything) > len(lines)
