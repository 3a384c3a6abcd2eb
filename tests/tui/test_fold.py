"""The fold: what becomes of events. Pure: no screen."""

from __future__ import annotations

import msgspec
from fake_lab import AB, BA, FRAME, A, Story, handshake, trouble

from tcplab.api.events import Called, Dropped, Named, Queue, Ran, Sent, StateChanged, Timer
from tcplab.tui.draw import detail, ladder
from tcplab.tui.draw.glyphs import ASCII, UNICODE, VGA, choose
from tcplab.tui.draw.spans import plain, width
from tcplab.tui.model import ALIKE, CROWD, MOST_ENTRIES, MOST_ROWS, Model, Note, Row, fold_text, label
from tcplab.units import MS, SEC


def folded(story: Story) -> Model:
    model = Model()
    model.fold(story.events)
    return model


def drawn(model: Model, room: int = 90, raw: bool = False) -> list[str]:
    return [plain(ladder.row_line(row, ladder.columns(room), UNICODE, raw)) for row in model.rows]


def segments(model: Model) -> list[Row]:
    return [row for row in model.rows if row.kind == "segment"]


def test_states_stand_at_the_host_that_entered_them() -> None:
    syn, syn_ack, ack = segments(folded(handshake()))
    assert [note.text for note in syn.notes["a"]] == ["SYN_SENT"]
    assert [note.text for note in syn.notes["b"]] == ["SYN_RECV"]
    assert [note.text for note in syn_ack.notes["a"]] == ["ESTABLISHED".replace("LISHED", "")]
    assert [note.text for note in ack.notes["b"]] == ["ESTAB"]
    assert {row.fate for row in (syn, syn_ack, ack)} == {"arrived"}


def test_a_loss_is_a_cross_inside_the_arrow_and_a_repeat_says_so() -> None:
    lines = drawn(folded(handshake(lose_syn_ack=True)))
    lost = next(line for line in lines if "×" in line)
    assert "SYN,ACK seq 0 ack 1 ╌╌╌│" in lost
    repeat = next(line for line in lines if "RTX SYN " in line)
    assert "►►│" in repeat
    assert " RTO #1 │" in repeat
    assert any("│◄◄─── RTX SYN,ACK" in line for line in lines)


def test_a_drop_by_the_host_reaches_the_bar_and_says_why() -> None:
    line = next(line for line in drawn(folded(trouble())) if "synq" in line)
    assert "►│ × synq full" in line


def test_forged_segments_start_in_the_middle_and_their_answers_end_there() -> None:
    lines = drawn(folded(trouble()))
    forged = next(line for line in lines if "(forged)" in line)
    assert "  x─── SYN seq 0" in forged
    assert any("  x◄─── SYN,ACK" in line for line in lines)


def test_every_line_is_exactly_as_wide_as_asked() -> None:
    model = folded(trouble())
    for room in range(36, 140):
        for row in model.rows:
            for glyphs in (UNICODE, VGA, ASCII):
                assert width(ladder.row_line(row, ladder.columns(room), glyphs, True)) == room, (room, row)


def test_no_sign_of_the_ascii_set_is_beyond_ascii() -> None:
    model = folded(trouble())
    for row in model.rows:
        assert plain(ladder.row_line(row, ladder.columns(80), ASCII, False)).isascii()


def test_signs_are_chosen_by_locale_and_terminal() -> None:
    assert choose({"LANG": "C.UTF-8", "TERM": "xterm"}) is UNICODE
    assert choose({"LANG": "C", "TERM": "xterm"}) is ASCII
    assert choose({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}) is ASCII
    assert choose({"LANG": "en_US.UTF-8", "TERM": "linux"}) is VGA
    assert choose({"TCPLAB_GLYPHS": "vga"}) is VGA


def test_numbers_are_relative_or_raw() -> None:
    syn_ack = segments(folded(handshake()))[1].sent
    assert syn_ack is not None
    assert label(syn_ack) == "SYN,ACK seq 0 ack 1"
    assert label(syn_ack, raw=True) == "SYN,ACK seq 2296695351 ack 2069516799"
    assert label(syn_ack, room=15) == "SYN,ACK seq 0"


def test_each_host_uses_the_name_of_its_own_application() -> None:
    model = Model()
    model.fold([Named(0, "a", "c1", AB, "a"), Named(0, "b", "c1", BA, "a")])
    assert (model.name(AB), model.name(BA)) == ("c1", "c1")
    model.fold([Named(1, "b", "s1", BA, "b"), Named(1, "a", "s1", AB, "b")])
    assert (model.name(AB), model.name(BA)) == ("c1", "s1")


