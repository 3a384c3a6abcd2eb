"""Two timelines side by side: what counts as a difference, what does not, and which are meant."""

from __future__ import annotations

import msgspec
import pytest

from tcplab.api.events import Called, Lost, Sent, StateChanged
from tcplab.lab.compare import align, fidelity, report, rows, runs
from tcplab.lab.compare.rows import Row, Run
from tcplab.lab.exercise import load
from tcplab.units import MS, SEC, Nanos

HERE, THERE = "10.77.0.1:40001", "10.77.0.2:80"
CONN = f"{HERE}>{THERE}"


def segment(t: Nanos, key: str = "A 1:1(0)", flow: str = "c1", **fields: str) -> Row:
    return Row(t, rows.SEGMENT, "a>b", flow, key, fields)


def run(*found: Row, end: Nanos = 100 * SEC, **more: object) -> Run:
    return Run("x", list(found), {}, {}, end, **more)  # type: ignore[arg-type]


def kinds(ours: Run, linux: Run, tolerance: align.Tolerance | None = None) -> list[str]:
    """The kinds of the differences."""
    return [found.kind for found in align.compare(ours, linux, tolerance or align.Tolerance()).differences()]


def test_a_script_that_ends_early_on_both_says_so() -> None:
    early = run(error="at line 4")
    found = align.compare(early, early, align.Tolerance())
    told = report.as_text(report.of("x.lab", "both", "Linux", found, fidelity.explain(found), early))
    assert "note: the script ended early (at line 4): what stands behind that was not played" in told
    assert "no unexplained differences" in told


# --- rows -------------------------------------------------------------------------------------------------------------


def sent(t: Nanos, **more: object) -> Sent:
    told = {"proto": "tcp", "text": "", "why": "because", "conn": CONN, "flags": "PA", "rseq": 1, "rack": 1, "len": 5}
    return Sent(t, 1, "a", "b", b"", **{**told, "win": 63, **more})  # type: ignore[arg-type]


def test_random_numbers_do_not_count() -> None:
    ((one,), _) = rows.of_events([sent(0, opts="nop,nop,TS val 5 ecr 6,tfo cookie 0011223344556677")], {})
    ((other,), _) = rows.of_events([sent(0, opts="nop,nop,TS val 7 ecr 8,tfo cookie 8899aabbccddeeff")], {})
    assert one == other
    assert one.fields["options"] == "nop,nop,TS,tfo cookie of 8 octets"
    ((syn,), _) = rows.of_events([sent(0, flags="S", rseq=0, opts="TS val 5 ecr 0")], {})
    assert syn.fields["options"] == "TS ecr 0", "an echo of nothing is no echo"


def test_a_number_of_an_earlier_connection_is_old() -> None:
    ((row,), _) = rows.of_events([sent(0, flags="R", rseq=2**32 - 3_125_000, len=0)], {})
    assert row.key == "R old:old(0)"
    ((nobody,), _) = rows.of_events([sent(0, flags="RA", seq=0, rseq=2**31 - 5, len=0)], {})
    assert nobody.key == "RA 0:0(0)", "the RST of a closed port has no number"
    ((probe,), _) = rows.of_events([sent(0, flags="A", rseq=2**32 - 1, len=0)], {})
    assert probe.key.startswith(f"A {2**32 - 1}:"), "a keepalive before any data is of this one"


def test_connections_have_the_scripts_names_or_numbers() -> None:
    other = "10.77.0.1:40002>10.77.0.2:80"
    found, flows = rows.of_events([sent(0), sent(1, conn=other)], {"c1": {"a": CONN, "b": f"{THERE}>{HERE}"}})
    assert [row.flow for row in found] == ["c1", "#1"]
    assert flows.of("10.77.0.2:80>10.77.0.1:40002") == "#1", "from either side"


def test_of_states_in_one_instant_the_last_is_seen() -> None:
    changes = [
        StateChanged(t, "a", CONN, "", new, "") for t, new in ((5, "FIN_WAIT_2"), (5, "TIME_WAIT"), (6, "CLOSED"))
    ]
    found, _ = rows.of_events(changes, {})
    assert [row.key for row in found] == ["TIME_WAIT", "CLOSED"]


def test_what_the_wire_lost_and_what_calls_gave_are_told() -> None:
    events = [sent(0), Lost(0, 1, "drop a>b  # why"), Called(1, "a", "c1", "accept", "", "7 from x", "", CONN)]
    found, _ = rows.of_events(events, {})
    assert found[0].fields["lost"] == "drop a>b"
    assert found[1].fields == {"errno": "", "result": ""}, "a descriptor's number is chance"


# --- side by side -----------------------------------------------------------------------------------------------------


