"""A lab made of words: canned events and views, and a session that serves them and remembers what was asked of it."""

from __future__ import annotations

from typing import Any

import msgspec

from tcplab.api.events import (
    AnyEvent,
    Arrived,
    Called,
    Delayed,
    Dropped,
    Injected,
    Lost,
    Named,
    Noted,
    Queue,
    Ran,
    Sent,
    StateChanged,
    Timer,
)
from tcplab.api.messages import Reply, Update
from tcplab.api.views import (
    CheckView,
    Choice,
    ConnView,
    ExerciseView,
    HostView,
    LabView,
    ListenerView,
    PredictView,
    RequestView,
    TimerView,
)
from tcplab.units import MS, SEC

A, B = "10.77.0.1:40001", "10.77.0.2:80"
AB, BA = f"{A}>{B}", f"{B}>{A}"
ISS_A, ISS_B = 2069516798, 2296695351
FRAME = bytes.fromhex("02000a4d0002 02000a4d0001 0800 4500003c000040004006") + b"Hello, wire!"


class Story:
    """Writes events in order; `n` counts the frames."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.n = 0

    def add(self, *events: AnyEvent) -> None:
        """Append events."""
        self.events += events

    def sent(self, t: int, src: str, flags: str, why: str, arrives: bool = True, **more: Any) -> int:
        """A segment between a and b, and 5 ms later its arrival; the number of its frame."""
        self.n += 1
        dst = "b" if src in ("a", "x") else "a"
        dst = more.pop("dst", dst)
        more.setdefault("conn", AB if src == "a" else BA)
        more.setdefault("win", 502)
        more.setdefault("ref", "RFC 9293 3.5")
        self.add(Sent(t, self.n, src, dst, FRAME, "tcp", f"frame {self.n}", why, flags=flags, **more))
        if arrives:
            self.add(Arrived(t + 5 * MS, self.n, dst))
        return self.n


def handshake(lose_syn_ack: bool = False) -> Story:
    """Three segments; with one loss, both retry ladders before them."""
    story = Story()
    story.add(Ran(0, "b listen 80 backlog=4", "script"), Ran(0, "a connect b:80 as c1", "script"))
    story.add(Called(0, "b", "l80", "listen", "80, 4", "3"), Named(0, "a", "c1", AB, "a"))
    story.add(StateChanged(0, "a", AB, "CLOSED", "SYN_SENT", "connect()", "RFC 9293 3.10.1"))
    story.sent(0, "a", "S", "connect(): synchronize", seq=ISS_A, opts="mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 10")
    t = 5 * MS
    story.add(StateChanged(t, "b", BA, "LISTEN", "SYN_RECV", "SYN received", "RFC 9293 3.10.7.2"))
    story.add(Queue(t, "b", 80, "syn", "add", 1, 5, A, "SYN received"))
    numbers = {"seq": ISS_B, "ack": ISS_A + 1, "rack": 1}
    n = story.sent(t, "b", "SA", "SYN received: the SYN queue has room", not lose_syn_ack, **numbers)
    if lose_syn_ack:
        story.add(Lost(t, n, "drop b>a flags=SA nth=1"))
        t = SEC
        story.add(Timer(t, "a", AB, "rto", "fired", t), Timer(t, "a", AB, "rto", "armed", 2 * t, 1, "no answer: 1 s"))
        story.sent(t, "a", "S", "RTO #1: no ACK for 1 s", rtx=True, seq=ISS_A)
        t += 5 * MS
        story.sent(t, "b", "SA", "the same SYN came again", rtx=True, **numbers)
    t += 5 * MS
    story.add(StateChanged(t, "a", AB, "SYN_SENT", "ESTABLISHED", "SYN,ACK received", "RFC 9293 3.10.7.3"))
    story.sent(t, "a", "A", "the third step", seq=ISS_A + 1, rseq=1, ack=ISS_B + 1, rack=1)
    t += 5 * MS
    story.add(StateChanged(t, "b", BA, "SYN_RECV", "ESTABLISHED", "the third ACK came", "RFC 9293 3.10.7.4"))
    return story


def trouble() -> Story:
    """After a handshake with a loss: data, a hole, a flood that fills the SYN queue, a forged RST."""
    story = handshake(lose_syn_ack=True)
    t = 2 * SEC
    for at in range(3):
        first = 1 + at * 1448
        n = story.sent(t, "a", "A", "data from send()", at != 1, seq=ISS_A + first, rseq=first, rack=1, len=1448)
        if at == 1:
            story.add(Lost(t, n, "drop a>b data nth=2"))
        elif at == 2:
            story.add(Noted(t + 5 * MS, "b", BA, n, "ooo 1448", "it came before what is missing"))
    story.sent(t + 5 * MS, "b", "A", "quick ACK", rseq=1, rack=1449)
    n = story.sent(t + 5 * MS, "b", "A", "a hole: duplicate ACK", rseq=1, rack=1449)
    story.add(Delayed(t + 5 * MS, n, t + 210 * MS, "delay b>a 200ms nth=2"))
    story.add(Injected(3 * SEC, "flood b:80 rate=50/s count=200"))
    for at in range(3):
        peer = f"203.0.113.{7 + at}:{5121 + at}"
        t = 3 * SEC + at * 20 * MS
        n = story.sent(t, "x", "S", "SYN flood", conn=f"{peer}>{B}", ref="")
        if at < 2:
            story.add(StateChanged(t + 5 * MS, "b", f"{B}>{peer}", "LISTEN", "SYN_RECV", "SYN received"))
            answer = story.sent(t + 5 * MS, "b", "SA", "SYN received", False, conn=f"{B}>{peer}", rack=1)
            story.add(Arrived(t + 10 * MS, answer, "x"))
        else:
            why = "the SYN queue is full and cookies are off"
            story.add(Dropped(t + 5 * MS, "b", f"{B}>{peer}", n, "synq full", "TcpExtListenDrops", why, "tcp(7)"))
    n = story.sent(3200 * MS, "x", "R", "forged: exactly RCV.NXT", dst="a", conn=BA, rseq=1)
    why = "RST received: its number is exactly RCV.NXT"
    story.add(StateChanged(3205 * MS, "a", AB, "ESTABLISHED", "CLOSED", why, "RFC 5961 3.2"))
    story.add(Called(3205 * MS, "a", "c1", "recv", "100", errno="ECONNRESET", conn=AB))
    return story


def conn(side: str, state: str = "ESTABLISHED", **more: Any) -> ConnView:
    """One end of the connection between a and b."""
    here, there, iss, irs = (A, B, ISS_A, ISS_B) if side == "a" else (B, A, ISS_B, ISS_A)
    fields: dict[str, Any] = {
        "alias": "c1",
        "iss": iss,
        "irs": irs,
        "snd_una": iss + 1,
        "snd_nxt": iss + 1,
        "rcv_nxt": irs + 1,
        "snd_wnd": 64240,
        "rcv_wnd": 65160,
        "mss": 1448,
        "cwnd": 10,
        "ssthresh": 0x7FFFFFFF,
        "ca_state": "Open",
        "congestion": "reno",
        "srtt_us": 10_000,
        "rttvar_us": 5_000,
        "rto_us": 210_000,
        "options": "ts sack wscale:10,10",
    }
    return ConnView(f"{here}>{there}", here, there, state, **{**fields, **more})


def listener(full: bool = False) -> ListenerView:
    """Port 80 on b; `full`: a SYN queue without room, its entries on different rungs."""
    queue = ()
    if full:
        queue = tuple(
            RequestView(
                f"{B}>203.0.113.{7 + at}:{5121 + at}",
                f"203.0.113.{7 + at}:{5121 + at}",
                3 * SEC,
                at % 3,
                5,
                timers=(TimerView("synack", 3 * SEC, (4 + at) * SEC, at % 3, 5, "the third step did not come"),),
            )
            for at in range(5)
        )
    why = "backlog 4, plus 1: Linux compares with >"
    return ListenerView(
        "0.0.0.0:80", 80, 4, 4, queue, len(queue), 5, why, (A,), 1, 5, why, 37 if full else 0, 0, 0, fd=3
    )


def exercise(phase: str = "running", given: str = "") -> ExerciseView:
    """An exercise with one question of choices and one typed."""
    choices = (Choice("client", "the client, one half a round trip before"), Choice("server", "the server"))
    asked = phase in ("predict", "done")
    over = phase == "done"
    return ExerciseView(
        "handshake",
        "Three segments, two promises",
        "opening",
        1,
        5,
        "Read seq, ack, flags and states of an open, and know which side is ready first.",
        "b listens on port 80. a connects. Three segments cross the wire, and each of them moves a state.",
        ("RFC 9293 3.5",),
        ("b listen 80 backlog=4", "a connect b:80 as c1", "stop first ack"),
        2,
        phase,
        (
            CheckView("three", "three segments open the connection", "passed" if over else "waiting", "3", "3"),
            CheckView(
                "ack", "the SYN,ACK acknowledges ISNa+1", "failed" if over else "waiting", "1", "0", "A SYN counts."
            ),
        ),
        (
            PredictView("first", "Which side is ESTABLISHED first?", choices, given, asked, given == "client" or None),
            PredictView("ack", "What is the relative ack number of the SYN,ACK?", (), "1" if over else "", asked),
        ),
        ("How many sequence numbers does a SYN use?", "Compare with raw numbers: r."),
        1,
        "The ack number is the number of the packet received.",
        "It is the next octet expected.",
        "Set net.ipv4.tcp_timestamps to 0 and look at the options.",
    )


def view(t: int, a: tuple[ConnView, ...], b: tuple[ConnView, ...], full: bool = False, **more: Any) -> LabView:
    """A snapshot of both hosts."""
    fields: dict[str, Any] = {
        "engine": "veth",
        "seed": 1,
        "clock": "paced",
        "playing": True,
        "rate": (1, 1),
        "next_at": t + 72 * MS,
        "next_text": "RTO a:40001",
        "link": "delay 5 ms",
        "faults": (),
        "frames": 9,
        "exercise": ExerciseView(),
    }
    hosts = {
        "a": HostView("a", "10.77.0.1", "tcplab", a, (), {}, {}),
        "b": HostView("b", "10.77.0.2", "tcplab", b, (listener(full),), {}, {"tcp_syncookies": 0} if full else {}),
    }
    return LabView(t=t, **{**fields, **hosts, **more})


def rto(armed: int, expires: int, rung: int = 0) -> tuple[TimerView, ...]:
    """One retransmission timer."""
    return (TimerView("rto", armed, expires, rung, 6 if rung else 0, "the SYN waits for its SYN,ACK: 1 s"),)


class FakeLab:
    """A Session: serves the story up to `upto`, obeys the verbs a little, remembers every line."""

    def __init__(self, story: Story, snapshot: LabView, upto: int | None = None) -> None:
        self.story = story
        self.view = snapshot
        self.upto = len(story.events) if upto is None else upto
        self.lines: list[str] = []
        self.run = 0
        self.ended: Exception | None = None

    def do(self, line: str, by: str = "console") -> Reply:
        """Remember the line; play, pause, step, predict, go and restart do a little of what they would."""
        if self.ended is not None:
            raise self.ended
        self.lines.append(line)
        verb, *rest = line.split()
        if verb in ("play", "pause"):
            self.view = msgspec.structs.replace(self.view, playing=verb == "play")
        elif verb == "step":
            self.upto = min(self.upto + 1, len(self.story.events))
            self.view = msgspec.structs.replace(self.view, playing=False)
        elif verb == "rate" and rest[0] != "max":
            number, _, parts = rest[0].partition("/")
            self.view = msgspec.structs.replace(self.view, rate=(int(number), int(parts or 1)))
        elif verb == "predict":
            self._predict(rest[0], " ".join(rest[1:]))
        elif verb == "restart":
            self.run += 1
            self.upto = 2
        elif verb == "help":
            return Reply("drop a>b|b>a [flags=F]   lose segments\ndelay a>b|b>a TIME   hold them\nplay   let it run\n")
        elif verb == "nonsense":
            return Reply("'nonsense' is not a command", 2)
        return Reply("")

    def _predict(self, name: str, answer: str) -> None:
        predicts = tuple(
            msgspec.structs.replace(one, given=answer) if one.id == name else one for one in self.view.exercise.predicts
        )
        about = msgspec.structs.replace(self.view.exercise, predicts=predicts)
        self.view = msgspec.structs.replace(self.view, exercise=about)

    def pull(self, since: int, most: int = 2000) -> Update:
        """What is new."""
        if self.ended is not None:
            raise self.ended
        events = self.story.events[: self.upto]
        since = min(since, len(events))
        first = max(since, len(events) - most)
        return Update(first, first - since, tuple(events[first:]), self.view, self.run)

    def close(self) -> None:
        """Nothing to give back."""


def flooded() -> FakeLab:
    """The lab in trouble: everything that the screen can show at once."""
    now = 3300 * MS
    ends = conn("a", total_retrans=1, timers=rto(3 * SEC, 4 * SEC, 2)), conn("b", total_retrans=1, recv_q=1448)
    story = trouble()
    return FakeLab(story, view(now, (ends[0],), (ends[1],), True, faults=("drop b>a p=5%",)))
