"""Arguments and results of system calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tcplab.lab.drill.script import DOTS, Address, Either, Struct, Text, Word

if TYPE_CHECKING:
    from tcplab.lab.drill.parser import Parser

_INT = 2**63 - 1
_DEEPEST = 20
"""So many lists and structures may stand within each other."""


def expression(cursor: Parser) -> Any:
    """One expression: `...`, a number, a name, a string, a list, a structure, or names joined by |."""
    if cursor.depth == _DEEPEST:
        raise cursor.wrong(f"at most {_DEEPEST} lists and structures within each other")
    cursor.depth += 1
    value = _joined(cursor)
    cursor.depth -= 1
    return value


def _joined(cursor: Parser) -> Any:
    first = _single(cursor)
    if cursor.here.text != "|":
        return first
    parts = [first]
    while cursor.found("|"):
        parts.append(_single(cursor))
    return Either(tuple(parts))


def _single(cursor: Parser) -> Any:
    token = cursor.here
    if cursor.found("..."):
        return DOTS
    if token.kind in ("int", "hex"):
        return cursor.integer("a number", -_INT, _INT)
    if token.kind == "string":
        return _text(cursor)
    if cursor.found("["):
        return _list(cursor, "]")
    if cursor.found("{"):
        return _braces(cursor)
    if token.kind == "word":
        cursor.take()
        if token.text in ("htons", "inet_addr", "inet6_addr") and cursor.found("("):
            value = expression(cursor)
            cursor.need(")")
            return value
        if cursor.found("="):
            return Struct({token.text: expression(cursor)})
        return Word(token.text)
    raise cursor.wrong("an argument")


def _text(cursor: Parser) -> Text:
    octets = b""
    while cursor.here.kind == "string":
        octets += unescape(cursor.take().text[1:-1])
    return Text(octets, more=cursor.found("..."))


_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\", '"': b'"', "'": b"'", "a": b"\a", "b": b"\b"}


def unescape(text: str) -> bytes:
    """A C string's octets."""
    out = b""
    for plain, escape in re.findall(r"([^\\]+)|\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", text, re.DOTALL):
        if plain:
            out += plain.encode()
        elif escape[0] == "x" and len(escape) > 1:
            out += bytes((int(escape[1:], 16),))
        elif escape[0] in "01234567":
            out += bytes((int(escape, 8) & 255,))
        else:
            out += _ESCAPES.get(escape, escape.encode())
    return out


def _list(cursor: Parser, close: str) -> list[Any]:
    found: list[Any] = []
    while not cursor.found(close):
        found.append(expression(cursor))
        if cursor.here.text != close:
            cursor.need(",")
    return found


def _braces(cursor: Parser) -> Any:
    """A structure if names with = stand in it, else a list."""
    fields: dict[str, Any] = {}
    items: list[Any] = []
    while not cursor.found("}"):
        name = _field(cursor)
        if name:
            fields[name] = expression(cursor)
        else:
            items.append(expression(cursor))
        if cursor.here.text != "}":
            cursor.need(",")
    if "sa_family" in fields:
        return _address(cursor, fields)
    return Struct(fields) if fields else items


def _field(cursor: Parser) -> str:
    """`name=` or `name(...)=`; empty: no field begins here."""
    begin = cursor.at
    token = cursor.here
    if token.kind != "word":
        return ""
    cursor.at += 1
    if cursor.found("("):
        while cursor.here.kind != "end" and not cursor.found(")"):
            cursor.at += 1
    if cursor.found("="):
        return token.text
    cursor.at = begin
    return ""


def _address(cursor: Parser, fields: dict[str, Any]) -> Address:
    addr, port = fields.get("sin_addr"), fields.get("sin_port")
    if fields["sa_family"] != Word("AF_INET") or not isinstance(addr, Text) or not isinstance(port, int):
        raise cursor.wrong("an address {sa_family = AF_INET, sin_port = htons(PORT), sin_addr = inet_addr(ADDRESS)}")
    return Address(addr.octets.decode(), port)
