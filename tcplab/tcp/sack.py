"""Selective acknowledgement: the blocks that we report, and the scoreboard of the peer's (RFC 2018, 2883)."""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq

DUPTHRESH = 3  # RFC 5681 section 3.2, Linux tcp_reordering


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
        return tcb.sacks[: most(tcb)]
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


def mark(tcb: Tcb, ack: Seq, blocks: tuple[tuple[Seq, Seq], ...]) -> int:
    """Note in the retransmission queue what the peer has (tcp_sacktag_write_queue): how many segments are new."""
    if not tcb.sack_ok or not blocks:
        return 0
    if is_dsack(ack, blocks):
        tcb.host.counters["TcpExtTCPDSACKRecv"] += 1
        tcb.dsack_dups += max(-(-seq.diff(blocks[0][1], blocks[0][0]) // tcb.mss), 1)
        blocks = blocks[1:]
    newly = 0
    for left, right in blocks:
        if not seq.before(left, right) or seq.before(left, tcb.snd_una) or seq.after(right, tcb.snd_nxt):
            tcb.host.counters["TcpExtTCPSACKDiscard"] += 1
            continue
        for entry in tcb.rtx:
            if not seq.before(entry.seq, right):
                break
            if entry.sacked or seq.before(entry.seq, left) or seq.after(entry.end, right):
                continue
            entry.sacked = True
            newly += 1
            if entry.lost:
                entry.lost = False
                tcb.lost_out -= 1
            if entry.retrans:
                entry.retrans = False
                tcb.retrans_out -= 1
    tcb.sacked_out += newly
    tcb.delivered += newly
    return newly


def is_dsack(ack: Seq, blocks: tuple[tuple[Seq, Seq], ...]) -> bool:
    """The first block lies below the ACK or within the second: a report of a duplicate (RFC 2883 section 4)."""
    if not blocks:
        return False
    left, right = blocks[0]
    if seq.before(left, ack):
        return True
    return len(blocks) > 1 and not seq.before(left, blocks[1][0]) and not seq.after(right, blocks[1][1])


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
