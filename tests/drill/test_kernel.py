"""Scripts against the kernel's own TCP; the namespace that they run in, and what is left afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.real import children, host_state

from tcplab.engines.errors import EngineError
from tcplab.lab.drill import drill
from tcplab.lab.drill.drill import Verdict
from tcplab.lab.drill.kernel import Kernel
from tcplab.lab.drill.kernel_calls import tcp_info
from tcplab.lab.drill.shell import Deed

pytestmark = pytest.mark.namespaces

SERVER = """
`sysctl -q net.ipv4.tcp_timestamps=0 net.ipv4.tcp_rmem="4096 131072 6291456"`
 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 30000 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 7>
+.02 < . 1:1(0) ack 1 win 300
+0 accept(3, ..., ...) = 4
"""


@pytest.fixture(autouse=True)
def _can() -> None:
    try:
        Kernel({}).close()
    except EngineError as cannot:
        pytest.skip(cannot.text)


def play(folder: Path, text: str) -> Verdict:
    """The script of that text, against the kernel."""
    path = folder / "script.pkt"
    path.write_text(text)
    return drill.play(path, drill.maker("kernel"))


def passes(folder: Path, text: str) -> None:
    """Timers and a busy machine: a script may have a second try."""
    verdict = play(folder, text)
    if verdict.status != drill.PASSED:
        verdict = play(folder, text)
    assert verdict.status == drill.PASSED, verdict.text
    assert verdict.notes == []


def test_a_connection_is_opened_carries_data_and_is_closed(tmp_path: Path) -> None:
    passes(
        tmp_path,
        SERVER
        + """
+0 < P. 1:501(500) ack 1 win 300
+0 > . 1:1(0) ack 501
+0 read(4, ..., 2000) = 500
+0 write(4, ..., 3000) = 3000
+0 > P. 1:3001(3000) ack 501
+.02 < . 501:501(0) ack 3001 win 300
+0 close(4) = 0
+0 > F. 3001:3001(0) ack 501
+.02 < F. 501:501(0) ack 3002 win 300
+0 > . 3002:3002(0) ack 502
""",
    )


def test_a_client_connects_and_is_refused(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
`sysctl -q net.ipv4.tcp_timestamps=0`
 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
+.01 < R. 0:0(0) ack 1 win 0
+0 poll([{fd=3, events=POLLOUT, revents=POLLOUT|POLLERR|POLLHUP}], 1, 0) = 1
+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0
""",
    )


def test_a_read_blocks_until_data_comes(tmp_path: Path) -> None:
    passes(
        tmp_path,
        SERVER
        + """
+0...0.1 read(4, ..., 100) = 7
+.1 < P. 1:8(7) ack 1 win 300
+0 > . 1:1(0) ack 8
""",
    )


def test_a_read_that_still_blocks_fails_and_holds_nothing_up(tmp_path: Path) -> None:
    verdict = play(tmp_path, SERVER + "+0...0.01 read(4, ..., 100) = 7\n+.01 write(4, ..., 5) = 5\n")
    assert verdict.status == drill.FAILED
    assert verdict.difference is not None
    assert verdict.difference.saw == "the call still blocks"


def test_what_differs_is_told(tmp_path: Path) -> None:
    verdict = play(tmp_path, SERVER + "+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1\n")
    assert verdict.status == drill.FAILED
    assert verdict.difference is not None
    assert (verdict.difference.field, verdict.difference.saw) == ("payload", "10")


def test_silence_is_heard(tmp_path: Path) -> None:
    verdict = play(tmp_path, SERVER + "+0 write(4, ..., 10) = 10\n+.05 > nothing\n")
    assert verdict.status == drill.FAILED
    assert verdict.difference is not None
    assert verdict.difference.expected == "nothing"


def test_tcp_info_is_the_kernels(tmp_path: Path) -> None:
    passes(
        tmp_path,
        SERVER
        + """
+0 write(4, ..., 2500) = 2500
+0 > P. 1:2501(2500) ack 1
+0 %{
assert tcpi_state == TCP_ESTABLISHED
assert tcpi_unacked == 3, tcpi_unacked
assert tcpi_snd_mss == 1000 and tcpi_bytes_sent == 2500
assert tcpi_options & TCPI_OPT_SACK and not tcpi_options & TCPI_OPT_TIMESTAMPS
assert tcpi_snd_wscale == 7 and tcpi_rcv_wscale == 7
}%
+.02 < . 1:1(0) ack 2501 win 300
+0 %{ assert tcpi_unacked == 0 and 10000 < tcpi_rtt < 60000 }%
""",
    )


def test_an_icmp_error_reaches_the_connection(tmp_path: Path) -> None:
    passes(
        tmp_path,
        SERVER
        + """
+0 setsockopt(4, SOL_IP, IP_RECVERR, [1], 4) = 0
+0 write(4, ..., 400) = 400
+0 > P. 1:401(400) ack 1
+.01 < icmp unreachable host_unreachable [1:401(400)]
+0 write(4, ..., 1) = -1 EHOSTUNREACH (No route to host)
""",
    )


def test_a_counter_moves_and_epoll_tells(tmp_path: Path) -> None:
    passes(
        tmp_path,
        SERVER
        + """
+0 `nstat -n`
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0 epoll_wait(5, {}, 1, 0) = 0
+0 < P. 101:201(100) ack 1 win 300
+0 > . 1:1(0) ack 1 <nop,nop,sack 101:201>
+0 `nstat | grep TcpExtTCPOFOQueue`
+0 < P. 1:101(100) ack 1 win 300
+0 > . 1:1(0) ack 201
+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1
""".replace("{}", "{events=0, fd=0}"),
    )


def test_settings_stay_in_the_namespace_and_nothing_is_left(tmp_path: Path) -> None:
    others = children(os.getpid())
    before, home, open_before = host_state(), os.readlink("/proc/self/ns/net"), set(os.listdir("/proc/self/fd"))
    stack = Kernel({})
    assert stack.configure(Deed("sysctl", "tcp_sack", "0")) == ""
    assert stack.configure(Deed("sysctl", "ip_default_ttl", "33")) == ""
    assert stack.configure(Deed("sysctl", "somaxconn", "7")) == ""
    assert "could not be set" in stack.configure(Deed("sysctl", "no_such_setting", "1"))
    assert "could not be set" in stack.configure(Deed("sysctl", "../../kernel/hostname", "x"))
    assert "could not be set" in stack.configure(Deed("sysctl", "tcp_mem", "1 2 3")), "it is the whole machine's"
    stack.close()
    passes(tmp_path, SERVER)
    assert host_state() == before
    assert os.readlink("/proc/self/ns/net") == home
    assert set(os.listdir("/proc/self/fd")) == open_before
    assert children(os.getpid()) == others


def test_tcp_info_of_an_older_kernel_is_shorter() -> None:
    raw = bytes(range(6)) + bytes([0x87, 0x03]) + (7).to_bytes(4, "little")
    found = tcp_info(raw)
    assert found["tcpi_options"] == 5
    assert (found["tcpi_snd_wscale"], found["tcpi_rcv_wscale"]) == (7, 8)
    assert found["tcpi_rto"] == 7
    assert "tcpi_ato" not in found
