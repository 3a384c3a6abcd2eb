"""`tcplab engine`: the process behind a screen. Started by lab.session.spawn_engine, not by people."""

from __future__ import annotations

import socket
import sys
import traceback

import click

from tcplab.api.messages import Bye
from tcplab.cli import exits, options
from tcplab.engines.errors import EngineError
from tcplab.lab import framing, privileges
from tcplab.lab.errors import LabError


@click.command("engine", hidden=True)
@click.option("--fd", type=int, required=True)
@click.option("--lab")
@click.option("--engine", type=click.Choice(["auto", "veth", "sim", "replay"]), default="auto")
@options.seed
@click.option("--rate", type=options.rate, metavar="N[/D]")
def command(fd: int, lab: str | None, engine: str, seed: int | None, rate: tuple[int, int] | None) -> int:
    """Serve a lab to the screen at the other end of the socket FD, until that is closed."""
    privileges.die_with_parent()
    privileges.adopt_home()
    screen = socket.socket(fileno=fd)
    screen.set_inheritable(False)
    try:
        return _serve(screen, lab, engine, seed, rate)
    except (EngineError, LabError, OSError) as error:
        said = exits.explain(error) or (str(error), exits.CANNOT)
        return _fail(screen, *said)
    except Exception as error:  # a bug of ours: the screen shows it in one line, stderr has the rest
        traceback.print_exc(file=sys.stderr)
        return _fail(screen, f"the engine failed: {type(error).__name__}: {error}", exits.FAILED)


def _serve(screen: socket.socket, lab: str | None, engine: str, seed: int | None, rate: tuple[int, int] | None) -> int:
    from tcplab.cli.host import open_lab

    hosted = open_lab(lab, engine, seed, door=True)
    try:
        hosted.runner.start_paced(*(rate or (1, 1)))
        hosted.server(screen).serve()
    finally:
        hosted.runner.close()
    return exits.PASSED


def _fail(screen: socket.socket, why: str, code: int) -> int:
    try:
        screen.sendall(framing.pack(Bye(why, code)))
    except OSError:  # nobody is there any more
        pass
    return code
