"""The one command language: the same lines in an exercise file, a script, the console and `tcplab do`.

`FORMS` is all of it: each form is a pattern that the parser follows and `help` prints. In a pattern a word in capitals
is a value of that kind, `[name=KIND]` an option that may be left out, `name=KIND` one that must be there, `[word]` a
switch, `KIND...` one or more, and any other word stands for itself.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from tcplab.api.counters import COUNTERS, full_name
from tcplab.api.plan import HOSTS
from tcplab.api.states import State
from tcplab.host.options import OPTIONS
from tcplab.lab.errors import LabError
from tcplab.tcp.profile import PROFILES
from tcplab.tcp.sysctl import KNOBS, Knob
from tcplab.tcp.sysctl import text as sysctl_text
from tcplab.units import parse_duration


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of line."""

    pattern: str
    text: str
    live: bool = False
    """For a person at a running lab; not in a script."""

    @property
    def words(self) -> list[str]:
        """The pattern's words."""
        return self.pattern.split()

    @property
    def keyword(self) -> str:
        """What tells it from the other forms: `connect`, `drop`, `inject rst`."""
        words = self.words
        if words[0] == "HOST":
            return words[1]
        return " ".join(words[:2]) if words[0] == "inject" else words[0]


_RULE: Final = "[flags=FLAGS] [data] [conn=NAME] [nth=COUNT] [p=PERCENT]"

FORMS: Final = (
    Form("HOST listen PORT [backlog=NUMBER]", "open a listening port"),
    Form("HOST accept PORT as NAME", "take a connection from the accept queue, as soon as there is one"),
    Form(
        "HOST connect HOST:PORT as NAME [from=PORT] [fastopen=DATA]",
        "connect; how it went is told when it is known; fastopen: with this data in the SYN, if there is a cookie",
    ),
    Form("HOST send NAME DATA [more] [eor]", 'send "text", or that many octets; more: MSG_MORE, eor: MSG_EOR'),
    Form("HOST recv NAME COUNT [peek]", "receive up to that many octets, as soon as there are some; peek: MSG_PEEK"),
    Form("HOST shutdown NAME HOW", "close one direction: rd, wr or rdwr"),
    Form("HOST close SOCKET", "close a connection, or the listener on a port"),
    Form("HOST abort NAME", "close with a RST (SO_LINGER 0)"),
    Form("HOST setsockopt SOCKET OPTION VALUE [NUMBER]", "set a socket option, by its Linux name"),
    Form("HOST getsockopt SOCKET OPTION", "ask for a socket option"),
    Form("HOST tcp_info SOCKET", "all that TCP_INFO tells of a connection, or of the listener on a port"),
    Form("HOST sysctl SETTING", "set one of the host's knobs: a sysctl tcp_syn_retries=3"),
    Form(
        "HOST profile PROFILE",
        "speak TCP as textbook says, as rfc793 did, or as linux-6 does; all its knobs are set anew",
    ),
    Form("HOST serve SERVICE PORT [backlog=NUMBER]", "run a server: echo or http"),
    Form(f"drop DIR {_RULE}", "lose the segments that match: all, the nth, or by chance"),
    Form(f"delay DIR TIME [jitter=TIME] {_RULE}", "hold the segments that match for a while"),
    Form(f"dup DIR {_RULE}", "send the segments that match twice"),
    Form(f"ce DIR {_RULE}", "mark the segments that match as a congested router does, if they speak ECN"),
    Form("clear", "take all rules off the wire"),
    Form("inject flood HOST:PORT rate=RATE count=COUNT", "SYNs from forged addresses, at most 10000"),
    Form("inject rst NAME to=HOST [seq=SEQ]", "forge a RST; seq: exact, in-window, outside, or +N, -N from RCV.NXT"),
    Form("wait TIME", "let this much lab time pass"),
    Form("until HOST NAME STATE within TIME", "wait for a state; it is an error if it does not come"),
    Form("at TIME", "wait for this lab time"),
    Form("mark NAME", "name this instant: checks look at it"),
    Form("stop [NAME...]", "wait for the learner's answers to these questions"),
    Form("play", "let lab time run", live=True),
    Form("pause", "let lab time stand still", live=True),
    Form("rate SPEED", "lab time per wall time: 1, 1/4, 64 or max", live=True),
    Form("step", "run one event, then stand still", live=True),
    Form("next", "run to the next change of a state, then stand still", live=True),
    Form("jump [TIME]", "run this much lab time at once; without it, to the next event", live=True),
    Form("predict NAME TEXT...", "answer a question; the answer stays", live=True),
    Form("check", "look at the checks now", live=True),
    Form("hint", "show the next hint", live=True),
    Form("solution", "show how the exercise is done", live=True),
    Form("restart", "begin again: new hosts, the same seed", live=True),
    Form("load LAB", "open another lab", live=True),
    Form("ss HOST", "the host's sockets, as ss -tnaoi prints them", live=True),
    Form("nstat HOST [all]", "the host's counters that are not 0, or all, as nstat -as prints them", live=True),
    Form("help [WORD]", "all of this, or one command, sysctl, socket option or counter", live=True),
    Form("quit", "end the lab", live=True),
)


