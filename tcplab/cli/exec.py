"""`tcplab exec`: a program of this machine inside the network namespace of a host of the running lab."""

from __future__ import annotations

import os
import signal
import sys

import click

from tcplab.cli import exits, options

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@options.pid
@click.argument("host", type=click.Choice(["a", "b"]))
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(pid: int | None, host: str, words: tuple[str, ...]) -> int:
    """Run COMMAND inside HOST: it sees the host's eth0, and reaches the other host's TCP over the lab's wire.

    For example: tcplab exec a -- curl http://10.77.0.2:8080/
    """
    from tcplab.lab import rendezvous

    if words[0] == "--":
        words = words[1:]
    if not words:
        raise click.UsageError("which COMMAND?")
    session = rendezvous.connect(pid)
    try:
        reply, fds = session.fds(host)
    finally:
        session.close()
    if reply.code != exits.PASSED:
        raise exits.Refused(reply.text, reply.code)
    from tcplab.engines.enter import enter

    try:
        enter(fds)
    except PermissionError:
        from tcplab.lab.invocation import as_root_line

        line = as_root_line(["exec", *([] if pid is None else ["--lab", str(pid)]), host, "--", *words])
        raise exits.Refused(f"the lab's namespaces are root's; this enters them:\n  {line}", exits.PERMISSION) from None
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and the program would inherit that
    try:
        os.execvp(words[0], words)
    except FileNotFoundError:
        raise exits.Refused(f"{words[0]}: no such program", _NOT_FOUND) from None
    except OSError as error:
        raise exits.Refused(f"{words[0]}: {error.strerror}", _NOT_EXECUTABLE) from None
