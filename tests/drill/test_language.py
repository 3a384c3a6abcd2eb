"""The `.pkt` language: what is read, what is refused with `file:line`, and that nothing it names is ever run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcplab.lab.drill import drill, parser, shell
from tcplab.lab.drill.errors import ScriptError
from tcplab.lab.drill.script import DOTS, Address, Call, Either, Packet, Struct, Text, When, Word

SERVER = """// a server
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop>
   +0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK>
  +.1 < . 1:1(0) ack 1 win 257
   +0 accept(3, ..., ...) = 4
"""


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "one.pkt"
    path.write_text(text)
    return path


def the_event(text: str) -> object:
    (event,) = parser.parse(text, "x", {}).events
    return event.action


def test_times() -> None:
    def when(text: str) -> When:
        return parser.parse(f"{text} > . 1:1(0) ack 1", "x", {}).events[0].when

    assert when("+.1") == When("relative", 100_000)
    assert when("2.5") == When("absolute", 2_500_000)
    assert when("+0~+.04") == When("relative", 0, 40_000)
    assert when("*") == When("any")


def test_packets() -> None:
    packet = the_event(
        "+0 < [ect0] SEW 0:10(10) ack 5 win 7 urg 3 <mss 1460,TS val 1 ecr 2,nop,nop,sack 1:2 3:4,eol,nop>"
    )
    assert isinstance(packet, Packet)
    assert (packet.flags, packet.seq, packet.length, packet.ack) == ("SEW", 0, 10, 5)
    assert (packet.win, packet.urg, packet.ecn, packet.inbound) == (7, 3, "ect0", True)
    assert [option.name for option in packet.options or ()] == ["mss", "TS", "nop", "nop", "sack", "eol", "nop"]
    assert the_event("+0 > . 1:1(0) ack 1 <...>").options is None  # type: ignore[attr-defined]
    assert the_event("+0 > 80>4000 R 1:1(0)").ports == (80, 4000)  # type: ignore[attr-defined]
    assert the_event("+0 > nothing").nothing  # type: ignore[attr-defined]


def test_calls() -> None:
    call = the_event(
        '+0...1.5 sendto(3, "a\\x41\\n" "b"..., 10, MSG_FASTOPEN|MSG_DONTWAIT, ..., ...) = -1 EAGAIN (Try it)'
    )
    assert isinstance(call, Call)
    assert (call.name, call.result, call.errno, call.until) == ("sendto", -1, "EAGAIN", 1_500_000)
    assert call.args[1] == Text(b"aA\nb", more=True)
    assert call.args[3] == Either((Word("MSG_FASTOPEN"), Word("MSG_DONTWAIT")))
    assert call.args[4] is DOTS
    call = the_event(
        '+0 connect(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}, 16) = 0'
    )
    assert isinstance(call, Call)
    assert call.args[1] == Address("192.0.2.1", 80)
    call = the_event("+0 poll([{fd=4, events=POLLIN, revents=0x1}], 1, 0) = 1")
    assert isinstance(call, Call)
    assert call.args[0] == [Struct({"fd": 4, "events": Word("POLLIN"), "revents": 1})]


WRONG = {
    "+0 < S 0:5(4) win 1": "1: 0 and 4 octets end at 4, not 5",
    "+0 < X 0:0(0) win 1": "1: 'X' are no flags",
    "\n\n+0 < S 0:0(0) win 70000": "3: a window lies between 0 and 65535, not 70000",
    "+0 < S 0:0(0) win 1 <mss>": "1: '>' stands here, where an MSS was expected",
    "+0 < S 0:0(0) win 1 <nop>": "1: these options take 1 octets: whole words of 4",
    "+0 < S 0:0(0) win 1 <...>": "1: <...> is for packets that are expected",
    "+0 socket(...": "1: the end of the file stands here",
    f"+0 setsockopt(3, {'[' * 30}": "1: '[' stands here, where at most 20 lists and structures within each other",
    "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) 3": "1: '3' stands here, where '=' was expected",
    "0 `echo": "1: ` is opened and not closed",
    "0 %{ x": "1: %{ is opened and not closed",
    "*  listen(3, 1) = 0": "1: a range of times and * are for packets that are expected",
    "+1~+.5 > . 1:1(0) ack 1": "1: the range of times runs backwards",
    "": "1: there are no events",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    path = script(tmp_path, text)
    verdict = drill.play(path)
    assert verdict.status == drill.REFUSED
    assert verdict.text.startswith(f"{path}:{WRONG[text]}"), verdict.text


NOT_HERE = {
    "0 `rm -rf /`": "commands are not run",
    "0 `sysctl -q net.ipv4.tcp_nonsense=1`": "no sysctl tcp_nonsense",
    "0 `sysctl -q net.ipv4.tcp_sack=7`": "tcp_sack takes 0 .. 1",
    "+0 < ipv6 S 0:0(0) win 1": "ipv6 packets are not made here",
    "+0 fork() = 1": "fork: no such system call here",
    "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 setsockopt(3, SOL_TCP, TCP_NOTHING, [1], 4) = 0": "TCP_NOTHING",
    "--ip_version=ipv6\n0 `true`": "ipv6 is not spoken here",
    "--no_such=1\n0 `true`": "--no_such: no such option here",
    '0 %{ __import__("os").system("true") }%': "is not allowed between",
    "0 %{ assert tcpi_rtt.real == 1 }%": "is not allowed between",
    "0 %{ assert [x for x in (1,)] }%": "is not allowed between",
    "0 %{ assert 9**9**9 }%": "is not allowed between",
    "0 %{ assert nothing == 1 }%": "nothing: no such value",
}


@pytest.mark.parametrize("text", NOT_HERE)
def test_what_cannot_be_had_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = script(tmp_path, f"{text}\n+0 `true`\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 9\n")
    verdict = drill.play(path)
    assert verdict.status in (drill.NOT_HERE, drill.REFUSED)
    assert NOT_HERE[text] in verdict.text
    assert verdict.text.startswith(f"{path}:")


def test_commands_are_understood_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "defaults.sh").write_text(
        "#!/bin/bash\n# settings\n"
        'sysctl -q net.ipv4.tcp_rmem="4096 540000 $((15*1024*1024))"\nip tcp_metrics flush all\n'
    )
    text = (
        "./defaults.sh\n./set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0 \\\n  /proc/sys/net/core/somaxconn=7; sleep .5"
    )
    deeds = list(shell.understand(text, str(tmp_path / "x.pkt"), 1))
    assert [(deed.kind, deed.name, deed.value) for deed in deeds] == [
        ("sysctl", "tcp_rmem", "4096 540000 15728640"),
        ("forget", "", ""),
        ("sysctl", "tcp_sack", "0"),
        ("sysctl", "somaxconn", "7"),
        ("sleep", "", "500000"),
    ]
    trap = tmp_path / "trap"
    for command in (
        f"touch {trap}",
        f"sysctl -q a=$(touch {trap})",
        f"echo 1 > {trap}",
        f"$(touch {trap})",
        "./trap.sh",
    ):
        with pytest.raises(ScriptError):
            list(shell.understand(command, str(tmp_path / "x.pkt"), 1))
    assert not trap.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("nstat | grep TcpActiveOpens", ""),
        ('nstat -z | grep "TcpActiveOpens *1 "', ""),
        ('nstat -z | grep "TcpPassiveOpens *0 "', ""),
        ("nstat | grep TcpPassiveOpens", "that it moved"),
        ('nstat -z | grep "TcpActiveOpens *2 "', "that it moved by 2"),
        ('nstat -z | grep "TcpNoSuchThing *0 "', "no such counter"),
    ],
)
def test_a_counter_moves_or_moves_by_so_much(tmp_path: Path, command: str, said: str) -> None:
    path = tmp_path / "x.pkt"
    path.write_text(
        "0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3\n+0 `nstat -n`\n"
        f"+0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) <...>\n+0 `{command}`\n"
    )
    verdict = drill.play(path, exact=True)
    assert (verdict.status == drill.PASSED) is (not said)
    assert said in verdict.text


def test_a_failure_shows_the_exchange(tmp_path: Path) -> None:
    path = script(tmp_path, SERVER.replace("> S. 0:0(0) ack 1", "> S. 0:0(0) ack 2"))
    verdict = drill.play(path)
    assert verdict.status == drill.FAILED
    assert verdict.difference is not None
    assert (verdict.difference.line, verdict.difference.field) == (7, "ack")
    assert (verdict.difference.expected, verdict.difference.saw) == ("2", "1")
    lines = verdict.text.splitlines()
    assert lines[0] == f"{path}:7: ack: expected 2, saw 1"
    assert any(line.startswith("  -    7") for line in lines)
    assert any(line.startswith("  +") and "> S. 0:0(0) ack 1 win" in line for line in lines)
    assert "why: SYN received: the port listens" in lines[-1]


CHANGES = {
    "> S. 0:0(0) ack 1": "> . 0:0(0) ack 1",
    "mss 1460,nop": "mss 1400,nop",
    "= 4\n": "= -1 EAGAIN\n",
    "+0 accept": "+0 > . 1:1(0) ack 1\n+0 accept",
    "listen(3, 1) = 0": "listen(3, 1) = -1",
}


@pytest.mark.parametrize("old", CHANGES)
def test_what_differs_fails(tmp_path: Path, old: str) -> None:
    assert drill.play(script(tmp_path, SERVER), exact=True).status == drill.PASSED
    assert drill.play(script(tmp_path, SERVER.replace(old, CHANGES[old]))).status == drill.FAILED


def test_silence_can_be_asserted(tmp_path: Path) -> None:
    data = SERVER + "+0 < P. 1:11(10) ack 1 win 257\n"
    assert drill.play(script(tmp_path, data)).status == drill.PASSED, "nobody asked whether an ACK follows"
    assert drill.play(script(tmp_path, data), exact=True).status == drill.FAILED
    assert drill.play(script(tmp_path, data + "+0 > nothing\n")).status == drill.FAILED
    assert drill.play(script(tmp_path, SERVER + "+1 > nothing\n"), exact=True).status == drill.PASSED


def test_exact_is_to_the_microsecond(tmp_path: Path) -> None:
    text = SERVER + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+{} > P. 1:11(10) ack 1\n"
    assert drill.play(script(tmp_path, text.format(".3"))).status == drill.PASSED
    assert drill.play(script(tmp_path, text.format(".301"))).status == drill.PASSED, "packetdrill lets 4 ms pass"
    assert drill.play(script(tmp_path, text.format(".301")), exact=True).status == drill.FAILED


@pytest.mark.parametrize(("exact", "rtt"), [(True, 1_000), (False, 1_001)])
def test_a_call_takes_a_microsecond_unless_times_are_exact(tmp_path: Path, exact: bool, rtt: int) -> None:
    """Real scripts were written where no round trip is as long as the one before, to the microsecond."""
    text = SERVER + (
        "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.001 < . 1:1(0) ack 11 win 257\n"
        f"+0 %{{ assert tcpi_min_rtt == {rtt}, tcpi_min_rtt }}%\n"
    )
    verdict = drill.play(script(tmp_path, text), exact=exact)
    assert verdict.status == drill.PASSED, verdict.text


@given(st.text(alphabet="SFPR.<>+0123456789:(){}[]%`\"'~*,= \n/ackwinmssnop", max_size=200))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_script_or_a_clear_error(text: str) -> None:
    try:
        parser.parse(text, "any.pkt", {})
    except ScriptError as found:
        wrong = found
    else:
        return
    assert str(wrong).startswith("any.pkt:")
    assert wrong.text


@given(st.text(alphabet="assert tcpi_rtt=<>+-*/%&|^~()[],.:\n019if else", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_code_is_evaluated_or_refused(text: str) -> None:
    from tcplab.lab.drill.code import Assertions
    from tcplab.lab.drill.errors import Mismatch

    try:
        Assertions("any.pkt", {}).run(text, 1, {"tcpi_rtt": 1})
    except (ScriptError, Mismatch):
        pass


def test_a_script_may_say_why_the_kernel_need_not_pass_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "maker", lambda _: drill.Ours)  # as if it were the kernel
    wrong = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = -1 EPERM\n"
    (tmp_path / "a.pkt").write_text(wrong)
    (tmp_path / "b.pkt").write_text("// Kernel: it would take two hours of real time\n" + wrong)
    paths = list(drill.scripts([tmp_path]))
    assert [verdict.status for verdict in drill.play_all(paths, "ours")] == [drill.FAILED, drill.FAILED]
    unmarked, marked = drill.play_all(paths, "kernel")
    assert (unmarked.status, marked.status) == (drill.FAILED, drill.MARKED)
    assert marked.text.endswith("b.pkt: it may fail on the kernel: it would take two hours of real time")
    assert drill.summary([unmarked, marked]).endswith("0 passed, 1 failed, 1 marked")
