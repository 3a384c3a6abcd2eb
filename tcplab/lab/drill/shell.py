"""The commands in backticks. They are never run: those that scripts use are understood and done to the host.

A script that is named (`../common/defaults.sh`) is read in the same way, line by line.
"""

from __future__ import annotations

import ast
import operator
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tcplab.lab.drill.errors import NotHere, ScriptError

_DEEPEST: Final = 4
_PROC: Final = re.compile(r"/proc/sys/net/(?:ipv4|core|ipv6|mptcp)/(\S+)")


@dataclass(frozen=True, slots=True)
class Deed:
    """What a command does: `sysctl` (name, value), `mtu` (octets), `sleep` (microseconds), `forget` (all metrics),
    `offload` (name, on or off),
    `nstat` (start counting anew), `counted` (the counter must have moved, by `value` if it is given),
    `nothing` (it has no meaning here)."""

    kind: str
    name: str = ""
    value: str = ""


def wrong_count(deed: Deed, moved: int) -> str:
    """What is wrong with a counter that moved by so much; empty: nothing."""
    if deed.value:
        return "" if moved == int(deed.value) else f"by {moved}"
    return "" if moved else "that it did not"


def understand(text: str, file: str, line: int, depth: int = 0) -> Iterator[Deed]:
    """The deeds of a command. ScriptError: it is not understood."""
    for command in _commands(text):
        yield from _Command(command, file, line, depth).deeds()


def _commands(text: str) -> Iterator[str]:
    joined = text.replace("\\\n", " ")
    for part in re.split(r"\n|;|&&", joined):
        words = part.strip()
        if words and not words.startswith("#"):
            yield words


class _Command:
    def __init__(self, text: str, file: str, line: int, depth: int) -> None:
        self.text = text
        self.file = file
        self.line = line
        self.depth = depth

    def deeds(self) -> Iterator[Deed]:
        """What this one command does."""
        try:
            words = shlex.split(_arithmetic(_without_redirection(self.text)), comments=True)
        except (ValueError, SyntaxError, ZeroDivisionError) as error:
            raise self._refused(f"it cannot be read ({error})") from None
        if not words:
            return
        name = Path(words[0]).name
        if name == "source" or words[0] == ".":
            words = words[1:]
            name = Path(words[0]).name if words else ""
        if name == "sysctl":
            yield from self._sysctl(words[1:])
        elif name == "set_sysctls.py":
            yield from self._set_sysctls(words[1:])
        elif name == "echo" and ">" in self.text:
            yield from self._echo(words[1:])
        elif name == "nstat":
            yield self._nstat()
        elif name == "sleep" and len(words) == 2 and re.fullmatch(r"\d*\.?\d+", words[1]):
            yield Deed("sleep", value=str(int(float(words[1]) * 1_000_000)))
        elif name in ("ip", "ifconfig"):
            yield from self._ip(words)
        elif name == "ethtool":
            yield from self._ethtool(words[1:])
        elif name in ("tc", "true", "modprobe") or name.startswith("sysctl_restore_"):
            yield Deed("nothing")  # there are no queueing disciplines here
        elif name.endswith(".sh"):
            yield from self._script(words[0])
        else:
            raise self._refused("commands are not run, and this one is not known")

    def _refused(self, why: str) -> ScriptError:
        return NotHere(self.file, self.line, f"`{self.text}`: {why}; sysctl, set_sysctls.py, nstat, ip, sleep are")

    def _sysctl(self, words: list[str]) -> Iterator[Deed]:
        for word in words:
            if word.startswith("-"):
                continue
            name, equals, value = word.partition("=")
            if not equals:
                raise self._refused("only settings (NAME=VALUE)")
            yield Deed("sysctl", name.removeprefix("net.").split(".", 1)[-1], value)

    def _set_sysctls(self, words: list[str]) -> Iterator[Deed]:
        for word in words:
            path, equals, value = word.partition("=")
            found = _PROC.fullmatch(path)
            if not equals or found is None:
                raise self._refused(f"{word} is no /proc/sys/net/...=VALUE")
            yield Deed("sysctl", found[1].replace("/", "."), value)

    def _echo(self, words: list[str]) -> Iterator[Deed]:
        target = self.text.rpartition(">")[2].strip()
        found = _PROC.fullmatch(target)
        if found is None:
            raise self._refused("only to /proc/sys/net")
        yield Deed("sysctl", found[1], " ".join(word for word in words if word != "-n"))

    def _nstat(self) -> Deed:
        """`nstat | grep NAME` asks whether it moved; `nstat -z | grep "NAME *5 "`, as nstat prints it, by how much."""
        found = re.search(r"grep\s+(?:-\w+\s+)*[\"']?(\w+)(?:\s+\*?\s*(\d+))?", self.text)
        return Deed("counted", found[1], found[2] or "") if found else Deed("nstat")

    def _ip(self, words: list[str]) -> Iterator[Deed]:
        text = " ".join(words[1:])
        mtu = re.search(r"\bmtu (?:lock )?(\d+)", text)
        if "tcp_metrics" in text:
            yield Deed("forget")
        elif mtu:
            yield Deed("mtu", value=mtu[1])
        elif re.match(r"(-\d )?(link set|addr|address|neigh)", text):
            yield Deed("nothing")
        else:
            raise self._refused("of ip, tcp_metrics flush and mtu are known")

    @staticmethod
    def _ethtool(words: list[str]) -> Iterator[Deed]:
        """`-K tun0 tso off gso off`; anything else of it is nothing."""
        pairs = words[2:] if words[:1] in (["-K"], ["--offload"]) else []
        for name, value in zip(pairs[::2], pairs[1::2], strict=False):
            yield Deed("offload", name, value)

    def _script(self, name: str) -> Iterator[Deed]:
        path = Path(self.file).parent / name
        if self.depth >= _DEEPEST:
            raise self._refused("scripts call scripts too deeply")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise self._refused(f"there is no readable file {path}") from None
        for number, line in _lines(text):
            yield from understand(line, str(path), number, self.depth + 1)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Whole commands of a shell file with their lines; a quoted string may span several."""
    pending, begin = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        pending, begin = (f"{pending}\n{line}", begin) if pending else (line, number)
        if pending.lstrip().startswith("#") or (not pending.endswith("\\") and pending.count('"') % 2 == 0):
            yield begin, pending
            pending = ""


def _without_redirection(text: str) -> str:
    return re.sub(r"\s*(?:\d?>>?\s*\S+|2>&1|\|.*)", "", text)


_OPERATORS: Final = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv, ast.LShift: operator.lshift,
}  # fmt: skip


def _arithmetic(text: str) -> str:
    """`$((15*1024*1024))` becomes its value."""
    return re.sub(r"\$\(\((.*?)\)\)", lambda found: str(_value(ast.parse(found[1].strip(), mode="eval").body)), text)


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left), _value(node.right)
        if max(abs(left), abs(right)) > 1 << 62 or (isinstance(node.op, ast.LShift) and not 0 <= right < 62):
            raise ValueError("the number is too large")
        return int(_OPERATORS[type(node.op)](left, right))
    raise ValueError("only numbers, + - * / and <<")
