"""Lab files, scripts and lines: what is right is taken, what is wrong is told with its place and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcplab.lab import catalogue
from tcplab.lab.errors import LabError
from tcplab.lab.exercise import load, read
from tcplab.lab.language import FORMS, help_text, parse

EXAMPLES = {
    "listen": "b listen 80 backlog=4",
    "accept": "b accept 80 as s1",
    "connect": "a connect b:80 as c1 from=4000",
    "send": 'a send c1 "hello # not a comment"  # a comment',
    "recv": "b recv s1 100",
    "shutdown": "a shutdown c1 wr",
    "close": "a close c1",
    "abort": "a abort c1",
    "setsockopt": "a setsockopt c1 SO_LINGER 1 0",
    "getsockopt": "b getsockopt 80 SO_RCVBUF",
    "tcp_info": "a tcp_info c1",
    "sysctl": "a sysctl net.ipv4.tcp_syn_retries=3",
    "profile": "a profile textbook",
    "serve": "b serve http 8080",
    "drop": "drop b>a flags=AS nth=1",
    "delay": "delay both 200ms jitter=5ms p=2.5%",
    "dup": "dup a>b data conn=c1",
    "ce": "ce a>b data nth=3",
    "clear": "clear",
    "inject flood": "inject flood b:80 rate=50/s count=200",
    "inject rst": "inject rst c1 to=b seq=-5",
    "wait": "wait 1.5s",
    "until": "until b c1 ESTABLISHED within 5s",
    "at": "at 7s",
    "mark": "mark overflow",
    "stop": "stop one two",
    "play": "play",
    "pause": "pause",
    "rate": "rate 1/4",
    "step": "step",
    "next": "next",
    "jump": "jump 60s",
    "predict": "predict one 42 s",
    "check": "check",
    "hint": "hint",
    "solution": "solution",
    "restart": "restart",
    "load": "load handshake",
    "ss": "ss b",
    "nstat": "nstat a",
    "help": "help drop",
    "quit": "quit",
}


def test_every_form_has_an_example_that_parses() -> None:
    assert set(EXAMPLES) == {form.keyword for form in FORMS}
    for keyword, line in EXAMPLES.items():
        command = parse(line)
        assert command is not None
        assert command.keyword == keyword


def test_values_are_read() -> None:
    send = parse(EXAMPLES["send"])
    assert send is not None
    assert send["data"] == b"hello # not a comment"
    drop, delay, many = parse(EXAMPLES["drop"]), parse(EXAMPLES["delay"]), parse("a send c1 1000")
    assert drop is not None
    assert delay is not None
    assert many is not None
    assert (drop["flags"], drop["nth"], drop["data"]) == ("SA", 1, False)
    assert (delay["time"], delay["jitter"], delay["p"]) == (200_000_000, 5_000_000, 25_000)
    assert len(many["data"]) == 1000


def test_quoted_texts_may_stand_behind_a_name() -> None:
    early = parse('a connect b:80 as c1 fastopen="GET / #1" from=4000  # a "comment"')
    assert early is not None
    assert (early["fastopen"], early["from"]) == (b"GET / #1", 4000)
    for line, setting in (
        ('a sysctl tcp_rmem="4096 87380 6291456"', ("tcp_rmem", "4096 87380 6291456")),
        ("b sysctl tcp_fastopen=0x403", ("tcp_fastopen", "0x403")),
    ):
        command = parse(line)
        assert command is not None
        assert command["setting"] == setting
    for line in ('a send c1 "open', 'a connect b:80 as c1 fastopen="GET'):
        with pytest.raises(LabError, match="No closing quotation"):
            parse(line)


def test_help_lists_everything() -> None:
    text = help_text()
    assert all(form.pattern in text for form in FORMS)
    assert help_text("drop").startswith("drop DIR")
    assert "no command, sysctl, socket option or counter" in help_text("frobnicate")


def test_help_explains_sysctls_and_counters() -> None:
    assert help_text("net.ipv4.tcp_fin_timeout") == (
        "tcp_fin_timeout  how long an orphan waits in FIN_WAIT_2\ns, 1 .. 32767, default 60; tcp(7)"
    )
    assert help_text("ListenDrops") == "TcpExtListenDrops  counts SYNs and third ACKs that a listener dropped"
    assert all(name in help_text("sysctl") for name in ("tcp_syn_retries", "somaxconn"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a conect b:80 as c1", "no command 'conect'; did you mean 'connect'?"),
        ("connect b:80 as c1", "connect needs a host in front"),
        ("c connect b:80 as c1", "no host 'c'; the hosts are a and b"),
        ("a", "a does what? Expected listen"),
        ("a connect b:80 c1", "expected 'as', not 'c1'; expected: HOST connect HOST:PORT as NAME"),
        ("a connect b:99999 as c1", "'b:99999' is not a host and a port"),
        ("a connect b:80 as c1 now", "'now' is too much"),
        ("a send c1", 'a "text" in quotes, or a number of octets is missing'),
        ('a send c1 "open', "No closing quotation"),
        ("drop a>c", "'a>c' is not a direction: a>b, b>a or both"),
        ("drop a>b flags=XY", "flags='XY' is not TCP flags"),
        ("drop a>b p=500%", "p='500%' is not a chance"),
        ("drop a>b nth=1 nth=2", "nth= stands there twice"),
        ("drop a>b color=red", "no option color= here"),
        ("wait 5", "'5' is not a time, such as 200ms or 1.5s"),
        ("until b c1 OPEN within 5s", "'OPEN' is not a state: CLOSED, LISTEN"),
        ("inject rst c1", "to= is missing"),
        ("inject segment c1", "no command 'inject segment'; did you mean 'inject rst'?"),
        ("hold a>b data", "'hold' is not there yet"),
        ("rate a>b 10mbit", "'rate' is not there yet"),
        ("a sysctl tcp_sack", "'tcp_sack' is not NAME=NUMBER"),
        ("frobnicate", "no command 'frobnicate'; there are drop"),
    ],
)
def test_wrong_lines(line: str, said: str) -> None:
    with pytest.raises(LabError) as caught:
        parse(line, "file:7")
    assert str(caught.value).startswith("file:7: ")
    assert said in str(caught.value)


def test_a_script_has_no_verbs_of_a_person() -> None:
    with pytest.raises(LabError, match="'play' is for a person at a running lab"):
        parse("play", "file:1", script=True)


@given(st.text(max_size=60))
def test_any_line_is_taken_or_refused(line: str) -> None:
    try:
        parse(line, "x:1")
    except LabError:
        pass


WORDS = st.sampled_from([word for example in EXAMPLES.values() for word in example.split()])


@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_any_mixture_of_words_is_taken_or_refused(line: str) -> None:
    try:
        parse(line, "x:1")
    except LabError:
        pass


# --- exercise files ---------------------------------------------------------------------------------------------------

HANDSHAKE = Path(str(catalogue.find("handshake"))).read_text()


def line_with(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minutes = 8", "minutes = 8\nfoo = 1", "unknown key 'foo'"),
        ("minutes = 8", 'minutes = 8\n"a[b" = 1', "unknown key 'a[b'"),
        ("minutes = 8", 'minutes = "8"', "Expected 'int', got 'str' (minutes)"),
        ("minutes = 8\n", "", "the key 'minutes' is missing"),
        ("format  = 1", "format  = 2", "format 2 is not known"),
        ("level   = 1 ", "level   = 9 ", "level 9: expected 1"),
        ('id      = "handshake"', 'id      = "Hand Shake"', "expected lower case"),
        ('fact = "order"', 'fact = "odour"', "no fact 'odour'; there are state"),
        ('host = "a"\nconn = "c1"\nat = "closed"', 'host = "z"\nconn = "c1"\nat = "closed"', "no host 'z'"),
        ('at = "closed"', 'at = "cloused"', "no at 'cloused'; the script marks closed, open"),
        ('eq = "TIME_WAIT"', 'eq = "TIMEWAIT"', "no state 'TIMEWAIT'"),
        ('eq = "TIME_WAIT"\n', "", "nothing to compare with"),
        ('eq = "TIME_WAIT"', "min = 3", "min and max do not go with a state check"),
        ('name = "rack"\neq = 1\nwhy', 'name = "ruck"\neq = 1\nwhy', "no field 'ruck'; there are seq"),
        ('flags = "SA"', 'flags = "AS"', "no flags 'AS'; expected flags as traces write them"),
        ("eq = 3\n", 'eq = "three"\n', "'three': a packets check compares with a number"),
        ("eq = [0.005]", "eq = 0.005", "0.005: a gaps check compares with a list"),
        ('delay = "5ms"', 'delay = "5"', "'5' is not a time"),
        ("a close c1", "a close c9", "no connection 'c9' so far; named before this line: c1, s1"),
        ("stop acknowledges first", "stop acknowledges last", "no question 'last' to stop for"),
        ('answer = "plus-one"', 'answer = "plus-two"', "'plus-two' is none of the options same, plus-one, zero"),
        ('fails = ["a-first"]', 'fails = ["a-last"]', "no check 'a-last'"),
        ("b listen 80 backlog=8\nstop", "b listn 80 backlog=8\nstop", "no command 'listn'; did you mean 'listen'?"),
        ("[[hint]]\ntext = \"How", "[[hint]\ntext = \"How", "not TOML"),
    ],
)  # fmt: skip
def test_wrong_exercise_files_are_refused_with_their_line(old: str, new: str, said: str) -> None:
    assert HANDSHAKE.count(old) >= 1, old
    text = HANDSHAKE.replace(old, new, 1)
    with pytest.raises(LabError) as caught:
        read(text, "x.toml")
    where, _, what = str(caught.value).partition(": ")
    assert said in what
    assert where.startswith("x.toml:")
    number = int(where.rpartition(":")[2])
    assert 1 <= number <= text.count("\n") + 1


def test_the_line_is_the_right_one() -> None:
    text = HANDSHAKE.replace("a connect b:80 as c1", "a conect b:80 as c1")
    with pytest.raises(LabError) as caught:
        read(text, "x.toml")
    assert caught.value.where == f"x.toml:{line_with(text, 'a conect')}"
    text = HANDSHAKE.replace("minutes = 8", "minutes = true")
    with pytest.raises(LabError) as caught:
        read(text, "x.toml")
    assert caught.value.where == f"x.toml:{line_with(text, 'minutes')}"
    one_line = HANDSHAKE.replace('script = """\n', 'script = """bogus\n')
    with pytest.raises(LabError) as caught:
        read(one_line, "x.toml")
    assert caught.value.where == f"x.toml:{line_with(one_line, 'bogus')}"


def test_inline_tables_and_strange_mutants_are_no_traceback() -> None:
    head = HANDSHAKE[: HANDSHAKE.index("[lab]")]
    source = read(head + 'lab = { script = "b listen 80" }\n', "x.toml")
    assert source.lines == ["b listen 80"]
    text = HANDSHAKE.replace('set   = { "lab.link.delay" = "20ms" }', 'set   = { "format.x" = 1 }')
    source = read(text, "x.toml")
    assert source.exercise is not None
    with pytest.raises(LabError, match="not a key of a table"):
        read(text, "x.toml", source.exercise.mutant[1])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no lab and no file 'nosuch'; the labs are handshake"):
        load("nosuch")
    binary = tmp_path / "x.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabError, match="cannot be read"):
        load(str(binary))
    script = tmp_path / "x.lab"
    script.write_text("b listen 80\n\na close c1\n")
    with pytest.raises(LabError, match=r"x.lab:3: no connection 'c1' so far"):
        load(str(script))
