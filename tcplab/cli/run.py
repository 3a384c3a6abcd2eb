"""`tcplab run`: a lab without a screen."""

from __future__ import annotations

import sys
import time
from typing import BinaryIO

import click

from tcplab.cli import exits, options


@click.command("run")
@click.argument("lab", metavar="LAB|FILE")
@options.engine
@options.seed
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
@click.option(
    "--pcap", type=click.File("wb", lazy=False), help="Write the frames as pcapng, each with its reason as comment."
)
@click.option("--trace", type=click.File("wb", lazy=False), help="Write all events as JSON, one a line.")
@click.option(
    "--rate",
    type=options.rate,
    metavar="N[/D]",
    help="Run in real time at this rate; `do` and `exec` work meanwhile. Default: at once.",
)
def command(
    lab: str,
    engine: str | None,
    seed: int | None,
    as_json: bool,
    pcap: BinaryIO | None,
    trace: BinaryIO | None,
    rate: tuple[int, int] | None,
) -> int:
    """Run LAB to its end and report its checks. Exit code 0: all passed (or there are none), 1: one failed."""
    from tcplab.cli import report
    from tcplab.cli.host import open_lab

    hosted = open_lab(lab, engine or "auto", seed, door=rate is not None)
    runner = hosted.runner
    try:
        began = time.monotonic()
        if rate is None:
            runner.run_headless()
        else:
            runner.start_paced(*rate, headless=True)
            hosted.server().serve(until=lambda: runner.ended)
        wall = time.monotonic() - began
        if pcap is not None:
            pcap.write(runner.world.pcapng())
            pcap.flush()  # here, so that a full disk is an error and not a silence
        if trace is not None:
            report.write_trace(runner.events, trace)
            trace.flush()
        summary = report.summarize(lab, runner, wall)
    finally:
        runner.close()
    to_stderr = sys.stdout.buffer in (pcap, trace)
    click.echo(report.as_json(summary) if as_json else report.as_text(summary), err=to_stderr)
    return exits.FAILED if summary.passed is False else exits.PASSED
