"""Words of a `.pkt` file, each with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tcplab.lab.drill.errors import ScriptError

_PATTERN: Final = re.compile(
    r"""
      (?P<space>[ \t\r\n]+|//[^\n]*|/\*.*?\*/)
    | (?P<code>%\{.*?\}%)
    | (?P<command>`[^`]*`)
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<dots>\.\.\.)
    | (?P<option>--[A-Za-z0-9_]+)
    | (?P<ip>\d+\.\d+\.\d+\.\d+)
    | (?P<float>-?\d*\.\d+)
    | (?P<hex>0x[0-9a-fA-F]+(?![0-9A-Za-z_]))
    | (?P<int>-?\d+(?![0-9A-Za-z_]))
    | (?P<word>[A-Za-z0-9_]+)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is a group of the pattern above, or `end`."""

    kind: str
    text: str
    line: int
    at: int


def tokens(file: str, text: str) -> list[Token]:
    """All words of `text`, and an `end`. ScriptError: something is opened and not closed."""
    found: list[Token] = []
    line = 1
    at = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        assert match is not None
        assert match.lastgroup is not None
        kind, word = match.lastgroup, match[0]
        if kind == "sign" and word in '"`':
            raise ScriptError(file, line, f"{word} is opened and not closed")
        if kind == "sign" and text.startswith(("%{", "/*"), at):
            raise ScriptError(file, line, f"{text[at : at + 2]} is opened and not closed")
        if kind != "space":
            found.append(Token(kind, word, line, at))
        line += word.count("\n")
        at = match.end()
    found.append(Token("end", "the end of the file", line, at))
    return found