def test_of_data_the_numbers_are_told_first() -> None:
    data = Sent(0, 1, "a", "b", b"", "tcp", "", "why", flags="PA", rseq=15_929, len=1448, win=64)
    assert label(data) == "PSH,ACK 15929:17377(1448)"
    assert label(data, room=24) == "PSH 15929:17377(1448)"
    assert label(data, room=20) == "PSH 15929:17377"
    assert label(data, room=14) == "PSH,ACK"
    again = msgspec.structs.replace(data, rtx=True, flags="A")
    assert [label(again, room=room) for room in (30, 24, 18, 6)] == [
        "RTX ACK 15929:17377(1448)", "RTX 15929:17377(1448)", "RTX 15929:17377", "RTX AC",
    ]  # fmt: skip
    assert label(msgspec.structs.replace(again, rtx=False), room=18) == "15929:17377(1448)"


def test_of_several_notes_the_one_that_tells_most_is_drawn() -> None:
    small, timer, state = Note("cwnd 10>1", minor=True), Note("RTO #1"), Note("ESTAB")
    for notes, drawn in (
        ([timer, small], "RTO #1"),
        ([small, timer, state], "ESTAB"),
        ([state, timer], "ESTAB"),
        ([small], "cwnd 10>1"),
        ([Note("held: pacing")], " held pacing"),  # as long as the column is wide
    ):
        row = Row("segment", 0, 1, sent=segments(folded(handshake()))[0].sent, notes={"a": notes, "b": []})
        assert drawn in plain(ladder.row_line(row, ladder.columns(80), ASCII, False))


def test_what_is_sacked_is_told_as_far_as_there_is_room() -> None:
    told = Sent(
        0, 1, "a", "b", b"", "tcp", "", "why", flags="A", rack=6, win=64,
        opts="nop,nop,TS val 1 ecr 2,nop,nop,sack 2 {1454:2902} {4006:5454}",
    )  # fmt: skip
    assert label(told) == "ACK ack 6 SACK 1454:2902 4006:5454"
    assert label(told, room=30) == "ACK ack 6 SACK 1454:2902 +1"
    assert label(told, room=25) == "ack 6 SACK 1454:2902 +1"
    assert label(told, room=20) == "ack 6 SACK 1454:2902"
    assert label(told, room=19) == "ACK ack 6 SACK"
    assert label(told, room=10) == "ACK ack 6"
    assert label(Sent(0, 1, "a", "b", b"", "tcp", "", "why", flags="AE", rseq=1, rack=6, win=64)) == "ACK,ECE ack 6"


def test_a_change_without_a_segment_gets_a_row_of_its_own() -> None:
    model = Model()
    model.fold([StateChanged(60 * SEC, "a", AB, "TIME_WAIT", "CLOSED", "2MSL is over")])
    (row,) = model.rows
    assert row.kind == "remark"
    assert "CLOSED │" in drawn(model)[0]


def test_an_error_of_a_call_is_seen() -> None:
    model = Model()
    model.fold([Called(131 * SEC, "a", "c1", "connect", "b:80", errno="ETIMEDOUT", conn=AB)])
    assert "ETIMEDOUT" in drawn(model)[0]
    assert model.log[-1].text == "c1 connect(b:80) = ETIMEDOUT"


def test_what_the_application_is_told_stands_beside_the_end() -> None:
    model = Model()
    closed = StateChanged(15 * SEC, "a", AB, "SYN_SENT", "CLOSED", "the last wait is over")
    model.fold([closed, Called(15 * SEC, "a", "c1", "connect", "b:80", errno="ETIMEDOUT", conn=AB)])
    (line,) = drawn(model)
    assert "CLOSED │" in line
    assert "connect() fails with ETIMEDOUT" in line


def test_what_the_script_does_is_a_ruler() -> None:
    model = Model()
    model.fold([Ran(0, "a connect b:80 as c1", "script")])
    assert " ── a connect b:80 as c1 ─────" in drawn(model)[0]


