"""One segment in full: why it was sent, what became of it, its fields in RFC order, its octets."""

from __future__ import annotations

from typing import Final

from tcplab.api.events import Sent
from tcplab.tui.draw import names
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, wrap
from tcplab.tui.model import Row, fold_text, label
from tcplab.units import duration

_LABEL: Final = 14


def describe(row: Row, room: int, glyphs: Glyphs) -> list[Line]:
    """The lines of the detail screen; the reason first."""
    if row.sent is None:
        return _other(row, room, glyphs)
    sent = row.sent
    who = {"x": "x, the third party (forged)"}.get(sent.src, sent.src)
    lines: list[Line] = [[(label(sent), f"{sent.src}+"), (f"   frame {sent.n}, from {who} to {sent.dst}", "dim")], []]
    lines += _fact("why", sent.why, "value", room)
    if sent.ref:
        lines += _fact("rule", sent.ref, "accent", room)
    lines += _fact("became", _fate(row), "trouble" if row.fate in ("lost", "dropped") else "ok", room)
    for host in ("a", "b"):
        for note in row.notes[host]:
            text = note.text.replace("{lost}", glyphs.lost) + (f": {note.why}" if note.why else "")
            lines += _fact(f"at {host}", text + (f"  [{note.ref}]" if note.ref else ""), host, room)
    lines.append([])
    lines += _fields(sent, room)
    lines += [[], [(f"octets ({len(sent.frame)}, from the Ethernet header on)", "dim")]]
    return lines + hexdump(sent.frame, room)


def _other(row: Row, room: int, glyphs: Glyphs) -> list[Line]:
    text = fold_text(row) if row.kind == "fold" else row.text
    lines: list[Line] = [[(text, "value")], [(f"at {names.moment(row.t)} ms", "dim")], []]
    for host in ("a", "b"):
        for note in row.notes[host]:
            words = f"{note.text.replace('{lost}', glyphs.lost)}: {note.why}"
            lines += _fact(f"at {host}", words + (f"  [{note.ref}]" if note.ref else ""), host, room)
    if row.kind == "fold":
        words = "Too many segments came in too short a time to draw each of them. Counters and queues have them all."
        lines += [[(text, "")] for text in wrap(words, room)]
    return lines


def _fate(row: Row) -> str:
    sent = row.sent
    assert sent is not None
    held = f", held for {duration(row.held)} by `{row.fate_why}`" if row.held else ""
    match row.fate:
        case "lost":
            return f"lost on the wire, by the rule `{row.fate_why}`"
        case "dropped":
            return f"arrived at {sent.dst} after {duration(row.arrived - row.t)} and was dropped: {row.fate_why}"
        case "gone":
            return "left for an address that nobody here has: no answer will come"
        case "arrived":
            return f"arrived at {sent.dst} after {duration(row.arrived - row.t)}{held}"
    return f"still on the wire{held}"


def _fact(name: str, text: str, role: str, room: int) -> list[Line]:
    first, *rest = wrap(text, max(10, room - _LABEL)) or [""]
    return [
        [(f"{name:<{_LABEL}}", "dim"), (first, role)],
        *[[(" " * _LABEL, ""), (more, role)] for more in rest],
    ]


def _fields(sent: Sent, room: int) -> list[Line]:
    """RFC 9293 section 3.1, in its order."""
    if sent.proto != "tcp":
        return _fact(sent.proto, sent.text, "", room)
    source, _, target = sent.conn.partition(">")
    scaled = "  (never scaled in a SYN)" if "S" in sent.flags else "  (as on the wire, before scaling)"
    lines = [
        *_fact("source", _address(source), "", room),
        *_fact("destination", _address(target), "", room),
        *_fact("seq", f"{sent.seq}  (relative {sent.rseq})", "", room),
    ]
    if "A" in sent.flags:
        lines += _fact("ack", f"{sent.ack}  (relative {sent.rack}): the next octet that is expected", "", room)
    lines += _fact("flags", names.flags(sent.flags), "", room)
    lines += _fact("window", f"{sent.win}{scaled}", "", room)
    lines += _fact("payload", f"{sent.len} octets", "", room)
    for option in [part.strip() for part in sent.opts.split(",")] if sent.opts else ["none"]:
        lines += _fact("option", _option(option), "", room)
    return lines


def _address(text: str) -> str:
    """With the host's name beside it, if the lab has such a host."""
    short = names.endpoint(text)
    return text if short == text else f"{text} ({short})"


def _option(text: str) -> str:
    """What the option says, in words."""
    kind, _, rest = text.partition(" ")
    match kind:
        case "mss":
            return f"{text}: send me at most {rest} octets in one segment"
        case "sackOK":
            return f"{text}: you may tell me of holes (selective acknowledgments)"
        case "wscale":
            return f"{text}: my later windows count in units of {1 << int(rest)}" if rest.isdigit() else text
        case "TS":
            return f"{text}: my clock, and yours as I last saw it (RTT, PAWS)"
        case "sack":
            return f"{text}: I have this already"
        case "nop":
            return "nop: padding"
    return text


def hexdump(data: bytes, room: int) -> list[Line]:
    """Offset, octets, characters; as many octets in a row as fit: 16, 8 or 4."""
    row = 16 if room >= 74 else 8 if room >= 40 else 4
    lines: list[Line] = []
    for at in range(0, len(data), row):
        part = data[at : at + row]
        octets = part.hex(" ").ljust(row * 3 - 1)
        letters = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in part)
        lines.append([(f"{at:04x}  ", "dim"), (octets, ""), (f"  {letters}", "dim")])
    return lines
