"""What the inject menu offers, made from the present lab: each entry is the line that it will run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tcplab.api.views import ConnView, LabView
from tcplab.tui.draw import names


@dataclass(frozen=True, slots=True)
class Injection:
    """One entry: its key in the menu, the heading above it, what it does in words, the line of the language."""

    key: str
    group: str
    text: str
    line: str


def menu(view: LabView, chosen: str) -> list[Injection]:
    """All entries that make sense now. `chosen` is the connection under the cursor, by either host's name."""
    return [*_wire(), *_third_party(view, chosen), *_hosts(view, chosen), *_clear(view)]


def _wire() -> Iterator[Injection]:
    group = "wire"
    yield Injection("1", group, "lose the next SYN,ACK", "drop b>a flags=SA nth=1")
    yield Injection("2", group, "lose the next SYN", "drop a>b flags=S nth=1")
    yield Injection("3", group, "lose the next pure ACK", "drop a>b flags=A nth=1")
    yield Injection("4", group, "lose the next data, a to b", "drop a>b data nth=1")
    yield Injection("5", group, "lose the next data, b to a", "drop b>a data nth=1")
    yield Injection("p", group, "lose 5 % by chance", "drop a>b p=5%")
    yield Injection("d", group, "delay everything", "delay b>a 200ms")
    yield Injection("u", group, "deliver the next data twice", "dup a>b data nth=1")


def _third_party(view: LabView, chosen: str) -> Iterator[Injection]:
    group = "third party x"
    port = _port(view)
    yield Injection("f", group, "SYN flood, forged sources", f"inject flood b:{port} rate=50/s count=200")
    if name := _alias(view, chosen):
        for key, place, text in (
            ("x", "exact", "forged RST: exactly RCV.NXT"),
            ("w", "in-window", "forged RST: in the window"),
            ("o", "outside", "forged RST: outside"),
        ):
            yield Injection(key, group, text, f"inject rst {name} to=b seq={place}")


def _hosts(view: LabView, chosen: str) -> Iterator[Injection]:
    if not view.b.listeners:
        yield Injection("l", "hosts", "b listens and echoes", "b serve echo 80")
    yield Injection("c", "hosts", "a connects", f"a connect b:{_port(view)} as {fresh_alias(view)}")
    name = _alias(view, chosen)
    if not name:
        return
    for host, close, abort, send in (("a", "e", "k", "s"), ("b", "E", "K", "t")):
        if not _has(view, host, name):
            continue
        yield Injection(send, f"host {host}", f"{host} sends 4000 octets", f"{host} send {name} 4000")
        yield Injection(close, f"host {host}", f"{host} closes (FIN)", f"{host} close {name}")
        yield Injection(abort, f"host {host}", f"{host} aborts (RST)", f"{host} abort {name}")


def _clear(view: LabView) -> Iterator[Injection]:
    if view.faults:
        count = len(view.faults)
        yield Injection("-", "active", f"take {count} rule{'s' if count > 1 else ''} off the wire", "clear")


def _port(view: LabView) -> int:
    return view.b.listeners[0].port if view.b.listeners else 80


def _alias(view: LabView, chosen: str) -> str:
    """The script's name of the chosen connection, else of the newest that has one."""
    named = [conn for host in (view.a, view.b) for conn in host.conns if conn.alias and conn.state != "TIME_WAIT"]
    for conn in named:
        if chosen in (conn.conn, names.reverse(conn.conn)):
            return conn.alias
    return named[-1].alias if named else ""


def _has(view: LabView, host: str, name: str) -> bool:
    """Whether the host still has an end of the connection that somebody called `name`."""
    conns: tuple[ConnView, ...] = (*view.a.conns, *view.b.conns)
    ends = {end for conn in conns if conn.alias == name for end in (conn.conn, names.reverse(conn.conn))}
    return any(conn.conn in ends for conn in (view.a if host == "a" else view.b).conns)


def fresh_alias(view: LabView) -> str:
    """`c1`, `c2`, ...: the first that nobody has."""
    taken = {conn.alias for conn in (*view.a.conns, *view.b.conns)}
    number = 1
    while f"c{number}" in taken:
        number += 1
    return f"c{number}"
