"""Selective acknowledgement: the blocks that we report (RFC 2018, 2883). What the peer reports: `scoreboard`."""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq


def most(tcb: Tcb) -> int:
    """How many blocks fit into the option space: 3 beside timestamps, else 4."""
    return 3 if tcb.ts_ok else 4


def to_report(tcb: Tcb) -> list[tuple[Seq, Seq]]:
    """The blocks for the ACK that leaves now; a D-SACK goes first, once (RFC 2883 section 4)."""
    if not tcb.sack_ok:
        tcb.dsack = None
        return []
    duplicate, tcb.dsack = tcb.dsack, None
    if duplicate is None:
        return list(tcb.sacks[: most(tcb)])
    return [duplicate, *tcb.sacks[: most(tcb) - 1]]


def space(tcb: Tcb) -> int:
    """Octets of option space that data loses to the blocks we report now."""
    if not tcb.sack_ok or (not tcb.sacks and tcb.dsack is None):
        return 0
    count = min(len(tcb.sacks) + (tcb.dsack is not None), most(tcb))
    return 4 + 8 * count if count else 0


def duplicate(tcb: Tcb, left: Seq, right: Seq, old: bool) -> None:
    """Octets came twice: report them in the next ACK (tcp_dsack_set)."""
    if not tcb.sack_ok or not tcb.host.sysctl.tcp_dsack:
        return
    tcb.host.counters["TcpExtTCPDSACKOldSent" if old else "TcpExtTCPDSACKOfoSent"] += 1
    tcb.dsack = (left, right)


def extend(tcb: Tcb, left: Seq, right: Seq) -> None:
    """More octets came twice: the block that is to be reported grows, if they touch it (tcp_dsack_extend)."""
    if tcb.dsack is None:
        duplicate(tcb, left, right, seq.before(left, tcb.rcv_nxt))
        return
    start, end = tcb.dsack
    if not seq.after(left, end) and not seq.after(start, right):
        tcb.dsack = (left if seq.before(left, start) else start, seq.later(right, end))


def edges(tcb: Tcb) -> tuple[tuple[Seq, Seq], ...]:
    """What the peer has SACKed, as runs, for the view."""
    runs: list[tuple[Seq, Seq]] = []
    for entry in tcb.rtx:
        if entry.sacked:
            if runs and runs[-1][1] == entry.seq:
                runs[-1] = (runs[-1][0], entry.end)
            else:
                runs.append((entry.seq, entry.end))
    return tuple(runs)
