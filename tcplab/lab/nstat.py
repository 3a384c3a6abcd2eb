"""A host's counters as `nstat -as` prints them (iproute2 misc/nstat.c)."""

from __future__ import annotations

from collections.abc import Mapping

from tcplab.api.counters import COUNTERS


def nstat(counters: Mapping[str, int], zeros: bool = False) -> str:
    """Those that are not 0, or all; the last column is a rate, which nothing measures here."""
    shown = [name for name in sorted(COUNTERS, key=_place) if counters.get(name) or zeros]
    return "\n".join(["#kernel", *(f"{name:<32}{counters.get(name, 0):<16}{'0.0':>6}" for name in shown)])


def _place(name: str) -> tuple[bool, bool, bool, bool, str]:
    """The kernel's order of groups: IP, ICMP, TCP, and what Linux adds to TCP and IP."""
    return name[2:5] == "Ext", name[:2] != "Ip", name[:4] != "Icmp", name[3:6] == "Ext", name
