"""The group of all commands. Their help is here, so that `--help` loads none of them."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

import click

from tcplab import __version__
from tcplab.cli import exits, options

COMMANDS: Final = {
    "start": "Open a lab on the screen.",
    "run": "Run a lab or a script without a screen, and report its checks.",
    "labs": "List the labs and which of them you have passed.",
    "check": "Prove labs: each passes as written, and each mutant fails.",
    "drill": "Play packet scripts (.pkt) against this TCP, or the kernel's.",
    "compare": "Play a script on this TCP and on the kernel's, side by side.",
    "simulate": "Play worlds made at random from a seed, and look for what must not happen.",
    "do": "Give a line of the command language to the running lab.",
    "exec": "Run a program of this machine inside host a or b.",
    "doctor": "Say what this machine allows, and why not more.",
}
HIDDEN: Final = ("engine",)

_HELP: Final = """Two hosts, one wire, and a TCP that says why it sends each segment.

Without a command: choose a lab on the screen."""


class Commands(click.Group):
    """Finds a command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load it; None if there is none of that name."""
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        command = importlib.import_module(f"tcplab.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table in the help, from COMMANDS alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands, help=_HELP, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="tcplab", message="%(prog)s %(version)s")
@click.pass_context
def tcplab(context: click.Context) -> int:
    """Without a command: the home screen on a terminal, else the help."""
    if context.invoked_subcommand is not None:
        return exits.PASSED
    if not options.on_terminal():
        click.echo(context.get_help())
        return exits.PASSED
    from tcplab.cli.start import home

    return home()


def run() -> int:
    """Run the command line of this process; the exit code."""
    try:
        code = tcplab.main(prog_name="tcplab", standalone_mode=False)
        sys.stdout.flush()
    except exits.Refused as error:
        click.echo(f"tcplab: {error.message}", err=True)
        return error.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:  # `tcplab labs | head -1`; the interpreter's own flush must not fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.PASSED
    except Exception as error:
        said = exits.explain(error)
        if said is None:
            raise
        click.echo(f"tcplab: {said[0]}", err=True)
        return said[1]
    return code if isinstance(code, int) else exits.PASSED
