"""`tcplab compare`: one script on this TCP and on the kernel's, side by side."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from tcplab.cli import exits, options


@click.command("compare")
@click.argument("script", metavar="LAB|FILE|SCRIPT.pkt")
@click.option(
    "--kernel", "seats", type=click.Choice(["a", "b", "both"]), default="both", show_default=True,
    help="Where the kernel's TCP sits; ours is opposite.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(["sim", "veth"]), default="sim", show_default=True,
    help="What carries the frames of our own run, in virtual time.",
)  # fmt: skip
@click.option(
    "--tolerance", type=click.IntRange(0, 100), default=12, show_default=True, metavar="PERCENT",
    help="How late the kernel's timers may be; at least 10 ms.",
)  # fmt: skip
@options.seed
@click.option("--brief", is_flag=True, help="The differences only.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def command(script: str, seats: str, engine: str, tolerance: int, seed: int | None, brief: bool, as_json: bool) -> int:
    """Play SCRIPT on our stack in virtual time and with the kernel's TCP in real time; lay both side by side.

    Exit code 0: no difference but those that are meant (the README lists them), 1: others.
    """
    from tcplab.lab.compare import align, fidelity, report

    if script.endswith(".pkt"):
        if seats != "both" or engine != "sim" or seed is not None:
            text = "a packet script has one host and no wire: --kernel, --engine and --seed are for labs"
            raise exits.Refused(text, exits.USAGE)
        from tcplab.lab.compare import drilled

        ours, linux = drilled.both(Path(script))
    else:
        from tcplab.lab.compare import runs
        from tcplab.lab.exercise import load

        source = load(script)
        linux = runs.linux(source, seed, seats)
        ours = runs.ours(source, seed, engine)
    found = align.compare(ours, linux, align.Tolerance(tolerance))
    unexplained = fidelity.explain(found)
    kernel = f"{platform.system()} {platform.release()}"
    summary = report.of(script, seats, kernel, found, unexplained, linux)
    click.echo(report.as_json(summary) if as_json else report.as_text(summary, brief))
    return exits.FAILED if unexplained else exits.PASSED