@dataclass(slots=True)
class Command:
    """A line that was understood. `values` by kind in lower case (`host`, `name`, `port`), options by their name."""

    keyword: str
    line: str
    where: str
    values: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A value that may have been left out."""
        return self.values.get(name, default)


@cache
def _by_keyword() -> dict[str, Form]:
    return {form.keyword: form for form in FORMS}


def parse(line: str, where: str = "", script: bool = False) -> Command | None:
    """Understand one line; None if it is empty or a comment. LabError names the place and what was expected."""
    try:
        words = _split(line)
    except ValueError as wrong:
        raise LabError(where, f"{wrong} in: {line.strip()}") from None
    if not words:
        return None
    form = _form(words, where, script)
    if script and form.live:
        raise LabError(where, f"{form.keyword!r} is for a person at a running lab; a script cannot use it")
    return _Reader(form, words, line.strip(), where).read()


def parse_script(text: str, file: str, first_line: int = 1) -> list[Command]:
    """Understand a whole script; `first_line` is the number of its first line within `file`."""
    commands = []
    for number, line in enumerate(text.splitlines(), first_line):
        command = parse(line, f"{file}:{number}", script=True)
        if command is not None:
            commands.append(command)
    return commands


def _split(line: str) -> list[str]:
    """Words; a quoted text is one, and keeps its opening quote as a sign of what it is."""
    words = []
    for word in re.findall(r'#|"$|"[^"]*$|(?:[^\s"#]|"[^"]*")+', line):
        if word == "#":
            break
        if word.count('"') % 2:
            raise ValueError("No closing quotation")
        words.append(word)
    return words


_LATER: Final = ("hold", "release", "corrupt", "reorder", "x", "forget")
"""Words of the lab language that this version does not have yet."""


def _form(words: list[str], where: str, script: bool) -> Form:
    forms = _by_keyword()
    host = words[0] in HOSTS
    if host and len(words) == 1:
        raise LabError(where, f"{words[0]} does what? Expected {_listed(_host_words())}")
    keyword = words[1] if host else " ".join(words[:2]) if words[0] == "inject" else words[0]
    if host:
        known = _host_words()
    else:
        known = [name for name in forms if name not in _host_words() and not (script and forms[name].live)]
    if keyword in forms and (keyword in _host_words()) == host and not _wire_rate(words):
        return forms[keyword]
    raise LabError(where, _unknown(words, keyword, known, host))


def _wire_rate(words: list[str]) -> bool:
    """`rate a>b 10mbit` is a rule on the wire, not the speed of the clock."""
    return words[0] == "rate" and len(words) > 1 and words[1] in ("a>b", "b>a", "both")


def _unknown(words: list[str], keyword: str, known: list[str], host: bool) -> str:
    """What is wrong with the first words of a line."""
    if not host and keyword in _host_words():
        return f"{keyword} needs a host in front: a {keyword} ... or b {keyword} ..."
    if keyword in _LATER or _wire_rate(words):
        return (
            f"{keyword!r} is not there yet; on the wire there are drop, delay and dup, and x has inject flood and rst"
        )
    if not host and words[0] != "inject" and len(words) > 1 and words[1] in _host_words():
        return f"no host {words[0]!r}; the hosts are a and b"
    near = difflib.get_close_matches(keyword, known, 1)
    if near:
        return f"no command {keyword!r}; did you mean {near[0]!r}?"
    lines = "" if host else f"; and for a host: a {', a '.join(_host_words())}"
    return f"no command {keyword!r}; there are {_listed(known)}{lines}"


@cache
def _host_words() -> list[str]:
    return [form.keyword for form in FORMS if form.words[0] == "HOST"]


def _listed(words: list[str]) -> str:
    return ", ".join(words)


class _Reader:
    """Follows a form's pattern along the words of a line."""

    def __init__(self, form: Form, words: list[str], line: str, where: str) -> None:
        self.form = form
        self.words = list(words)
        self.command = Command(form.keyword, line, where)

    def read(self) -> Command:
        options, switches = self._take_options()
        for part in self.form.words:
            if part.startswith("[") or "=" in part:
                self._optional(part, options, switches)
            elif part.endswith("..."):
                self._rest(part)
            elif part.isupper() or ":" in part:
                self._value(part)
            else:
                self._literal(part)
        if self.words:
            raise self._wrong(f"{self.words[0]!r} is too much")
        for name in options:
            raise self._wrong(f"no option {name}= here")
        return self.command

    def _take_options(self) -> tuple[dict[str, str], set[str]]:
        """Take `name=value` words and switches out of the line: they may stand anywhere behind the command."""
        names = set(re.findall(r"(\w+)=[A-Z]", self.form.pattern))
        known_switches = {part[1:-1] for part in self.form.words if re.fullmatch(r"\[[a-z]+\]", part)}
        options: dict[str, str] = {}
        switches: set[str] = set()
        rest: list[str] = []
        for word in self.words:
            name, equals, value = word.partition("=")
            if equals and not word.startswith('"') and "SETTING" not in self.form.pattern:
                if name in options:
                    raise self._wrong(f"{name}= stands there twice")
                options[name] = value
                if name not in names:
                    raise self._wrong(f"no option {name}= here")
            elif word in known_switches:
                switches.add(word)
            else:
                rest.append(word)
        self.words = rest
        return options, switches

    def _optional(self, part: str, options: dict[str, str], switches: set[str]) -> None:
        needed = not part.startswith("[")
        inner = part.strip("[]")
        name, equals, kind = inner.partition("=")
        if equals:
            if name in options:
                self.command.values[name] = self._convert(kind, options.pop(name), f"{name}=")
            elif needed:
                raise self._wrong(f"{name}= is missing")
        elif inner.endswith("..."):
            if self.words:
                self._rest(inner)
        elif inner.islower():
            self.command.values[inner] = inner in switches
        elif self.words:
            value = self._convert(inner, self.words.pop(0), "")
            key = inner.lower()
            self.command.values[key if key not in self.command.values else f"{key}2"] = value

    def _rest(self, part: str) -> None:
        kind = part.removesuffix("...")
        if not self.words:
            raise self._wrong(f"{_KINDS[kind][1]} is missing")
        self.command.values[f"{kind.lower()}s"] = [self._convert(kind, word, "") for word in self.words]
        self.words = []

    def _value(self, kind: str) -> None:
        if not self.words:
            raise self._wrong(f"{_KINDS[kind][1]} is missing")
        key = "target" if ":" in kind else kind.lower()
        self.command.values[key] = self._convert(kind, self.words.pop(0), "")

    def _literal(self, part: str) -> None:
        if not self.words or self.words[0] != part:
            found = f", not {self.words[0]!r}" if self.words else ""
            raise self._wrong(f"expected {part!r}{found}")
        self.words.pop(0)

    def _convert(self, kind: str, word: str, option: str) -> Any:
        convert, expected = _KINDS[kind]
        try:
            return convert(word)
        except ValueError:
            raise self._wrong(f"{option}{word!r} is not {expected}") from None

    def _wrong(self, what: str) -> LabError:
        return LabError(self.command.where, f"{what}; expected: {self.form.pattern}")


