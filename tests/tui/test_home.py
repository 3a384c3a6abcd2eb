"""Home: what is listed, how one is found and chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pictures import UTF8, matches, press, settle
from textual.pilot import Pilot

from tcplab.lab import catalogue
from tcplab.tui import shot
from tcplab.tui.app import Home
from tcplab.tui.screens import home
from tcplab.tui.screens.home import Item

LISTED = [
    Item("", "Free play", goal="Two hosts, and everything that can go wrong."),
    Item("handshake", "Three segments", "opening", 1, 8, "Read an open.", passed="2026-01-02"),
    Item("syn-retry", "The doubling ladder", "opening", 1, 6, "Compute when connect() gives up.", ("handshake",)),
    Item("two-queues", "Where a connection waits", "queues", 2, 10, "Name the queue.", ("handshake",)),
    *(Item(f"close-{n}", f"Closing, part {n}", "closing", 3, n, "Say who is in TIME_WAIT.") for n in range(1, 31)),
]


@pytest.fixture(autouse=True)
def _listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "items", lambda: LISTED)


@asynccontextmanager
async def shown(size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Home, Pilot[str]]]:
    app = Home(UTF8)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield app, pilot


def chosen(app: Home) -> str:
    """The title behind the cursor."""
    row = next(line for line in shot.lines_of(app).splitlines() if "> " in line)
    return row.split("> ")[1][2:].split("  ")[0]


@pytest.mark.parametrize("size", [(160, 48), (80, 24), (60, 18)])
async def test_pictures_in_text(size: tuple[int, int]) -> None:
    async with shown(size) as (app, _):
        matches(f"home-{size[0]}x{size[1]}", shot.lines_of(app))


async def test_what_was_not_passed_yet_is_chosen_first_and_keys_move() -> None:
    async with shown() as (app, pilot):
        for keys, title in (
            ((), "The doubling ladder"),
            (("down",), "Where a connection waits"),
            (("k", "up"), "Three segments"),
            (("G",), "Closing, part 30"),
            (("pageup",), "Closing, part 20"),
            (("g", "k"), "Free play"),
            (("j",), "Three segments"),
        ):
            await press(pilot, *keys)
            assert chosen(app) == title


@pytest.mark.parametrize(("keys", "lab"), [(("enter",), "syn-retry"), (("space",), "syn-retry"), (("g", "enter"), "")])
async def test_enter_takes_it(keys: tuple[str, ...], lab: str) -> None:
    async with shown() as (app, pilot):
        await press(pilot, *keys)
    assert app.return_value == lab


@pytest.mark.parametrize("key", ["q", "escape", "ctrl+q"])
async def test_leaving_takes_nothing(key: str) -> None:
    async with shown() as (app, pilot):
        await press(pilot, key)
        assert not app.is_running or app._exit
    assert app.return_value is None


async def test_the_filter_wants_every_word_and_letters_are_letters() -> None:
    async with shown() as (app, pilot):
        await press(pilot, "slash", *"queue")
        assert chosen(app) == "Where a connection waits"
        assert "Closing" not in shot.lines_of(app)
        await press(pilot, "space", *"jkq")
        text = shot.lines_of(app)
        assert "queue jkq" in text
        assert "Nothing has these words; esc shows all." in text
        await press(pilot, "enter")
        assert app.return_value is None, "there is nothing to start"
        await press(pilot, "escape")
        assert "Closing, part 1" in shot.lines_of(app)
        assert chosen(app) == "Where a connection waits", "what was found stays chosen"


async def test_a_filter_moves_and_starts() -> None:
    async with shown() as (app, pilot):
        await press(pilot, "slash", *"time_wait deep", "down", "down")
        assert chosen(app) == "Closing, part 3"
        await press(pilot, "enter")
    assert app.return_value == "close-3"


async def test_a_click_chooses_also_where_the_list_has_moved() -> None:
    async with shown() as (app, pilot):
        await press(pilot, "G")
        rows = shot.lines_of(app).splitlines()
        at = next(y for y, row in enumerate(rows) if "Closing, part 25" in row)
        await pilot.click("#list", offset=(8, at - 1))
        await settle(pilot)
        assert chosen(app) == "Closing, part 25"


def test_the_catalogue_is_listed_behind_free_play(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    listed = home.items()
    assert listed[0].id == ""
    assert [item.id for item in listed[1:]] == [info.id for info in catalogue.all()]
