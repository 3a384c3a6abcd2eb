"""The oracle can fail: with a bug put into the stack, a simulation finds it, and shrinks its world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tcplab.host.sockets import Socket
from tcplab.lab.simulate import draw, play, shrink
from tcplab.tcp import ack, data, machine, output, rcvbuf, reassembly, timeouts, timers, timewait, user, window
from tcplab.tcp.tcb import DELACK, RTO, Tcb

Patch = Callable[[pytest.MonkeyPatch], None]
MOST = 120


def found(kinds: tuple[str, ...], first: int = 0, most: int = MOST) -> tuple[int, str]:
    """The first seed that fails in one of these ways, and how."""
    said = []
    for seed in range(first, first + most):
        verdict = play.play(draw.plan(seed))
        if verdict.kind.startswith(kinds):
            return seed, verdict.kind
        if verdict.kind:
            said.append(verdict.text)
    raise AssertionError(f"not found, but {said[:5]}")


def lose_an_octet(patch: pytest.MonkeyPatch) -> None:
    """What fills a hole loses its last octet."""
    whole = reassembly.insert

    def insert(tcb: Tcb, first: int, octets: bytes, fin: bool, header: int) -> Any:
        return whole(tcb, first, octets[:-1] + b"?" if len(octets) > 1 else octets, fin, header)

    patch.setattr(reassembly, "insert", insert)


def read_twice(patch: pytest.MonkeyPatch) -> None:
    """recv() gives the same octets again, now and then."""
    whole = user.receive

    def receive(tcb: Tcb, most: int, flags: int = 0) -> bytes:
        return whole(tcb, most, flags | (user.MSG_PEEK if tcb.segs_in % 7 == 5 else 0))

    patch.setattr(user, "receive", receive)


def forget_the_rto(patch: pytest.MonkeyPatch) -> None:
    """After a retransmission the timer is not started again."""
    whole = timers.arm

    def arm(tcb: Tcb, which: int, when: int, why: str, ref: str = "") -> None:
        if which == RTO and tcb.retransmits == 1 and tcb.rtx and not tcb.rtx[0].syn:
            return
        whole(tcb, which, when, why, ref)

    patch.setattr(timers, "arm", arm)


def run_two_timers(patch: pytest.MonkeyPatch) -> None:
    """A timer of the retransmission queue does not take the place of the others."""
    patch.setattr(timers, "arm_xmit", timers.arm)


def forget_the_window_probe(patch: pytest.MonkeyPatch) -> None:
    """A closed window is never probed."""
    patch.setattr(timers, "_arm_persist", lambda tcb, wait: None)


def forget_the_delayed_ack(patch: pytest.MonkeyPatch) -> None:
    """An ACK that may wait, waits for ever."""
    whole = timers.arm
    patch.setattr(
        timers, "arm", lambda tcb, which, *rest: None if which == DELACK else whole(tcb, which, *rest)
    )  # fmt: skip


def forget_a_timewait(patch: pytest.MonkeyPatch) -> None:
    """2MSL are never over."""
    patch.setattr(timewait.TimeWait, "on_timer", lambda self: self._wait(60_000_000_000, "again"))


def end_too_early(patch: pytest.MonkeyPatch) -> None:
    """A FIN that comes out of order counts at once."""
    whole = data.segment_text

    def text(tcb: Tcb, seg: Any) -> None:
        if seg.flags & 1 and seg.seq != tcb.rcv_nxt:
            tcb.rcv_nxt = seg.seq
        whole(tcb, seg)

    patch.setattr(data, "segment_text", text)


def forget_receive_memory(patch: pytest.MonkeyPatch) -> None:
    """Octets that are read give their memory back, all but the last."""
    whole = rcvbuf.read
    patch.setattr(rcvbuf, "read", lambda tcb, size: whole(tcb, size - 1))


def take_a_window_back(patch: pytest.MonkeyPatch) -> None:
    """The right edge of the window may go left."""

    def select(tcb: Tcb) -> int:
        tcb.rcv_wnd, tcb.rcv_wup = window.candidate(tcb) // 2, tcb.rcv_nxt
        return min(tcb.rcv_wnd >> tcb.rcv_wscale, 65_535)

    patch.setattr(window, "select", select)


def send_other_octets(patch: pytest.MonkeyPatch) -> None:
    """A repeat carries what comes one octet later."""
    whole = output.emit

    def emit(tcb: Tcb, first: int, flags: int, payload: bytes, *rest: Any, **more: Any) -> None:
        again = more.get("rtx") or (len(rest) > 2 and rest[2])
        whole(tcb, first, flags, payload[1:] + b"?" if again and payload else payload, *rest, **more)

    patch.setattr(output, "emit", emit)


def leave_a_port_bound(patch: pytest.MonkeyPatch) -> None:
    """A closed connection stays in the table."""
    whole = machine.release

    def release(tcb: Tcb) -> None:
        whole(tcb)
        if tcb.dead:
            tcb.host.flows[tcb.key] = tcb  # type: ignore[assignment]

    patch.setattr(machine, "release", release)


def give_up_at_once(patch: pytest.MonkeyPatch) -> None:
    """One timeout, and the peer counts as dead."""
    whole = timeouts._write_timeout

    def write_timeout(tcb: Tcb) -> bool:
        if not tcb.rtx[0].syn:
            timeouts.give_up(tcb, "impatient")
            return True
        return whole(tcb)

    patch.setattr(timeouts, "_write_timeout", write_timeout)


def believe_any_ack(patch: pytest.MonkeyPatch) -> None:
    """SND.UNA follows every ACK, even one of what was never sent."""
    whole = ack.process

    def process(tcb: Tcb, seg: Any) -> bool:
        tcb.snd_una = seg.ack
        return whole(tcb, seg)

    patch.setattr(ack, "process", process)


MUTANTS: dict[str, tuple[Patch, tuple[str, ...]]] = {
    "a lost octet": (lose_an_octet, ("wrong octets",)),
    "read twice": (read_twice, ("wrong octets", "octets from nowhere")),
    "no RTO": (forget_the_rto, ("no RTO",)),
    "two timers": (run_two_timers, ("two of RTO", "persist timer", "RTO of nothing")),
    "no window probe": (forget_the_window_probe, ("no persist timer",)),
    "no delayed ACK": (forget_the_delayed_ack, ("an ACK is owed",)),
    "no end of TIME_WAIT": (forget_a_timewait, ("it never ends",)),
    "the end too early": (end_too_early, ("lost octets", "wrong octets", "RCV.NXT", "out of order")),
    "receive memory": (forget_receive_memory, ("unread octets", "receive memory")),
    "the window shrinks": (take_a_window_back, ("the window shrank",)),
    "other octets in a repeat": (send_other_octets, ("wrong octets on the wire",)),
    "a connection stays": (leave_a_port_bound, ("over, but known",)),
    "impatience": (give_up_at_once, ("an error without a cause",)),
    "any ACK": (believe_any_ack, ("the retransmission queue", "SND.UNA", "a gap", "the send buffer")),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, kinds = MUTANTS[name]
    patch(monkeypatch)
    found(kinds)


def test_what_failed_is_shrunk_to_little_and_fails_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lose_an_octet(monkeypatch)
    seed, kind = found(("wrong octets",))
    plan = draw.plan(seed)
    mask = shrink.shrink(plan, kind)
    least = plan.only(mask)
    assert 0 < len(least.items) < len(plan.items)
    assert play.play(least).kind == kind
    for at in range(len(plan.items)):
        if mask >> at & 1:
            assert play.play(plan.only(mask & ~(1 << at))).kind != kind, "each item that is left is needed"


def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "insert", lambda *_: 1 // 0)
    seed, kind = found(("ZeroDivisionError",))
    assert "test_oracle.py" in play.play(draw.plan(seed)).text
    assert kind == "ZeroDivisionError in test_oracle.py:<lambda>"


def test_an_application_that_is_stuck_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells a reader that there is something to read."""
    monkeypatch.setattr(Socket, "readable", lambda self: None)
    found(("stuck",))