# --- kinds of values --------------------------------------------------------------------------------------------------


def _number(low: int, high: int) -> Callable[[str], int]:
    def convert(word: str) -> int:
        if not re.fullmatch(r"-?\d{1,10}", word) or not low <= int(word) <= high:
            raise ValueError
        return int(word)

    return convert


def _one_of(*words: str) -> Callable[[str], str]:
    def convert(word: str) -> str:
        if word not in words:
            raise ValueError
        return word

    return convert


def _pattern(pattern: str) -> Callable[[str], str]:
    def convert(word: str) -> str:
        if not re.fullmatch(pattern, word):
            raise ValueError
        return word

    return convert


def _host_port(word: str) -> tuple[str, int]:
    host, _, port = word.partition(":")
    return _one_of("a", "b")(host), _number(1, 65535)(port)


def _data(word: str) -> bytes:
    """Text in quotes, or deterministic octets: a count of them."""
    if word.startswith('"'):
        if len(word) < 2 or not word.endswith('"'):
            raise ValueError
        return word[1:-1].encode()
    count = _number(1, 100_000_000)(word)
    return bytes(n * 7 & 255 for n in range(256)) * (count // 256) + bytes(n * 7 & 255 for n in range(count % 256))


def _percent(word: str) -> int:
    """In millionths."""
    found = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,4}))?%", word)
    if found is None:
        raise ValueError
    ppm = int(found[1]) * 10_000 + int((found[2] or "0").ljust(4, "0"))
    if ppm > 1_000_000:
        raise ValueError
    return ppm


def _speed(word: str) -> tuple[int, int] | None:
    if word == "max":
        return None
    num, _, den = word.partition("/")
    limit = _number(1, 1_000_000)
    return limit(num), limit(den or "1")


