"""`tcplab drill`: packet scripts in packetdrill's language."""

from __future__ import annotations

from pathlib import Path

import click

from tcplab.cli import exits


@click.command("drill")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path))
@click.option("--stack", type=click.Choice(["ours", "kernel"]), default="ours", show_default=True, help="Whose TCP.")
@click.option(
    "--exact",
    is_flag=True,
    help="Times to the microsecond (ours): calls take none; and nothing is left on the wire at the end.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per script.")
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME=VALUE", help="What a word stands for.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="So many at a time: the kernel's take real time, and mostly wait.",
)
@click.option("--quiet", is_flag=True, help="Only the summary.")
def command(
    paths: tuple[Path, ...],
    stack: str,
    exact: bool,
    as_json: bool,
    defines: tuple[str, ...],
    jobs: int,
    quiet: bool,
) -> int:
    """Play packet scripts, files or all below a folder; 0 when each one passed.

    Commands in backticks are never run: sysctl and a few others are understood and done to the host under test.
    """
    import msgspec

    from tcplab.lab.drill import drill

    meant: dict[str, str] = {}
    for define in defines:
        name, equals, value = define.partition("=")
        if not equals:
            raise exits.Refused(f"-D takes NAME=VALUE, not {define!r}", exits.USAGE)
        meant[name] = value
    try:
        files = list(drill.scripts(list(paths)))
    except FileNotFoundError as missing:
        raise exits.Refused(str(missing), exits.USAGE) from None
    if not files:
        raise exits.Refused("there is no .pkt file in that folder", exits.USAGE)
    verdicts = []
    for verdict in drill.play_all(files, stack, exact, meant, jobs):
        verdicts.append(verdict)
        if as_json:
            click.echo(msgspec.json.encode(verdict).decode())
        elif not quiet and verdict.status != drill.PASSED:
            click.echo(f"{verdict.status}: {verdict.text}\n")
    if not as_json:
        click.echo(drill.summary(verdicts))
    statuses = {verdict.status for verdict in verdicts}
    if drill.FAILED in statuses:
        return exits.FAILED
    if drill.REFUSED in statuses:
        return exits.USAGE
    return exits.CANNOT if drill.NOT_HERE in statuses else exits.PASSED
