"""The command line: one file per command, each loaded only when it is called. Exit codes: cli/exits.py."""

from __future__ import annotations


def main() -> None:
    """The `tcplab` program."""
    from tcplab.cli.group import run

    raise SystemExit(run())
