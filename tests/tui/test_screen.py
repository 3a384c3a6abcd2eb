"""The screen on a lab made of words: what is seen at which size, and what each key asks of the lab."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from fake_lab import ISS_A, ISS_B, FakeLab, Story, conn, exercise, flooded, handshake, rto, view
from pictures import UTF8, matches, press, settle
from textual.pilot import Pilot

from tcplab.lab.session import SessionEnded
from tcplab.tui import keys, shot
from tcplab.tui.app import Watch, report
from tcplab.tui.screens.inject import Inject
from tcplab.tui.screens.layout import arrange
from tcplab.tui.screens.lost import Lost
from tcplab.tui.screens.pager import Pager
from tcplab.units import MS, SEC


@asynccontextmanager
async def shown(
    lab: FakeLab, size: tuple[int, int] = (160, 48), environment: dict[str, str] = UTF8
) -> AsyncIterator[tuple[Watch, Pilot[int]]]:
    app = Watch(lab, environment=environment)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield app, pilot


def quiet() -> FakeLab:
    return FakeLab(handshake(), view(15 * MS, (conn("a"),), (conn("b"),)))


def holed() -> FakeLab:
    """Of ten segments two are missing; b has read the first thousand octets, and has more to send than a's window."""
    mss, left, gaps = 1448, ISS_A + 1 + 1448, ((3 * 1448, 6 * 1448), (7 * 1448, 9 * 1448))
    blocks = tuple((left + first, left + end) for first, end in gaps)
    a = conn("a", snd_una=left, snd_nxt=left + 9 * mss, not_sent=3000, sacked=blocks[:1], lost_out=2, retrans_out=1)
    a = msgspec.structs.replace(a, rcv_nxt=ISS_B + 5001, rcv_wnd=0, recv_q=5000)
    b = conn("b", rcv_nxt=left + 2 * mss, recv_q=3 * mss - 1000, ooo=blocks, rcv_wnd=11 * mss)
    b = msgspec.structs.replace(b, snd_una=ISS_B + 5001, snd_nxt=ISS_B + 5001, not_sent=900, snd_wnd=0)
    return FakeLab(handshake(), view(15 * MS, (a,), (b,)))


def asking(given: str = "") -> FakeLab:
    about = exercise("predict", given)
    return FakeLab(handshake(), view(15 * MS, (conn("a"),), (conn("b"),), exercise=about, playing=False))


def finished() -> FakeLab:
    return FakeLab(handshake(), view(15 * MS, (conn("a"),), (conn("b"),), exercise=exercise("done", "server")))


@pytest.mark.parametrize(
    ("name", "lab", "size", "pressed"),
    [
        ("main-160x48", flooded, (160, 48), ()),
        ("main-120x36", flooded, (120, 36), ()),
        ("wire-80x24", flooded, (80, 24), ()),
        ("host-b-80x24", flooded, (80, 24), ("3",)),
        ("tcb-80x24", flooded, (80, 24), ("4",)),
        ("log-80x24", flooded, (80, 24), ("6",)),
        ("predict-80x24", asking, (80, 24), ()),
        ("done-80x24", finished, (80, 24), ("5",)),
        ("inject-80x24", flooded, (80, 24), ("i",)),
        ("states-160x48", flooded, (160, 48), ("d",)),
        ("space-160x48", holed, (160, 48), ("v",)),
        ("space-80x24", holed, (80, 24), ("v",)),
        ("wire-50x16", flooded, (50, 16), ()),
        ("too-small", flooded, (38, 9), ()),
    ],
)
async def test_pictures_in_text(name: str, lab: object, size: tuple[int, int], pressed: tuple[str, ...]) -> None:
    async with shown(lab(), size) as (app, pilot):  # type: ignore[operator]
        await press(pilot, *pressed)
        matches(name, shot.lines_of(app))


async def test_a_small_terminal_says_that_a_text_goes_on() -> None:
    lab = asking()
    long = msgspec.structs.replace(lab.view.exercise, brief="One word after the other. " * 80)
    lab.view = msgspec.structs.replace(lab.view, exercise=long)
    async with shown(lab, (80, 24)) as (app, pilot):
        assert "[5 Lab 0/2 ▼]" in shot.lines_of(app)
        await press(pilot, "pagedown", "pagedown", "pagedown")
        assert "[5 Lab 0/2]" in shot.lines_of(app)


