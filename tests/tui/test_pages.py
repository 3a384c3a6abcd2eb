"""The pages over the screen that follow the lab: the states drawn, and the sequence space."""

from __future__ import annotations

import msgspec
import pytest
from fake_lab import AB, ISS_A, FakeLab, conn, handshake, view
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import UTF8, press, settle
from textual.pilot import Pilot

from tcplab.api import events as ev
from tcplab.api.states import State
from tcplab.tui import shot
from tcplab.tui.app import Watch
from tcplab.tui.draw import diagram, space
from tcplab.tui.draw.glyphs import ASCII, UNICODE, VGA
from tcplab.tui.draw.spans import Line, plain, width
from tcplab.tui.model import MOST_PATHS, Model
from tcplab.units import MS


def text(lines: list[Line]) -> str:
    return "\n".join(plain(line) for line in lines)


async def seen(app: Watch, pilot: Pilot[int], words: str) -> str:
    """The screen once `words` stand on it; a pull comes each fifth of a second, on a busy machine each second."""
    for _ in range(100):
        if words in (drawn := shot.lines_of(app)):
            return drawn
        await pilot.pause(0.1)
    raise AssertionError(f"{words!r} did not come:\n{shot.lines_of(app)}")


# --- states ---------------------------------------------------------------------------------------------------------


def test_every_state_is_drawn() -> None:
    drawn = text(diagram.lines({}, 72, UNICODE))
    assert all(f" {state} " in drawn for state in State)


@pytest.mark.parametrize("state", [state for state in State if state is not State.LISTEN])
def test_both_hosts_stand_beside_their_state_and_nowhere_else(state: State) -> None:
    drawn = diagram.lines({"a": [("SYN_SENT", "connect()"), (state, "x")], "b": []}, 72, UNICODE)
    picture = text(drawn[:24])
    assert picture.count(f"a {state}") == 1
    assert sum("a " in plain(line) and ("a ", "a+") in line for line in drawn[:24]) == 1
    drawn = diagram.lines({"a": [], "b": [(state, "y")]}, 72, UNICODE)
    assert text(drawn[:24]).count(f"{state} b") == 1


def test_the_way_is_told_with_its_reasons() -> None:
    told = text(
        diagram.lines({"a": [("SYN_SENT", "connect()"), ("ESTABLISHED", "SYN,ACK received")], "b": []}, 72, VGA)
    )
    assert "a > SYN_SENT     connect()" in told
    assert "  > ESTAB        SYN,ACK received" in told
    assert "this connection has not been here" in told


def test_a_port_pair_used_again_begins_anew_and_not_all_are_kept() -> None:
    model = Model()
    changes = [("CLOSED", "SYN_SENT"), ("SYN_SENT", "CLOSED"), ("CLOSED", "SYN_SENT")]
    model.fold(ev.StateChanged(at, "a", AB, old, new, "why") for at, (old, new) in enumerate(changes))
    assert model.paths[("a", AB)] == [("SYN_SENT", "why")]
    flood = (ev.StateChanged(9, "b", f"{n}", "LISTEN", "SYN_RECV", "why") for n in range(2 * MOST_PATHS))
    model.fold(flood)
    assert len(model.paths) == MOST_PATHS
    assert ("a", AB) not in model.paths


async def test_the_page_follows_the_lab_and_keeps_what_is_gone() -> None:
    lab = FakeLab(handshake(), view(15 * MS, (conn("a"),), (conn("b"),)))
    app = Watch(lab, environment=UTF8)
    async with app.run_test(size=(120, 48)) as pilot:
        await settle(pilot)
        await press(pilot, "d")
        await seen(app, pilot, "a ESTABLISHED b")
        lab.story.add(ev.StateChanged(20 * MS, "a", AB, "ESTABLISHED", "CLOSED", "abort: SO_LINGER 0", ""))
        lab.upto = len(lab.story.events)
        lab.view = view(20 * MS, (), (conn("b"),))
        drawn = await seen(app, pilot, "abort: SO_LINGER 0")
        assert "  ESTABLISHED b" in drawn
        await press(pilot, "escape")
        assert "States" not in shot.lines_of(app)


# --- the sequence space ---------------------------------------------------------------------------------------------


def test_numbers_count_from_the_isn_also_where_it_wraps() -> None:
    a = conn("a", iss=0xFFFFFF00, snd_una=0xFFFFFF01, snd_nxt=0x400, snd_wnd=5000)
    found = space.of(a, conn("b", rcv_nxt=0xFFFFFF01, recv_q=0, rcv_wnd=5000, ooo=((0x100, 0x200), (0x200, 0x300))))
    assert (found.una, found.nxt, found.got, found.edge) == (1, 0x500, 1, 5001)
    assert found.ooo == [(0x200, 0x400)], "neighbours are one block"


def test_what_is_missing_is_marked() -> None:
    a = conn("a", snd_nxt=ISS_A + 401, sacked=((ISS_A + 201, ISS_A + 301),), lost_out=1)
    b = conn("b", rcv_nxt=ISS_A + 101, recv_q=100, ooo=((ISS_A + 201, ISS_A + 301),))
    rows = text(space.lines(a, b, 51, ASCII)).splitlines()
    sent, has = (next(row for row in rows if name in row)[10:] for name in ("a sent", "b has"))
    assert sent == "." * 20 + "#" * 10 + "." * 10 + " "
    assert has == "#" * 10 + "x" * 10 + "#" * 10 + " " * 11
    assert "     segments taken for lost 1  repeated since 0" in rows


def test_nothing_under_way_and_nobody_at_the_other_end() -> None:
    assert "Nothing is under way" in text(space.lines(conn("a"), conn("b"), 70, UNICODE))
    alone = text(space.lines(conn("a", snd_nxt=ISS_A + 101), None, 70, UNICODE))
    assert "a sent" in alone
    assert "b has" not in alone
    assert "No connection is chosen" in text(space.lines(None, None, 70, UNICODE))


NUMBERS = st.integers(0, 0xFFFFFFFF)
BLOCKS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4).map(tuple)


@settings(deadline=None)
@given(
    st.builds(dict, snd_una=NUMBERS, snd_nxt=NUMBERS, sacked=BLOCKS, ooo=BLOCKS), NUMBERS, NUMBERS, st.integers(36, 150)
)
def test_any_numbers_can_be_drawn(numbers: dict[str, object], nxt: int, queue: int, room: int) -> None:
    a = msgspec.structs.replace(conn("a"), **numbers)
    b = conn("b", rcv_nxt=nxt, recv_q=queue, not_sent=queue)
    bars = [line for line in space.lines(a, b, room, UNICODE) if plain(line)[2:9] in ("a sent ", "b sent ", "a has  ")]
    assert all(width(line) == room for line in bars)


async def test_it_is_drawn_again_with_each_pull() -> None:
    lab = FakeLab(handshake(), view(15 * MS, (conn("a", snd_nxt=ISS_A + 101),), (conn("b"),)))
    app = Watch(lab, environment=UTF8)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "v")
        await seen(app, pilot, "a: in flight 100")
        lab.view = view(20 * MS, (conn("a", snd_una=ISS_A + 101, snd_nxt=ISS_A + 101),), (conn("b"),))
        await seen(app, pilot, "a: in flight 0")
