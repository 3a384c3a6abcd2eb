"""The notation of packets: `< S 0:0(0) win 32792 <mss 1000,nop,wscale 7>`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tcplab.lab.drill.errors import NotHere, ScriptError
from tcplab.lab.drill.script import Icmp, Option, Packet

if TYPE_CHECKING:
    from tcplab.lab.drill.parser import Parser

_WORD: Final = 0xFFFF
_LONG: Final = 0xFFFFFFFF
_ECN: Final = ("noecn", "ect0", "ect1", "ce", "ect01")
_FLAGS: Final = "FSRP.UEW"


def packet(cursor: Parser) -> Packet | Icmp:
    """Everything behind < or >."""
    line = cursor.here.line
    inbound = cursor.take().text == "<"
    ecn, tos, ttl = _ip(cursor)
    word = cursor.here.text
    if word in ("ipv4", "ipv6", "gre", "GREv0", "mpls", "udp"):
        raise NotHere(cursor.file, line, f"{word} packets are not made here: only TCP over IPv4, and ICMP")
    if word == "icmp":
        return _icmp(cursor, inbound)
    if word == "nothing" and not inbound:
        cursor.take()
        return Packet(False, nothing=True)
    ports = _ports(cursor)
    flags = _flags(cursor)
    seq, length = _range(cursor)
    ack = cursor.integer("an acknowledgement number", 0, _LONG) if cursor.found("ack") else None
    win = cursor.integer("a window", 0, _WORD) if cursor.found("win") else None
    urg = cursor.integer("an urgent pointer", 0, _WORD) if cursor.found("urg") else 0
    options = _options(cursor, inbound)
    if cursor.here.text == "{":
        raise NotHere(cursor.file, cursor.here.line, "packets that are changed at random ({...}) are not made here")
    return Packet(inbound, flags, seq, length, ack, win, urg, options, ports, ecn, tos, ttl)


def _ip(cursor: Parser) -> tuple[str, int | None, int | None]:
    """`[ect0]`, `(tos 0x10)`, `[ttl 3]` before the flags."""
    if cursor.here.text not in ("[", "("):
        return "", None, None
    close = {"[": "]", "(": ")"}[cursor.take().text]
    ecn, tos, ttl = "", None, None
    while not cursor.found(close):
        token = cursor.here
        if token.text in _ECN:
            ecn = cursor.take().text
        elif cursor.found("tos"):
            tos = cursor.integer("a type of service", 0, 255)
        elif cursor.found("ttl"):
            ttl = cursor.integer("a time to live", 0, 255)
        elif token.text == "flowlabel":
            raise NotHere(cursor.file, token.line, "flow labels are of IPv6, which is not spoken here")
        else:
            raise cursor.wrong(f"one of {', '.join(_ECN)}, tos or ttl")
        cursor.found(",")
    return ecn, tos, ttl


def _ports(cursor: Parser) -> tuple[int, int] | None:
    if cursor.here.kind != "int" or cursor.tokens[cursor.at + 1].text != ">":
        return None
    source = cursor.integer("a port", 0, _WORD)
    cursor.need(">")
    return source, cursor.integer("a port", 0, _WORD)


def _flags(cursor: Parser) -> str:
    if cursor.found("-"):
        return ""
    begin = cursor.here
    flags = ""
    if begin.kind == "word":
        flags = cursor.take().text
    if cursor.here.kind == "float":
        raise NotHere(cursor.file, begin.line, "Accurate ECN (a number among the flags) is not spoken here")
    if cursor.found("."):
        flags += "."
    if not flags or set(flags) - set(_FLAGS) or len(set(flags)) != len(flags):
        cursor.at -= 1
        raise ScriptError(cursor.file, begin.line, f"{flags or begin.text!r} are no flags: they are of {_FLAGS}, or -")
    return "".join(letter for letter in _FLAGS if letter in flags)


def _range(cursor: Parser) -> tuple[int, int]:
    line = cursor.here.line
    first = cursor.integer("a sequence number", 0, _LONG)
    cursor.need(":")
    end = cursor.integer("the sequence number behind the payload", 0, _LONG)
    cursor.need("(")
    length = cursor.integer("the length of the payload", 0, _WORD)
    cursor.need(")")
    if (first + length) & _LONG != end:
        raise ScriptError(
            cursor.file, line, f"{first} and {length} octets end at {(first + length) & _LONG}, not {end}"
        )
    return first, length


def _options(cursor: Parser, inbound: bool) -> tuple[Option, ...] | None:
    line = cursor.here.line
    if not cursor.found("<"):
        return ()
    if cursor.found("..."):
        if inbound:
            raise ScriptError(cursor.file, line, "<...> is for packets that are expected")
        cursor.need(">")
        return None
    found: list[Option] = []
    while not cursor.found(">"):
        found.append(_option(cursor))
        if cursor.here.text != ">":
            cursor.need(",")
    size = sum(size_of(option) for option in found)
    if size % 4 or size > 40:
        raise ScriptError(cursor.file, line, f"these options take {size} octets: whole words of 4, 40 at most")
    return tuple(found)


def _option(cursor: Parser) -> Option:
    name = cursor.take().text
    if name in ("nop", "eol", "sackOK"):
        return Option(name)
    if name == "mss":
        return Option(name, (cursor.integer("an MSS", 0, _WORD),))
    if name == "wscale":
        return Option(name, (cursor.integer("a shift", 0, 255),))
    if name == "TS":
        cursor.need("val")
        val = cursor.integer("a timestamp", 0, _LONG)
        cursor.need("ecr")
        return Option(name, (val, cursor.integer("a timestamp", 0, _LONG)))
    if name == "sack":
        edges: list[int] = []
        while cursor.here.kind == "int":
            edges.append(cursor.integer("a sequence number", 0, _LONG))
            cursor.need(":")
            edges.append(cursor.integer("a sequence number", 0, _LONG))
        return Option(name, tuple(edges))
    if name in ("FO", "FOEXP", "md5"):
        return Option(name, digits=_digits(cursor))
    cursor.at -= 1
    raise cursor.wrong("an option: mss, nop, eol, sackOK, sack, wscale, TS, FO, FOEXP or md5")


def _digits(cursor: Parser) -> str:
    token = cursor.here
    if token.kind not in ("word", "int", "hex"):
        return ""
    if len(token.text) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", token.text):
        raise cursor.wrong("an even number of hexadecimal digits (or a name that -D defines)")
    cursor.at += 1
    return token.text.lower()


def size_of(option: Option) -> int:
    """Octets that it takes on the wire."""
    fixed = {"nop": 1, "eol": 1, "sackOK": 2, "mss": 4, "wscale": 3, "TS": 10}
    if option.name in fixed:
        return fixed[option.name]
    if option.name == "sack":
        return 2 + 4 * len(option.numbers)
    return {"FO": 2, "FOEXP": 4, "md5": 2}[option.name] + len(option.digits) // 2


def _icmp(cursor: Parser, inbound: bool) -> Icmp:
    line = cursor.take().line
    kind = cursor.take().text
    code = cursor.take().text if cursor.here.kind == "word" and cursor.here.text not in ("mtu", "id") else ""
    mtu = cursor.integer("an MTU", 0, _LONG) if cursor.found("mtu") else None
    if cursor.found("id"):
        cursor.integer("an identifier", 0, _LONG)
    seq = length = 0
    if cursor.found("["):
        if cursor.here.text in ("udp", "raw"):
            raise NotHere(cursor.file, line, "only TCP segments are quoted here")
        seq, length = _range(cursor)
        cursor.need("]")
    if not inbound:
        raise NotHere(cursor.file, line, "an ICMP message of the host cannot be expected here")
    return Icmp(inbound, kind, code, mtu, seq, length)
