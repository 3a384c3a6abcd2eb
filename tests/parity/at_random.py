"""Packet scripts at random, on our stack and on the kernel's: for what nobody thought of.

PYTHONPATH=tests python -m parity.at_random [--first SEED] [--scripts N] [--keep FOLDER]

A script opens a connection, and then its peer and its application do what comes to mind. What a call returns is what
ours returns; what is sent is not expected, but compared. No event falls where a timer of the kernel may be late, so
that what differs does not differ by chance; what differs each time is printed, and its script is kept. As root.
Exit code 0: nothing differed, 1: something did.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from itertools import pairwise
from pathlib import Path

from parity.judge import judge_all

from tcplab.api.events import AnyEvent, Timer
from tcplab.lab.drill import drill, parser
from tcplab.lab.drill.errors import Mismatch
from tcplab.lab.drill.ours import Ours
from tcplab.lab.drill.runner import Runner
from tcplab.lab.drill.script import Script
from tcplab.units import MS, SEC, US, Nanos

_KNOBS = (
    "tcp_moderate_rcvbuf=0", "tcp_sack=0", "tcp_dsack=0", "tcp_early_retrans=0", "tcp_recovery=0",
    "tcp_slow_start_after_idle=0", "tcp_retries2=3", "tcp_thin_linear_timeouts=1", "tcp_frto=0", "tcp_rfc1337=1",
    "tcp_reordering=5", "tcp_min_tso_segs=1", "tcp_fin_timeout=1", "tcp_orphan_retries=1",
)  # fmt: skip
_FIRST = (
    "SOL_SOCKET, SO_RCVBUF, [2304]", "SOL_SOCKET, SO_RCVBUF, [20000]", "SOL_SOCKET, SO_SNDBUF, [5000]",
    "SOL_TCP, TCP_MAXSEG, [100]", "SOL_TCP, TCP_MAXSEG, [1000]", "SOL_TCP, TCP_WINDOW_CLAMP, [3000]",
    "SOL_TCP, TCP_NODELAY, [1]", "SOL_TCP, TCP_USER_TIMEOUT, [700]", "SOL_TCP, TCP_LINGER2, [1]",
)  # fmt: skip
_LATER = (
    "SOL_TCP, TCP_NODELAY, [1]", "SOL_TCP, TCP_NODELAY, [0]", "SOL_TCP, TCP_CORK, [1]", "SOL_TCP, TCP_CORK, [0]",
    "SOL_TCP, TCP_QUICKACK, [1]", "SOL_TCP, TCP_QUICKACK, [0]", "SOL_TCP, TCP_WINDOW_CLAMP, [1000]",
    "SOL_TCP, TCP_WINDOW_CLAMP, [10000]", "SOL_SOCKET, SO_RCVBUF, [2304]", "SOL_SOCKET, SO_RCVBUF, [30000]",
    "SOL_SOCKET, SO_SNDBUF, [8000]", "SOL_TCP, TCP_USER_TIMEOUT, [500]", "SOL_TCP, TCP_NOTSENT_LOWAT, [1000]",
)  # fmt: skip
_WINDOWS = (32792, 32792, 32792, 257, 100, 0, 1000, 5)
_SIZES = (0, 0, 0, 1, 10, 100, 500, 1000, 1460)
_OFFSETS = (0, 0, 0, 0, 0, -10, -1, 1, 100, 1000, 1460, -500)
_ATTEMPTS = 60
"""Scripts that are written for one seed, until one is calm."""
_CALLS = 40
"""Results that are put right in one script, at most."""
_WAIT: Nanos = 5 * MS
"""So early may the kernel's timer be, and so late where it has a clock of its own."""
_LATE = 13
"""Percent of the time waited, and two ticks."""
_END: Nanos = 20 * MS
_SHARP = ("compress", "pacing")
"""Timers that do not wait for a tick."""


