"""Memory is deterministic, so it is held: what a connection and a half-open entry may cost."""

from __future__ import annotations

from support.memory import per_connection, per_half_open


def test_an_idle_connection_stays_small() -> None:
    assert per_connection(500) < 4096


def test_a_half_open_entry_stays_smaller() -> None:
    assert per_half_open(500) < 1024
