"""`tcplab labs`: the catalogue."""

from __future__ import annotations

import click


@click.command("labs")
def command() -> None:
    """List the labs by track, with level and length, and which of them you have passed."""
    from tcplab.lab import catalogue, progress

    labs, passed = catalogue.all(), progress.passed()
    width = max((len(lab.id) for lab in labs), default=0)
    track = max((len(lab.track) for lab in labs), default=0)
    for lab in labs:
        mark = "passed" if lab.id in passed else ""
        head = f"{lab.track:<{track}}  {lab.id:<{width}}  {'*' * lab.level:<3}"
        click.echo(f"{head}  {lab.minutes:>3} min  {mark:<6}  {lab.title}")
    done = sum(lab.id in passed for lab in labs)
    click.echo(f"\n{done} of {len(labs)} passed. Open one with: tcplab start {labs[0].id if labs else 'LAB'}")
