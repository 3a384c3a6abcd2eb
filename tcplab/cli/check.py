"""`tcplab check`: labs prove themselves."""

from __future__ import annotations

import click

from tcplab.cli import exits


@click.command("check")
@click.argument("labs", nargs=-1, metavar="[LAB|FILE]...")
@click.option("--seeds", type=click.IntRange(1, 1000), default=20, show_default=True, help="Runs with other seeds.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
def command(labs: tuple[str, ...], seeds: int, quiet: bool) -> int:
    """Prove LABS, or all that come with tcplab: each passes as written, and each mutant fails what it names."""
    from tcplab.engines.probe import choose_engine
    from tcplab.lab.check_pack import prove

    engine, notice = choose_engine()
    if engine != "veth":
        click.echo(f"veth is not compared with sim: {notice}", err=True)
    good = bad = unreadable = 0
    for finding in prove(labs, seeds, veth=engine == "veth"):
        good += finding.ok
        bad += not finding.ok
        unreadable += finding.unreadable
        if not finding.ok or not quiet:
            detail = f": {finding.detail}" if finding.detail else ""
            click.echo(f"{'ok    ' if finding.ok else 'WRONG '} {finding.lab}: {finding.what}{detail}")
    click.echo(f"{good} proved, {bad} wrong")
    if unreadable:
        return exits.USAGE
    return exits.FAILED if bad else exits.PASSED
