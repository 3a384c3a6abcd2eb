"""`tcplab start`, and `tcplab` alone: an engine process, and the screen in this one."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from tcplab.cli import exits, options

if TYPE_CHECKING:
    from tcplab.lab.session import Remote


@click.command("start")
@click.argument("lab", required=False, metavar="[LAB|FILE]")
@options.engine
@options.seed
@click.option("--rate", type=options.rate, metavar="N[/D]", help="Lab time per wall time at the start. Default: 1.")
def command(lab: str | None, engine: str | None, seed: int | None, rate: tuple[int, int] | None) -> int:
    """Open a lab on the screen: one of `tcplab labs`, a file, or free play without one."""
    if not options.on_terminal():
        name = lab or "LAB"
        raise exits.Refused(f"the screen needs a terminal; without one: tcplab run {name}", exits.USAGE)
    from tcplab.lab.session import SessionEnded, spawn_engine

    # First the engine, which needs root if anybody does; the screen's imports take as long as its start.
    session = spawn_engine(lab, engine or "auto", seed, None if rate is None else f"{rate[0]}/{rate[1]}")
    try:
        return show(session)
    except SessionEnded as ended:
        if engine == "veth" and ended.code in (exits.CANNOT, exits.PERMISSION):
            _again_as_root(ended.why)
        raise


def show(session: Remote) -> int:
    """The screen of a session."""
    try:
        _be_a_person()
        from tcplab.tui import app

        return app.run(session, session.ready().text)
    finally:
        session.close()


def home() -> int:
    """Choose a lab on the home screen, and open it."""
    from tcplab.lab.session import spawn_engine

    session = spawn_engine(None)
    try:
        _be_a_person()
        from tcplab.tui import app

        lab = app.home()
        if lab is None:
            return exits.PASSED
        notice = session.ready().text
        if lab:
            reply = session.do(f"load {lab}")
            if reply.code != exits.PASSED:
                raise exits.Refused(reply.text, reply.code)
        return app.run(session, notice)
    finally:
        session.close()


def _be_a_person() -> None:
    """The screen never runs with root's powers."""
    from tcplab.lab import privileges

    try:
        privileges.give_up_root()
    except OSError as error:
        about = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        text = f"root's powers cannot be given up ({about}), and the screen does not run with them"
        raise exits.Refused(text, exits.CANNOT) from error


def _again_as_root(why: str) -> None:
    """Namespaces were asked for by name and refused: ask for root's, if sudo is there and we are not root already."""
    sudo = shutil.which("sudo")
    if os.geteuid() == 0 or sudo is None:
        return
    from tcplab.lab.invocation import as_root

    click.echo(f"tcplab: {why}\ntcplab: the veth engine was asked for, so this asks for root's rights:", err=True)
    _become(sudo, as_root(sys.argv[1:]))


def _become(program: str, words: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program, words)
