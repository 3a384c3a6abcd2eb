"""From words to a script: packetdrill's grammar, with one addition (`> nothing`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tcplab.lab.drill import expressions, packets
from tcplab.lab.drill.errors import ScriptError
from tcplab.lab.drill.lexer import Token, tokens
from tcplab.lab.drill.script import (
    ABSOLUTE,
    ANY_TIME,
    RELATIVE,
    Action,
    Call,
    Code,
    Command,
    Event,
    Packet,
    Script,
    When,
)
from tcplab.tcp.profile import PROFILES

_MOST: Final = 4 << 20


def load(path: Path, defines: dict[str, str]) -> Script:
    """Read a file. ScriptError: it cannot be read or understood."""
    try:
        if path.stat().st_size > _MOST:
            raise ScriptError(str(path), 1, "the file is too long for a script")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScriptError(str(path), 1, f"cannot read it: {reason}") from None
    return parse(text, str(path), defines)


def parse(text: str, file: str, defines: dict[str, str]) -> Script:
    """A script from its text; `defines`: what `-D NAME=VALUE` says a word stands for."""
    return Parser(text, file, defines).script()


class Parser:
    """A cursor over the words of one file."""

    def __init__(self, text: str, file: str, defines: dict[str, str]) -> None:
        self.file = file
        self.text = text
        self.defines = dict(defines)
        self.tokens = tokens(file, text)
        self.at = 0
        self.depth = 0
        """How many expressions stand around the word at hand."""

    # --- the cursor -----------------------------------------------------------------------------------------

    @property
    def here(self) -> Token:
        """The word at hand; one that was defined stands for its value."""
        token = self.tokens[self.at]
        if token.kind == "word" and token.text in self.defines:
            value = self.defines[token.text]
            (found, *_) = tokens(self.file, value) if value else (token,)
            return Token(found.kind, found.text, token.line, token.at)
        return token

    def take(self) -> Token:
        """The word at hand, and go on."""
        token = self.here
        if token.kind != "end":
            self.at += 1
        return token

    def found(self, sign: str) -> bool:
        """Take `sign` if it stands here."""
        if self.here.text == sign and self.here.kind not in ("string", "command", "code", "end"):
            self.at += 1
            return True
        return False

    def need(self, sign: str) -> None:
        """Take `sign`, which must stand here."""
        if not self.found(sign):
            raise self.wrong(f"{sign!r}")

    def wrong(self, expected: str) -> ScriptError:
        """The word at hand is not what belongs here."""
        token = self.here
        said = "the end of the file" if token.kind == "end" else repr(token.text.split("\n")[0])
        return ScriptError(self.file, token.line, f"{said} stands here, where {expected} was expected")

    def integer(self, what: str, low: int, high: int) -> int:
        """A whole number within its range."""
        token = self.here
        if token.kind not in ("int", "hex"):
            raise self.wrong(what)
        number = int(token.text, 0) if token.kind == "hex" else int(token.text)
        if not low <= number <= high:
            raise ScriptError(self.file, token.line, f"{what} lies between {low} and {high}, not {number}")
        self.at += 1
        return number

    # --- the file -------------------------------------------------------------------------------------------

    def script(self) -> Script:
        """Options, the first command, events, the last command."""
        script = Script(self.file, lines=self.text.split("\n"))
        while self.here.kind == "option":
            self._option(script)
        if self.here.kind == "command":
            token = self.take()
            script.init = (token.line, Command(token.text[1:-1]))
        while self.here.kind not in ("end", "command"):
            script.events.append(self._event())
        if self.here.kind == "command":
            token = self.take()
            script.cleanup = (token.line, Command(token.text[1:-1]))
        if self.here.kind != "end":
            raise self.wrong("the end of the file")
        if not script.events:
            raise ScriptError(self.file, self.here.line, "there are no events")
        return script

    def _option(self, script: Script) -> None:
        line = self.here.line
        name = self.take().text[2:]
        value = ""
        if self.found("="):
            value = self._value()
            if self.found("="):
                value = f"{value}={self._value()}"
            elif name == "profile" and self.here.kind == "int" and self.here.text.startswith("-"):
                value += self.take().text  # linux-6
        if name == "define":
            key, _, meaning = value.partition("=")
            self.defines[key] = meaning
        elif name == "profile" and value not in PROFILES:
            raise ScriptError(self.file, line, f"no profile {value!r}; there are {', '.join(PROFILES)}")
        else:
            script.options[name] = value

    def _value(self) -> str:
        token = self.take()
        if token.kind in ("sign", "end", "code"):
            raise self.wrong("a value")
        return token.text

    def _event(self) -> Event:
        first = self.here
        when = self._when()
        begin = self.at
        action = self._action()
        if when.kind == ANY_TIME or when.end is not None:
            if not isinstance(action, Packet) or action.inbound:
                raise ScriptError(self.file, first.line, "a range of times and * are for packets that are expected")
            if when.end is not None and when.end < when.start:
                raise ScriptError(self.file, first.line, "the range of times runs backwards")
        last = self.tokens[max(self.at - 1, begin)]
        return Event(first.line, when, action, self.text[first.at : last.at + len(last.text)])

    def _when(self) -> When:
        if self.found("*"):
            return When(ANY_TIME)
        kind = RELATIVE if self.found("+") else ABSOLUTE
        start = self.time()
        if self.found("~"):
            if kind == RELATIVE:
                self.need("+")
            return When(kind, start, self.time())
        return When(kind, start)

    def time(self) -> int:
        """Seconds, as microseconds."""
        token = self.here
        if token.kind not in ("int", "float") or token.text.startswith("-"):
            raise self.wrong("a time in seconds")
        self.at += 1
        whole, _, part = token.text.partition(".")
        return int(whole or "0") * 1_000_000 + int((part + "000000")[:6])

    def _action(self) -> Action:
        token = self.here
        if token.text in ("<", ">") and token.kind == "sign":
            return packets.packet(self)
        if token.kind == "command":
            self.at += 1
            return Command(token.text[1:-1])
        if token.kind == "code":
            self.at += 1
            return Code(token.text[2:-2])
        if token.kind in ("word", "dots"):
            return self._call()
        raise self.wrong("a packet (< or >), a call, a `command` or %{ code }%")

    def _call(self) -> Call:
        until = self.time() if self.found("...") else None
        name = self.take()
        if name.kind != "word":
            self.at -= 1
            raise self.wrong("the name of a system call")
        self.need("(")
        args: list[object] = []
        while not self.found(")"):
            args.append(expressions.expression(self))
            if self.here.text != ")":
                self.need(",")
        self.need("=")
        result = expressions.expression(self)
        errno = ""
        if self.here.kind == "word":
            errno = self.take().text
        if self.found("("):
            while not self.found(")"):
                if self.take().kind == "end":
                    raise self.wrong("')'")
        return Call(name.text, tuple(args), result, errno, until)