def flood(count: int, start: int = 0, apart: int = MS // 2) -> list[Sent]:
    return [
        Sent(start + at * apart, at + 1, "x", "b", FRAME, "tcp", "", "flood", flags="S", conn=f"203.0.113.1:{at}>{A}")
        for at in range(count)
    ]


def test_a_crowd_is_folded_and_counted() -> None:
    model = Model()
    model.fold(flood(1000))
    folds = [row for row in model.rows if row.kind == "fold"]
    assert model.segments == 1000
    assert sum(row.count.total() for row in folds) + len(segments(model)) == 1000
    assert len(model.rows) < CROWD + 20
    assert fold_text(folds[0]) == "140 more SYN in 69.5 ms"


def test_a_slow_flood_is_drawn_one_by_one() -> None:
    model = Model()
    model.fold(flood(200, apart=20 * MS))
    assert len(segments(model)) == 200


def test_forged_segments_with_the_same_end_are_gathered() -> None:
    model = Model()
    for sent in flood(100, apart=20 * MS):
        arrived = sent.t + 2 * MS
        model.fold([sent, Dropped(arrived, "b", f"{A}>x", sent.n, "synq full", "TcpExtListenDrops")])
    assert len(model.rows) == ALIKE + 1
    assert fold_text(model.rows[-1]) == "96 more SYN in 1.9 s: dropped, synq full"
    assert [row.serial for row in model.rows] == list(range(1, ALIKE + 2))
    (entry,) = model.log
    assert entry.text.endswith("synq full (and 99 more)")


def test_what_is_noticed_of_folded_segments_makes_no_rows() -> None:
    model = Model()
    for sent in flood(2000):
        model.fold([sent, Dropped(sent.t, "b", f"{A}>x", sent.n, "synq full", "TcpExtListenDrops")])
    assert len(model.rows) < 10
    assert sum(row.count.total() for row in model.rows) + len(segments(model)) == 2000
    assert all(fold_text(row).endswith(": dropped, synq full") for row in model.rows if row.kind == "fold")


def test_a_full_queue_is_said_once() -> None:
    model = Model()
    model.fold([Queue(at, "b", 80, "syn", "full", 5, 5, A) for at in range(3)])
    assert [entry.text for entry in model.log] == [":80 SYN queue FULL 5/5"]
    model.fold([Queue(4, "b", 80, "syn", "remove", 4, 5, A), Queue(5, "b", 80, "syn", "add", 5, 5, A)])
    assert len(model.log) == 2


def test_memory_is_bounded() -> None:
    model = Model()
    for at in range(3):
        model.fold(flood(3000, start=at * 3000 * 20 * MS, apart=20 * MS))
    assert len(model.rows) == MOST_ROWS
    assert len(model._by_frame) <= MOST_ROWS
    for at in range(2 * MOST_ENTRIES):
        model.fold([Timer(at, "a", AB, "rto", "fired", at)])
    assert len(model.log) == MOST_ENTRIES


def test_what_was_left_out_is_said() -> None:
    model = Model()
    model.fold([], gap=4812)
    assert "4,812 events left out" in fold_text(model.rows[0])


def test_a_timer_alone_leaves_a_line_in_the_log() -> None:
    model = Model()
    model.fold([Timer(SEC, "a", AB, "keepalive", "fired", SEC)])
    assert [entry.text for entry in model.log] == ["a:40001 timer keepalive fired"]
    model.fold([Timer(SEC, "a", AB, "pacing", "fired", SEC)])
    assert len(model.log) == 1  # a paced connection's timer fires for every other segment
    assert not model.rows


def test_the_log_tells_the_story() -> None:
    texts = [entry.text for entry in folded(trouble()).log]
    assert "lost SYN,ACK seq 0 ack 1" in texts
    assert "drops SYN seq 0 of 203.0.113.9:5123: synq full" in texts
    assert "c1 ESTAB {to} CLOSED" in texts


def test_the_detail_says_why_first_and_ends_with_the_octets() -> None:
    model = folded(trouble())
    row = next(row for row in segments(model) if row.fate == "dropped")
    lines = [plain(line) for line in detail.describe(row, 80, UNICODE)]
    assert lines[2].split() == ["why", "SYN", "flood"]
    words = " ".join(" ".join(lines).split())
    assert "was dropped: the SYN queue is full and cookies are off (TcpExtListenDrops)" in words
    assert lines[-1].endswith("ire!")
    lost = next(row for row in segments(model) if row.fate == "lost")
    assert "lost on the wire, by the rule `drop b>a flags=SA nth=1`" in "\n".join(
        plain(line) for line in detail.describe(lost, 100, UNICODE)
    )


def test_the_detail_explains_options() -> None:
    row = segments(folded(handshake()))[0]
    text = "\n".join(plain(line) for line in detail.describe(row, 96, UNICODE))
    assert "wscale 10: my later windows count in units of 1024" in text
    assert "destination   10.77.0.2:80 (b:80)" in text


def test_drops_of_unknown_frames_are_still_said() -> None:
    model = Model()
    model.fold([Dropped(5, "b", BA, 999, "checksum", "TcpInCsumErrors")])
    assert model.log[-1].text.endswith("checksum")
    assert "× checksum" in drawn(model)[0]
