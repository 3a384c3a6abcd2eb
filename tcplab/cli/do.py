"""`tcplab do`: one line of the command language for the running lab."""

from __future__ import annotations

import click

from tcplab.cli import options


@click.command("do", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@options.pid
@click.argument("line", nargs=-1, required=True, metavar="LINE...")
def command(pid: int | None, line: tuple[str, ...]) -> int:
    """Give LINE to the lab that runs on another terminal, as if it was typed in its console.

    For example: tcplab do drop "b>a" flags=SA nth=1
    """
    from tcplab.lab import rendezvous

    session = rendezvous.connect(pid)
    try:
        reply = session.do(" ".join(line))
    finally:
        session.close()
    if reply.text:
        click.echo(reply.text, err=reply.code != 0)
    return reply.code
