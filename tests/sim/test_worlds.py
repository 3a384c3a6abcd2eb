"""Worlds made at random: a default share of the seeds, the same seed twice, and with the trace on."""

from __future__ import annotations

import pytest

from tcplab.lab.simulate import draw, many
from tcplab.lab.simulate.plan import Plan, Step, text
from tcplab.lab.simulate.play import Play, play

SEEDS = 150
BATCH = 10


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_nothing_happens_that_must_not(first: int) -> None:
    verdicts = [play(draw.plan(seed)) for seed in range(first, first + BATCH)]
    assert [verdict.text for verdict in verdicts if verdict.kind] == []
    assert sum(verdict.octets for verdict in verdicts), "something was said"
    assert sum(verdict.strict for verdict in verdicts), "of some calls nothing may go wrong"


@pytest.mark.parametrize("seed", range(0, SEEDS, 15))
def test_the_same_seed_does_the_same_traced_or_not(seed: int) -> None:
    plan = draw.plan(seed)
    assert play(plan) == play(plan) == play(plan, trace=True)


@pytest.mark.parametrize("seed", range(7, SEEDS, 35))
def test_each_frame_of_a_traced_world_has_its_reason(seed: int) -> None:
    world = Play(draw.plan(seed), trace=True)
    world.run()
    sent = [event for event in world.trace if type(event).__name__ == "Sent"]
    assert all(event.why for event in sent)  # type: ignore[union-attr]
    assert len(sent) >= world.world.frames


def test_worlds_differ() -> None:
    digests = {play(draw.plan(seed)).digest for seed in range(20)}
    assert len(digests) == 20


def test_all_that_can_be_uncommon_is_drawn_now_and_then() -> None:
    drawn = set()
    for seed in range(400):
        for item in draw.plan(seed).items:
            name = type(item).__name__
            drawn |= {name, *(f"{name} {getattr(item, field, '')}" for field in ("kind", "how", "op", "name"))}
    for wanted in (
        "Spoil lose", "Spoil copy", "Spoil hold", "Spoil damage", "Wrap", "Path", "Call both", "Call own", "Call early",
        "Call later", "Step abort", "Step close", "Step shut", "Step deaf", "Step again", "Step peek", "Forge flood",
        "Forge reset exact", "Forge SACK", "Knob tcp_rmem", "Knob tcp_syncookies", "Option TCP_DEFER_ACCEPT",
    ):  # fmt: skip
        assert wanted in drawn, wanted


def test_leaving_items_out_does_not_change_what_the_others_draw() -> None:
    """What chance decides while a world runs is drawn from streams of the items' own."""
    plan = next(plan for plan in map(draw.plan, range(100)) if len(plan.items) > 8)
    half = plan.only(0b1010101010)
    assert [item in plan.items for item in half.items] == [True] * len(half.items)
    assert play(half) == play(plan.only(0b1010101010))


def test_a_plan_can_be_named_and_written_down() -> None:
    import msgspec

    plan = many.named("5")
    assert plan == draw.plan(5)
    assert many.named("5:3").items == plan.items[:2]
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert text(Step(1, "caller", "write", "write", 10)) == "step   call=1 side=caller part=write op=write n=10"


def test_seeds_in_several_processes_come_in_order() -> None:
    alone = [verdict.digest for verdict in many.run(30, 30, None, 1)]
    assert [verdict.digest for verdict in many.run(30, 30, None, 2)] == alone