def _setting(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    shape = r'-?\d+|0x[0-9a-f]+|"[\d\s]+"|[0-9a-fA-F-]{35}'
    if name.endswith("_congestion_control"):
        shape = r'[a-z][a-z0-9_]*|"[a-z][a-z0-9_\s]*"'
    if not equals or not re.fullmatch(shape, value):
        raise ValueError
    return _pattern(r"[a-z0-9_.]+")(name.removeprefix("net.ipv4.").removeprefix("net.core.")), _text(value)


def _value(word: str) -> int | str:
    return _number(-(2**31), 2**31 - 1)(word) if re.fullmatch(r"-?\d+", word) else _pattern(r"[a-z][a-z0-9_]*")(word)


def flags(word: str) -> str:
    """TCP flags in the order in which traces write them; ValueError: there are no such flags."""
    if not word or set(word) - set("SFRPAUEW") or len(set(word)) != len(word):
        raise ValueError
    return "".join(letter for letter in "SFRPAUEW" if letter in word)


def _text(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word.startswith('"') and word.endswith('"') else word


_NAME: Final = r"[A-Za-z][A-Za-z0-9_-]*"

_KINDS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "HOST": (_one_of("a", "b"), "a host: a or b"),
    "PORT": (_number(1, 65535), "a port, 1 to 65535"),
    "HOST:PORT": (_host_port, "a host and a port, such as b:80"),
    "NUMBER": (_number(-(2**31), 2**31 - 1), "a whole number"),
    "COUNT": (_number(1, 1_000_000_000), "a count, from 1"),
    "NAME": (_pattern(_NAME), "a name, such as c1"),
    "SOCKET": (_pattern(rf"{_NAME}|\d{{1,5}}"), "a name or a port"),
    "DATA": (_data, 'a "text" in quotes, or a number of octets'),
    "HOW": (_one_of("rd", "wr", "rdwr"), "rd, wr or rdwr"),
    "VALUE": (_value, "a number or a name"),
    "OPTION": (_pattern(r"[A-Z][A-Z0-9_]*"), "a socket option, such as TCP_NODELAY"),
    "SETTING": (_setting, 'NAME=NUMBER, NAME="N N N", or tcp_congestion_control=NAME'),
    "PROFILE": (_one_of(*PROFILES), f"a profile: {' or '.join(PROFILES)}"),
    "SERVICE": (_one_of("echo", "http"), "a service: echo or http"),
    "DIR": (_one_of("a>b", "b>a", "both"), "a direction: a>b, b>a or both"),
    "TIME": (parse_duration, "a time, such as 200ms or 1.5s"),
    "FLAGS": (flags, "TCP flags, such as S, SA, PA or FA"),
    "PERCENT": (_percent, "a chance, such as 5%"),
    "RATE": (lambda word: _number(1, 100_000)(word.removesuffix("/s")), "a rate, such as 50/s"),
    "SEQ": (_pattern(r"exact|in-window|outside|[+-]\d{1,10}"), "exact, in-window, outside, +N or -N"),
    "STATE": (lambda word: State(word), f"a state: {', '.join(State)}"),
    "SPEED": (_speed, "1, 1/4, 64 or max"),
    "TEXT": (_text, "an answer"),
    "LAB": (_text, "a lab's name or file"),
    "WORD": (_text, "a command, a sysctl, a socket option or a counter"),
}


_OPTION_FORMS: Final = ("setsockopt", "getsockopt")


def help_text(topic: str | None = None) -> str:
    """All forms with what they do; or one command, sysctl, socket option or counter."""
    if topic is not None:
        name = topic.removeprefix("net.ipv4.").removeprefix("net.core.")
        if name in KNOBS:
            return _knob(KNOBS[name])
        if topic in OPTIONS:
            option = OPTIONS[topic]
            return f"{topic}  {option.text}\n{option.span}; {option.source}"
        counter = full_name(topic)
        if counter is not None:
            return f"{counter}  counts {COUNTERS[counter]}"
    forms = [form for form in FORMS if topic is None or topic in form.keyword.split()]
    if not forms:
        return f"no command, sysctl, socket option or counter {topic!r}; help lists the commands"
    width = min(max(len(form.pattern) for form in forms), 46)
    lines = []
    for form in forms:
        if len(form.pattern) > width:
            lines += [form.pattern, " " * (width + 2) + form.text]
        else:
            lines.append(f"{form.pattern:<{width}}  {form.text}")
    for heading, names, topics in (("sysctls", KNOBS, ("sysctl",)), ("socket options", OPTIONS, _OPTION_FORMS)):
        if topic is None or topic in topics:
            lines.append(f"\n{heading}, each explained by help NAME:\n{textwrap.fill(', '.join(names), 100)}")
    return "\n".join(lines)


def _knob(knob: Knob) -> str:
    return f"{knob.name}  {knob.text}\n{knob.unit}, {knob.span}, default {sysctl_text(knob.default)}; {knob.source}"
