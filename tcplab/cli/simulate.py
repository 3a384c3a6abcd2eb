"""`tcplab simulate`: worlds made at random from one seed, judged by an oracle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from tcplab.cli import exits, options

if TYPE_CHECKING:
    from tcplab.lab.simulate.many import Finding, Total
    from tcplab.lab.simulate.play import Verdict

_DEFAULT: Final = 200
_EVERY: Final = 100


@click.command("simulate")
@click.option("--seeds", type=click.IntRange(1), help=f"How many worlds; {_DEFAULT}, or as many as --minutes allow.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="How long at most.")
@click.option("--replay", metavar="SEED[:MASK]|FILE", help="One world again: a seed, what a finding names, or a plan.")
@click.option("--trace", is_flag=True, help="With --replay: every event, one JSON object a line.")
@click.option("--screen", is_flag=True, help="With --replay: on the screen, up to where it fails.")
@click.option("--plan", "show_plan", is_flag=True, help="With --replay: only the plan, as JSON: a file for --replay.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per failing seed, and one for all.")
def command(
    seeds: int | None, first: int, jobs: int, minutes: float | None, replay: str | None, trace: bool, screen: bool,
    show_plan: bool, as_json: bool,
) -> int:  # fmt: skip
    """Play worlds at random: two hosts, applications of all habits, a wire that loses, copies, holds and damages.

    Every octet must arrive once and in order, every error must have a cause, and nothing may be left behind. A world
    that fails is shrunk to the least that still fails. Exit code 0: nothing was found, 1: something was.
    """
    if screen and (trace or show_plan or as_json):
        raise exits.Refused("--screen shows all of it: --trace, --plan and --json do not go with it", exits.USAGE)
    if screen and replay is not None:
        return _watch(replay)
    if replay is not None:
        return _replay(replay, trace, show_plan, as_json)
    if trace or screen or show_plan:
        raise exits.Refused("--trace, --screen and --plan go with --replay", exits.USAGE)
    from tcplab.lab.simulate import many

    total = many.Total()
    if seeds is None and minutes is None:
        seeds = _DEFAULT
    for verdict in many.run(first, seeds, minutes, jobs):
        total.add(verdict)
        if verdict.kind:
            _tell(many.find(verdict), as_json)
        elif not as_json and sys.stderr.isatty() and not total.seeds % _EVERY:
            click.echo(f"\r{total.seeds} worlds, {total.failed} failed ", nl=False, err=True)
    _sum_up(total, first, as_json)
    return exits.FAILED if total.failed else exits.PASSED


def _tell(finding: Finding, as_json: bool) -> None:
    import msgspec

    from tcplab.lab.simulate.plan import text

    if as_json:
        click.echo(msgspec.json.encode(finding).decode())
        return
    verdict = finding.verdict
    click.echo(f"seed {verdict.seed}: {verdict.text}")
    click.echo(f"  the least that fails so: {len(finding.least)} of {finding.items} items")
    for item in finding.least:
        click.echo(f"    {text(item)}")
    click.echo(f"  again: tcplab simulate --replay {finding.replay} --screen    (or --trace)\n")


def _sum_up(total: Total, first: int, as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(total).decode())
        return
    click.echo(
        f"{total.seeds} worlds from seed {first} on, {total.failed} failed; {total.frames} frames, "
        f"{total.octets} octets, {total.strict} calls of which nothing may go wrong"
    )


def _replay(replay: str, trace: bool, show_plan: bool, as_json: bool) -> int:
    import msgspec

    from tcplab.lab.simulate.many import load
    from tcplab.lab.simulate.play import Play

    plan = load(replay)
    if show_plan:
        click.echo(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode())
        return exits.PASSED
    world = Play(plan, trace)
    verdict = world.run()
    for event in world.trace if trace else ():
        click.echo(msgspec.json.encode(event).decode())
    _say(verdict, as_json or trace)
    return exits.FAILED if verdict.kind else exits.PASSED


def _watch(replay: str) -> int:
    from tcplab.cli import start
    from tcplab.lab.session import spawn_engine
    from tcplab.lab.simulate.many import load

    if not options.on_terminal():
        raise exits.Refused(f"the screen needs a terminal; without one: --replay {replay} --trace", exits.USAGE)
    load(replay)
    return start.show(spawn_engine(replay, "replay"))


def _say(verdict: Verdict, as_json: bool) -> None:
    import msgspec

    from tcplab.units import duration

    if as_json:
        click.echo(msgspec.json.encode(verdict).decode())
        return
    click.echo(verdict.text or "nothing was wrong")
    click.echo(
        f"seed {verdict.seed}, {verdict.frames} frames, {verdict.octets} octets, {duration(verdict.at)} of lab time, "
        f"digest {verdict.digest}"
    )
