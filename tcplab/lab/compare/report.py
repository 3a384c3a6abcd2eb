"""A comparison for people and for programs."""

from __future__ import annotations

import msgspec

from tcplab.lab.compare.align import Comparison, Difference, Pair
from tcplab.lab.compare.rows import SEGMENT, Row, Run
from tcplab.units import US, Nanos

_MARKS = {"only ours": "-", "only linux": "+"}
_TIME = 11
_SEATS = {"a": "as host a", "b": "as host b", "both": "in its place"}


class Report(msgspec.Struct):
    """A comparison that was made. `same`: no difference but those that are meant."""

    script: str
    seats: str
    kernel: str
    same: bool
    unexplained: int
    meant: int
    pairs: list[Pair]
    others: list[Difference]
    notes: list[str]


def of(script: str, seats: str, kernel: str, comparison: Comparison, unexplained: int, linux: Run) -> Report:
    """The report of a comparison whose differences were explained."""
    early = [f"the script ended early ({linux.error}): what stands behind that was not played"] if linux.error else []
    count = sum(1 for _ in comparison.differences())
    return Report(
        script, seats, kernel, unexplained == 0, unexplained, count - unexplained, comparison.pairs, comparison.others,
        [*linux.notes, *early],
    )  # fmt: skip


def as_json(report: Report) -> str:
    """For other programs."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def as_text(report: Report, brief: bool = False) -> str:
    """For people: a line for each row, with both times; `brief`: the differences alone."""
    lines = [f"{report.script}: tcplab in virtual time beside {report.kernel} {_SEATS[report.seats]}"]
    if not brief:
        lines.append(f"   {'tcplab':>{_TIME}}  {'linux':>{_TIME}}")
    for pair in report.pairs:
        wrong = any(not found.id for found in pair.differences)
        if not brief or wrong:
            lines.append(_line(pair, wrong))
            lines += [f"        {_said(found)}" for found in pair.differences if not brief or not found.id]
    lines += [f"   {_said(found)}" for found in report.others if not brief or not found.id]
    lines += [f"   note: {note}" for note in report.notes]
    meant = f", {report.meant} that are meant" if report.meant else ""
    lines.append(f"{report.unexplained or 'no'} unexplained differences{meant}")
    return "\n".join(lines)


def _line(pair: Pair, wrong: bool) -> str:
    mark = next((_MARKS[found.kind] for found in pair.differences if found.kind in _MARKS), "~" if wrong else " ")
    row = pair.row
    times = [_seconds(one.t) if one is not None else "" for one in (pair.ours, pair.linux)]
    return f" {mark} {times[0]:>{_TIME}}  {times[1]:>{_TIME}}  {row.who:<3} {row.flow:<4} {_text(row)}".rstrip()


def _text(row: Row) -> str:
    if row.kind != SEGMENT:
        said = " ".join(value for value in row.fields.values() if value)
        return f"{row.key} {said}".rstrip()
    words = [row.key]
    for name in ("ack", "win"):
        if name in row.fields:
            words.append(f"{name} {row.fields[name]}")
    if row.fields.get("options"):
        words.append(f"<{row.fields['options']}>")
    if row.fields.get("PSH") == "True":
        words.append("PSH")
    if "lost" in row.fields:
        words.append(f"lost: {row.fields['lost']}")
    return " ".join(words)


def _said(found: Difference) -> str:
    where = f" ({found.where})" if found.kind not in ("field", "time", *_MARKS) else ""
    if found.kind in _MARKS:
        text = f"{found.kind}"
    else:
        text = f"{found.name}{where}: tcplab {found.ours or 'none'}, Linux {found.linux or 'none'}"
    return f"{text}  [meant: {found.id}]" if found.id else text


def _seconds(at: Nanos) -> str:
    whole, rest = divmod(at // US, 1_000_000)
    return f"{whole}.{rest:06d}"