async def test_gauges_stay_in_sight_above_a_long_syn_queue() -> None:
    lab = flooded()
    (listener,) = lab.view.b.listeners
    entry = listener.syn_queue[0]
    queue = tuple(msgspec.structs.replace(entry, conn=f"{entry.conn}{n}", peer=f"203.0.113.{n}:9") for n in range(60))
    busy = msgspec.structs.replace(listener, syn_queue=queue, syn_len=60, syn_limit=60)
    other = msgspec.structs.replace(listener, local="0.0.0.0:81", port=81, syn_queue=(), syn_len=0)
    lab.view = msgspec.structs.replace(lab.view, b=msgspec.structs.replace(lab.view.b, listeners=(other, busy)))
    async with shown(lab, (80, 24)) as (app, pilot):
        await press(pilot, "3", "G")
        drawn = shot.lines_of(app)
        assert "> :80          203.0.113.59:9" in drawn
        assert "60/60 FULL" in drawn
        assert "b :80 SYN_RECV synq 60/60" in drawn, "the chosen one's listener, not the first"
        await press(pilot, "g")
        assert "> :80          203.0.113.59:9" not in shot.lines_of(app)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("space", "pause"),
        ("full_stop", "step"),
        ("greater_than_sign", "next"),
        ("J", "jump"),
        ("left_square_bracket", "rate 1/2"),
        ("right_square_bracket", "rate 2"),
        ("backspace", "rate 1"),
        ("minus", "clear"),
        ("c", "check"),
        ("h", "hint"),
    ],
)
async def test_keys_are_lines_of_the_language_and_are_echoed(key: str, line: str) -> None:
    lab = quiet()
    async with shown(lab, (100, 30)) as (app, pilot):
        await press(pilot, key)
        assert lab.lines == [line]
        assert f"› {line}" in shot.lines_of(app)


async def test_the_badge_says_paused_and_what_comes_next() -> None:
    async with shown(quiet()) as (app, pilot):
        assert "► RUN ×1" in shot.lines_of(app)
        await press(pilot, "space")
        text = shot.lines_of(app)
        assert "PAUSED" in text
        assert "next: RTO a:40001 +72 ms" in text
        await press(pilot, "full_stop")
        assert "STEP" in shot.lines_of(app)


async def test_help_and_quit_are_never_cut() -> None:
    for columns in (160, 80, 60, 40):
        async with shown(quiet(), (columns, 24)) as (app, _):
            assert shot.lines_of(app).splitlines()[-1].endswith("? help  q quit")


async def test_quit_asks_once() -> None:
    async with shown(quiet()) as (app, pilot):
        await press(pilot, "q")
        assert "press q again" in shot.lines_of(app)
        assert app.is_running
        await pilot.press("q")
        await pilot.pause()
        assert app.return_value == 0


async def test_choosing_a_row_stops_following_and_enter_tells_all() -> None:
    async with shown(flooded()) as (app, pilot):
        await press(pilot, "up", "up")
        assert "stands still, G follows" in shot.lines_of(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, Pager)
        assert "why " in shot.lines_of(app)
        await press(pilot, "escape", "G")
        assert "follow ▼" in shot.lines_of(app)


async def test_raw_numbers() -> None:
    async with shown(quiet()) as (app, pilot):
        await press(pilot, "r")
        assert "seq 2069516798" in shot.lines_of(app)


async def test_the_menu_runs_a_line_and_repeats_it() -> None:
    lab = flooded()
    async with shown(lab) as (app, pilot):
        await press(pilot, "i")
        assert isinstance(app.screen, Inject)
        await press(pilot, "1")
        await press(pilot, "I")
        await press(pilot, "i", "down", "tab")
        await press(pilot, *["backspace"] * len("nth=1"), *["n", "t", "h", "=", "2"], "enter")
        await press(pilot, "i", "x")
        assert lab.lines == [
            "drop b>a flags=SA nth=1",
            "drop b>a flags=SA nth=1",
            "drop a>b flags=S nth=2",
            "inject rst c1 to=b seq=exact",
        ]


async def test_predictions_lock_one_after_the_other_and_then_it_runs_on() -> None:
    lab = asking()
    async with shown(lab, (80, 24)) as (app, pilot):
        text = shot.lines_of(app)
        assert "Which side is ESTABLISHED first?" in text
        await press(pilot, "space")
        assert lab.lines == []
        await press(pilot, "b", "enter")
        assert lab.lines == ["predict first server"]
        assert "relative ack number" in shot.lines_of(app)
        await press(pilot, "1", "enter")
        assert lab.lines[-1] == "predict ack 1"
        assert "Locked." in shot.lines_of(app)
        await press(pilot, "enter")
        assert lab.lines[-1] == "play"


async def test_arrows_choose_an_answer() -> None:
    lab = asking()
    async with shown(lab) as (_, pilot):
        await press(pilot, "down", "down", "enter")
        assert lab.lines == ["predict first client"]


async def test_the_debrief_shows_the_own_wrong_answer() -> None:
    async with shown(finished()) as (app, _):
        text = shot.lines_of(app)
        assert "× you said the server" in text
        assert "Often believed:" in text
        assert "In truth:" in text


