"""What a run is made of, before anything runs: everything that a run depends on stands here."""

from __future__ import annotations

import msgspec

from tcplab.units import MS, Nanos

HOSTS = ("a", "b")


class Plan(msgspec.Struct, frozen=True):
    """The same plan gives the same bytes on every machine."""

    seed: int = 1
    delay: Nanos = 5 * MS
    """One-way delay of the wire."""
    sysctl: dict[str, dict[str, int | str]] = {}
    """Per host (`a`, `b`): Linux's names without `net.ipv4.`, values in Linux's units."""
    profile: dict[str, str] = {}
    """Per host, before its sysctls: whose TCP it speaks, `linux-6`, `textbook` or `rfc793` (`tcplab.tcp.profile`)."""