class Writer:
    """One script."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.lines = ["// At random."]
        self.rcv = self.snd = 1
        """What the peer sends next, and what of ours it may know of, at most."""
        self.sack = dice.random() < 0.6
        self.scale = dice.choice((None, None, 0, 2, 7))
        self.ts = 0
        self.fd = 4
        self.open = True
        if dice.random() < 0.3:
            self.say("0", f"`sysctl -q net.ipv4.{dice.choice(_KNOBS)}`")
        self.say("+0" if len(self.lines) > 1 else "0", "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")

    def say(self, when: str, what: str) -> None:
        """One event."""
        self.lines.append(f"{when:>7} {what}")

    def text(self) -> str:
        """The whole of it."""
        if self.dice.random() < 0.7:
            self._passive()
        else:
            self._active()
        for _ in range(self.dice.randint(5, 14)):
            self._step()
        self.say("+1.3", f"< . {self.rcv}:{self.rcv}(0) ack {self.snd} win 32792{self._options()}")
        return "\n".join(self.lines) + "\n"

    def _option_before(self) -> bool:
        chosen = self.dice.random() < 0.3
        if chosen:
            self.say("+0", f"setsockopt(3, {self.dice.choice(_FIRST)}, 4) = 0")
        return chosen

    def _of_syn(self) -> str:
        words = f"mss {self.dice.choice((536, 1000, 1460))}" + ",nop,nop,sackOK" * self.sack
        if self.ts:
            words += f",nop,nop,TS val {self.ts} ecr 0"
        return words + (f",nop,wscale {self.scale}" if self.scale is not None else "")

    def _passive(self) -> None:
        self.say("+0", "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0")
        if not self._option_before() and self.dice.random() < 0.5:
            self.ts = 1000
        self.say("+0", "bind(3, ..., ...) = 0")
        self.say("+0", "listen(3, 1) = 0")
        self.say("+0", f"< S 0:0(0) win 32792 <{self._of_syn()}>")
        told = "..."
        if self.ts:  # what it is called here; the rest must be as the kernel says it
            words = ["sackOK" if self.sack and "tcp_sack=0" not in self.lines[1] else "nop,nop"]
            told = ",".join(["mss 1460", *words, "TS val 1 ecr 1000", *["nop,wscale 10"] * (self.scale is not None)])
        self.say("+0", f"> S. 0:0(0) ack 1 <{told}>")
        if not self.ts and self.dice.random() < 0.1:
            self.say("+1", "> S. 0:0(0) ack 1 <...>")
        self.say("+.1", f"< . 1:1(0) ack 1 win {self.dice.choice((32792, 257))}{self._options()}")
        self.say("+0", "accept(3, ..., ...) = 4")

    def _active(self) -> None:
        self.fd = 3
        self._option_before()
        self.say("+0", "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0")
        self.say("+0", "connect(3, ..., ...) = -1 EINPROGRESS (x)")
        self.say("+0", "> S 0:0(0) <...>")
        if self.dice.random() < 0.15:
            self.say("+1", "> S 0:0(0) <...>")
        kind = self.dice.random()
        if kind < 0.15:
            self.say("+.1", f"< S 0:0(0) win 32792 <{self._of_syn()}>")
        elif kind < 0.25:
            self.say("+.1", f"< . 0:0(0) ack {self.dice.choice((0, 1, 2))} win 32792")
        self.say("+.1", f"< S. 0:0(0) ack 1 win {self.dice.choice((32792, 257, 0))} <{self._of_syn()}>")

    def _options(self, more: str = "") -> str:
        if self.ts:
            self.ts += self.dice.choice((1, 10, 100))
            more = f"nop,nop,TS val {self.ts} ecr 1" + f",{more}" * bool(more)
        return f" <{more}>" if more else ""

    def _step(self) -> None:
        dice = self.dice
        gap = "+0" if dice.random() < 0.4 else f"+.{dice.randint(1, 700):03}"
        kind = dice.random() if self.open else 0
        if kind < 0.55:
            self._segment(gap)
        elif kind < 0.75:
            size = dice.choice((1, 10, 500, 1000, 1460, 3000, 8000))
            flags = dice.choice(("MSG_DONTWAIT",) * 3 + ("MSG_DONTWAIT|MSG_MORE",))
            self.say(gap, f"send({self.fd}, ..., {size}, {flags}) = {size}")
            self.snd += size
        elif kind < 0.87:
            self.say(gap, f"recv({self.fd}, ..., {dice.choice((1, 100, 1460, 5000, 100000))}, MSG_DONTWAIT) = 0")
        elif kind < 0.94:
            self.say(gap, f"setsockopt({self.fd}, {dice.choice(_LATER)}, 4) = 0")
        elif kind < 0.97:
            self.say(gap, f"shutdown({self.fd}, {dice.choice(('SHUT_WR', 'SHUT_WR', 'SHUT_RD', 'SHUT_RDWR'))}) = 0")
            self.snd += 1
        else:
            self.say(gap, f"close({self.fd}) = 0")
            self.snd += 1
            self.open = False

    def _segment(self, gap: str) -> None:
        dice = self.dice
        size = dice.choice(_SIZES)
        first = max(self.rcv + dice.choice(_OFFSETS), 1)
        flags = dice.choice((".",) * 7 + ("P.",) * 3 * bool(size) + ("F.",) * 2)
        if dice.random() < 0.02:
            self.say(gap, f"< R {first}:{first}(0) win 0")
            return
        ack = dice.choice((self.snd, self.snd, self.snd, max(1, self.snd - 1460), 1, self.snd + 1))
        blocks = ""
        if self.sack and self.snd > 1500 and dice.random() < 0.3:
            left = dice.randrange(max(1, self.snd - 3000), self.snd - 100)
            blocks = f"nop,nop,sack {left}:{min(self.snd, left + dice.choice((100, 1000, 1460)))}"
        head = f"< {flags} {first}:{first + size}({size}) ack {ack}"
        self.say(gap, f"{head} win {dice.choice(_WINDOWS)}{self._options(blocks)}")
        if first <= self.rcv < first + size:
            self.rcv = first + size


def write(seed: int) -> str:
    """A script of which both stacks can be asked: its calls return what ours do, and no timer comes near its events."""
    for attempt in range(_ATTEMPTS):
        text = settled(Writer(random.Random(seed * _ATTEMPTS + attempt)).text())
        if text and calm(text):
            return text
    raise AssertionError(f"seed {seed}: no script came out calm")


def settled(text: str) -> str:
    """The script with the results that ours gives; empty: it cannot be played."""
    for _ in range(_CALLS):
        lines = text.split("\n")
        try:
            script = _parsed(text)
            Runner(script, Ours(script.options), exact=False).run()
            return text
        except Mismatch as found:
            line, saw = lines[found.line - 1], found.saw
            if "(" not in line or " = " not in line or not saw.removeprefix("-1 ")[:1].isalnum():
                return ""
            told = saw.split("(")[0].strip() + " (x)" if saw.startswith("-1 ") else saw
            lines[found.line - 1] = f"{line[: line.rindex(' = ')]} = {told}"
            text = "\n".join(lines)
    return ""


def calm(text: str) -> bool:
    """Is no event where the kernel's timers may be a little early, or late?"""
    script = _parsed(text)
    stack = Ours(script.options)
    began, heard = stack.clock, list[AnyEvent]()
    stack.machine.tracing, stack.machine._emit = True, heard.append
    story = Runner(script, stack, exact=False).run()
    events = [step.at * US for step in story.steps if not step.said.lstrip("+~.0123456789 ").startswith(">")]
    events.append(events[-1] + _END)
    spans = _vague(heard, began)
    if any(one[2] == other[2] == 0 and one[1] >= other[0] for one, other in pairwise(sorted(spans))):
        return False  # which of two timers is the first?
    return not any(sum(left <= at <= right for at in events) > alone for left, right, alone in spans)


