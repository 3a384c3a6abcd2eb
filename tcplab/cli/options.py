"""Options and questions that several commands share."""

from __future__ import annotations

import sys
from typing import Final

import click


def rate(text: str) -> tuple[int, int]:
    """Lab time per wall time, `N` or `N/D`, as (numerator, denominator), both from 1 to 1000."""
    above, _, below = text.partition("/")
    try:
        found = int(above), int(below or "1")
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a rate; expected a number such as 2, or 1/10") from None
    if not (0 < found[0] <= 1000 and 0 < found[1] <= 1000):
        raise click.BadParameter(f"{text!r}: both numbers of a rate are from 1 to 1000")
    return found


engine: Final = click.option(
    "--engine",
    type=click.Choice(["veth", "sim"]),
    help="Real namespaces, or all in memory. Default: veth where it works.",
)
seed: Final = click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="The run's seed; each gives its own run.")
pid: Final = click.option(
    "--lab", "pid", type=click.IntRange(1), metavar="PID", help="Of several labs, this process's."
)


def on_terminal() -> bool:
    """Is a person there who sees a screen and can type?"""
    return sys.stdin.isatty() and sys.stdout.isatty()
