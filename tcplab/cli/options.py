"""Options and questions that several commands share."""

from __future__ import annotations

import sys
from typing import Any, Final

import click


class Rate(click.ParamType):
    """Lab time per wall time: `N` or `N/D`."""

    name = "N[/D]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(numerator, denominator), both above 0."""
        if isinstance(value, tuple):
            return value
        above, _, below = str(value).partition("/")
        try:
            rate = int(above), int(below or "1")
        except ValueError:
            self.fail(f"{value!r} is not a rate; expected a number such as 2, or 1/10", param, ctx)
        if not (0 < rate[0] <= 1000 and 0 < rate[1] <= 1000):
            self.fail(f"{value!r}: both numbers of a rate are from 1 to 1000", param, ctx)
        return rate


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
