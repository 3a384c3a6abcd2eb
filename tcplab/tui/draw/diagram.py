"""The states of a connection as RFC 9293 draws them in Figure 5; where both hosts are, and how they came there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tcplab.tui.draw import names
from tcplab.tui.draw.glyphs import Glyphs
from tcplab.tui.draw.spans import Line, wrap

_PICTURE: Final = """\
            passive open     ┌──────────┐     active open
          ┌──────────────────┤  CLOSED  ├───────────────────┐
          ▼                  └──────────┘                   ▼
    ┌──────────┐    SYN    ┌────────────┐    SYN     ┌────────────┐
    │  LISTEN  ├──────────►│  SYN_RECV  │◄───────────┤  SYN_SENT  │
    └──────────┘           └──┬──────┬──┘            └──────┬─────┘
                    ┌─────────┘      │ ACK of our SYN       │ SYN,ACK
                    │ close          ▼                      │
                    │        ┌───────────────┐              │
                    │        │  ESTABLISHED  │◄─────────────┘
                    │        └──┬─────────┬──┘
                    ▼           │ close   │ FIN
            ┌──────────────┐    │         │   ┌──────────────┐
            │  FIN_WAIT_1  │◄───┘         └──►│  CLOSE_WAIT  │
            └──┬────────┬──┘                  └───────┬──────┘
ACK of our FIN │        │ FIN                         │ close
               ▼        ▼                             ▼
    ┌──────────────┐  ┌───────────┐             ┌────────────┐
    │  FIN_WAIT_2  │  │  CLOSING  │             │  LAST_ACK  │
    └──────┬───────┘  └─────┬─────┘             └─────┬──────┘
       FIN │                │ ACK of our FIN          │ ACK of our FIN
           ▼                ▼                         ▼
        ┌─────────────────────┐     2MSL         ┌──────────┐
        │      TIME_WAIT      ├─────────────────►│  CLOSED  │
        └─────────────────────┘                  └──────────┘
"""
_NAME: Final = re.compile(r"[│┤] *(?P<a> ) (?P<name>[A-Z_0-9]+) (?P<b> ) *[│├]")
_ENDS: Final = "From every state but CLOSED and LISTEN a RST, an abort, a timeout or a hard ICMP error leads to CLOSED."

Path = Sequence[tuple[str, str]]
"""The states that a connection entered on one host, from the first, each with the reason."""


def lines(paths: Mapping[str, Path], room: int, glyphs: Glyphs) -> list[Line]:
    """The picture, the hosts' places in it, and their paths below. `paths` by host."""
    now = {host: path[-1][0] for host, path in paths.items() if path}
    seen = {state for path in paths.values() for state, _ in path}
    rows = _PICTURE.splitlines()
    made = [_row(text, now, seen) for text in rows]
    made[1] = [(rows[1], "dim")]  # CLOSED stands there twice: this is where all begin, below is where they end
    made.append([])
    for host, path in paths.items():
        made += _told(host, path, room, glyphs)
    return made + [[(text, "dim")] for text in wrap(_ENDS, room)]


def _row(text: str, now: Mapping[str, str], seen: set[str]) -> Line:
    """One row; a host stands beside the name of its state, a at the left and b at the right."""
    line: Line = []
    done = 0
    for found in _NAME.finditer(text):
        name = found["name"]
        at_a, at_b = now.get("a") == name, now.get("b") == name
        line += [(text[done : found.start("a")], "dim"), ("a " if at_a else "  ", "a+")]
        line += [(name, "value" if at_a or at_b else "" if name in seen else "dim"), (" b" if at_b else "  ", "b+")]
        done = found.end("b")
    return [*line, (text[done:], "dim")]


def _told(host: str, path: Path, room: int, glyphs: Glyphs) -> list[Line]:
    """`c1 on a`: each state that it entered, and why."""
    if not path:
        return [[(host, f"{host}+"), ("  this connection has not been here", "dim")], []]
    made: list[Line] = []
    for at, (state, why) in enumerate(path):
        head = f"{host} " if not at else "  "
        rows = wrap(why, max(10, room - 18))
        made.append([(head, f"{host}+"), (f"{glyphs.to} {names.state(state):<12} ", "value"), (rows[0], "dim")])
        made += [[(" " * 17 + text, "dim")] for text in rows[1:]]
    return [*made, []]