def test_the_same_is_no_difference() -> None:
    assert kinds(run(segment(0), segment(5)), run(segment(0), segment(5))) == []


def test_what_only_one_has() -> None:
    one, more = run(segment(0)), run(segment(0), segment(50 * MS, "R 1:1(0)"))
    assert kinds(one, more) == ["only linux"]
    assert kinds(more, one) == ["only ours"]


def test_what_the_end_cut_off_does_not_count() -> None:
    last = segment(100 * SEC - MS, "R 1:1(0)")
    assert kinds(run(segment(0)), run(segment(0), last)) == []


def test_fields_of_aligned_rows() -> None:
    (found,) = align.compare(run(segment(0, win="63")), run(segment(0, win="64")), align.Tolerance()).differences()
    assert (found.kind, found.name, found.ours, found.linux) == ("field", "win", "63", "64")


@pytest.mark.parametrize(
    ("late", "fits"),
    [(0, True), (10 * MS, True), (120 * MS, True), (121 * MS, False), (-10 * MS, True), (-11 * MS, False)],
)
def test_how_late_the_kernel_may_be(late: Nanos, fits: bool) -> None:
    ours = run(segment(0), segment(SEC, "A 2:2(0)"))
    linux = run(segment(0), segment(SEC + late, "A 2:2(0)"))
    assert (kinds(ours, linux) == []) is fits


def test_lateness_adds_up_along_a_connection() -> None:
    ours = run(segment(0), segment(SEC, "A 2:2(0)"), segment(SEC + 5 * MS, "A 3:3(0)"))
    linux = run(segment(0), segment(1100 * MS, "A 2:2(0)"), segment(1105 * MS, "A 3:3(0)"))
    assert kinds(ours, linux) == []
    far = run(segment(0), segment(1100 * MS, "A 2:2(0)"), segment(1135 * MS, "A 3:3(0)"))
    assert kinds(ours, far) == ["time"]


def test_the_tolerance_can_be_another() -> None:
    ours, linux = run(segment(0), segment(SEC, "A 2:2(0)")), run(segment(0), segment(1050 * MS, "A 2:2(0)"))
    assert kinds(ours, linux, align.Tolerance(3)) == ["time"]


def test_counters_variables_and_the_end() -> None:
    ours, linux = run(), run()
    ours.counters = {"a": {"TcpOutSegs": 3, "UdpInErrors": 1}}
    linux.counters = {"a": {"TcpOutSegs": 4, "TcpExtSomethingNew": 1, "IpInReceives": 9}}
    ours.variables, linux.variables = {"": {"a c1 cwnd": "10"}}, {"": {"a c1 cwnd": "9"}}
    ours.error = "at line 3"
    found = {(one.kind, one.name) for one in align.compare(ours, linux, align.Tolerance()).differences()}
    assert found == {
        ("script", "how the script ends"), ("counter", "TcpOutSegs"), ("counter", "TcpExtSomethingNew"),
        ("variable", "a c1 cwnd"),
    }  # fmt: skip


# --- what is meant ----------------------------------------------------------------------------------------------------


def test_the_table_is_well_formed() -> None:
    table = fidelity.table()
    assert len({one.id for one in table}) == len(table)
    for one in table:
        assert all((one.id, one.what, one.ours, one.linux, one.reason))
        assert "|" not in f"{one.what}{one.ours}{one.linux}{one.reason}"
        for sign in one.sign:
            assert sign.kind in ("only ours", "only linux", "field", "time", "counter", "variable", "script")
            assert sign != fidelity.Sign(sign.kind), "a sign for everything explains nothing"


def test_an_explained_difference_is_no_failure() -> None:
    ours, linux = run(), run()
    linux.counters = {"a": {"TcpExtTCPHPHits": 1, "TcpExtSomethingNew": 1}}
    found = align.compare(ours, linux, align.Tolerance())
    assert fidelity.explain(found) == 1
    text = report.as_text(report.of("x", "both", "Linux", found, 1, linux))
    assert "TcpExtTCPHPHits (on a): tcplab 0, Linux 1  [meant: fast-path-counters]" in text
    assert text.endswith("1 unexplained differences, 1 that are meant")


def test_our_own_two_fabrics_are_the_same() -> None:
    source = load("handshake")
    one, other = runs.ours(source, 3), runs.ours(source, 4)
    assert kinds(one, other, align.Tolerance(0, 0)) == []
    assert one.variables.keys() == {"open", "closed", ""}
    found = report.of("handshake", "a", "Linux", align.compare(one, other, align.Tolerance()), 0, other)
    assert msgspec.json.decode(report.as_json(found))["same"] is True
    assert len(report.as_text(found, brief=True).splitlines()) == 2