async def test_the_console_runs_recalls_and_completes() -> None:
    lab = quiet()
    async with shown(lab, (80, 24)) as (app, pilot):
        await press(pilot, "colon", *"nonsense", "enter")
        assert lab.lines[-1] == "nonsense"
        assert "is not a command" in shot.lines_of(app)
        await press(pilot, "colon", "up", "enter")
        assert lab.lines[-1] == "nonsense"
        await press(pilot, "colon", *"dr", "tab")
        assert "drop a>b|b>a" in shot.lines_of(app)
        await press(pilot, "escape", "space")
        assert lab.lines[-1] == "pause"


async def test_restart_asks_and_forgets_the_old_run() -> None:
    lab = flooded()
    async with shown(lab) as (app, pilot):
        await press(pilot, "R")
        assert lab.lines == []
        await press(pilot, "R")
        assert lab.lines == ["restart"]
        assert app.feed.model.segments == 0


async def test_a_listener_explains_its_limits() -> None:
    async with shown(flooded(), (80, 24)) as (app, pilot):
        await press(pilot, "3", "l")
        assert "backlog 4, plus 1" in shot.lines_of(app)


async def test_digits_show_one_pane_and_zoom_comes_back() -> None:
    async with shown(flooded()) as (app, pilot):
        await press(pilot, "2", "z")
        assert "Events" not in shot.lines_of(app)
        await press(pilot, "z")
        assert "Events" in shot.lines_of(app)
    async with shown(flooded(), (120, 36)) as (app, pilot):
        await press(pilot, "1", "enter")
        assert "TCB a:40001 → b:80" in shot.lines_of(app)
        await press(pilot, "2")
        assert "Events" in shot.lines_of(app)


async def test_a_timer_counts_down() -> None:
    lab = FakeLab(handshake(), view(250 * MS, (conn("a", "SYN_SENT", timers=rto(0, SEC, 2)),), ()))
    async with shown(lab) as (app, pilot):
        assert "0.2/1 s" in shot.lines_of(app)
        assert "RTO 2 of 6" in shot.lines_of(app)
        lab.view = msgspec.structs.replace(lab.view, t=750 * MS)
        await pilot.pause(0.3)
        assert "0.7/1 s" in shot.lines_of(app)


async def test_an_empty_lab_says_what_to_do() -> None:
    async with shown(FakeLab(Story(), view(0, (), ())), (80, 24)) as (app, pilot):
        assert "No segment yet." in shot.lines_of(app)
        await press(pilot, "1")
        assert "No connection yet." in shot.lines_of(app)


async def test_a_lost_session_says_what_happened_and_what_to_do() -> None:
    lab = quiet()
    async with shown(lab, (80, 24)) as (app, pilot):
        lab.ended = SessionEnded("the engine is gone", 3)
        await pilot.pause(0.3)
        assert isinstance(app.screen, Lost)
        assert "the engine is gone" in shot.lines_of(app)
        assert "What to do" in shot.lines_of(app)
        await pilot.press("q")
        await pilot.pause()
        assert app.return_value == 3


async def test_without_colour_there_is_none_and_the_cursor_is_reversed() -> None:
    async with shown(flooded(), (80, 24), {**UTF8, "NO_COLOR": "1"}) as (app, pilot):
        await press(pilot, "up")
        styles = [seg.style for strip in app.screen._compositor.render_strips() for seg in strip if seg.style]
        assert app.native_ansi_color
        assert any(style.reverse for style in styles)
        assert "> " in shot.lines_of(app)
        filtered = app.screen.query_one("#wire").render_line(3)
        assert all(seg.style is None or seg.style.color is None for seg in filtered)


async def test_an_empty_no_color_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    app = Watch(quiet())
    assert app.ink.colour
    assert not app.no_color
    assert os.environ["NO_COLOR"] == ""


async def test_ascii_draws_with_ascii_alone() -> None:
    async with shown(flooded(), (120, 36), {"LANG": "C", "TERM": "vt100"}) as (app, _):
        assert shot.lines_of(app).isascii()


def test_the_wire_is_never_below_sixty() -> None:
    for width in range(112, 200):
        for height in (30, 40, 48):
            layout = arrange(width, height, "2", False)
            assert width - 2 * layout.side >= 60


def test_every_key_has_an_action_and_no_two_share_a_key() -> None:
    from tcplab.tui.screens.main import Main

    every = [key for row in keys.TABLE for key in row.keys.split(",")]
    assert len(every) == len(set(every))
    for row in keys.TABLE:
        assert hasattr(Main, "action_" + row.action.partition("(")[0])


def test_pictures_are_the_same_twice(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        shot.screenshot(flooded(), tmp_path / name, (100, 30))
    assert (tmp_path / "one.svg").read_text() == (tmp_path / "two.svg").read_text()
    assert "<svg" in (tmp_path / "one.svg").read_text()


def test_the_report_is_one_line() -> None:
    text = report(finished().view, 3)
    assert text == "tcplab handshake, 1 of 2 checks passed, 3 segments, lab time 00:00.015, veth, seed 1"