def _vague(heard: list[AnyEvent], began: Nanos) -> list[tuple[Nanos, Nanos, int]]:
    """When the kernel's timers may fire, and how many events may be there."""
    spans: list[tuple[Nanos, Nanos, int]] = []
    armed: dict[str, tuple[Nanos, Nanos, Nanos]] = {}
    late: dict[Nanos, Nanos] = {}
    for event in heard:
        if not isinstance(event, Timer):
            continue
        now = event.t - began
        since, before, due = armed.pop(event.name, (now, 0, now + SEC))
        if event.op == "fired" and event.name not in _SHARP:
            late[now] = before + (now - since) * _LATE // 100 + 2 * _WAIT
            spans.append((now - _WAIT, now + late[now], 0))
        elif event.name in _SHARP:
            spans.append((since, now + _WAIT, 1))
        elif now < due < now + _WAIT:  # taken back in the last moment
            spans.append((now, now, 0))
        if event.op == "armed":
            armed[event.name] = now, late.get(now, 0), event.at - began
    spans += ((due - _WAIT, due + before + (due - since) * _LATE // 100, 0) for since, before, due in armed.values())
    return spans


def _parsed(text: str) -> Script:
    return parser.parse(text, "at random", dict(drill.DEFINES))


# --- the command ------------------------------------------------------------------------------------------------------


def main() -> int:
    """The command line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--first", type=int, default=1, help="the first seed")
    words.add_argument("--scripts", type=int, default=100)
    words.add_argument("--keep", type=Path, default=Path("scripts-found"), help="folder for those that differ")
    given = words.parse_args()
    if os.geteuid() != 0:
        words.error("the kernel's TCP is asked as root only")
    given.keep.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for seed in range(given.first, given.first + given.scripts):
        files.append(given.keep / f"{seed}.pkt")
        files[-1].write_text(write(seed))
    found = 0
    for file, judged in zip(files, judge_all(files), strict=True):
        if judged.good:
            file.unlink()
        else:
            found += 1
            print(judged.text, flush=True)
    print(f"{len(files)} scripts, {found} differ" + f": {given.keep}" * bool(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
