"""What the peer SACKed, noted in the retransmission queue (RFC 2018; Linux tcp_sacktag_write_queue).

The queue holds segments; an sk_buff is a run of them, which begins where `starts` is set (`tcplab.tcp.shift`).
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import dsack, seq, shift
from tcplab.tcp.acked import Acked
from tcplab.tcp.tagging import check_reordering, highest_sack, tag_one
from tcplab.tcp.tcb import LOSS, Tcb
from tcplab.units import Seq

Block = tuple[Seq, Seq]
MOST_BLOCKS: Final = 4
NOWHERE: Final = -1


def tag(tcb: Tcb, number: Seq, blocks: tuple[Block, ...], prior_una: Seq, acked: Acked) -> None:
    """Note the blocks of an ACK of `number` (tcp_sacktag_write_queue)."""
    blocks = blocks[:MOST_BLOCKS]
    acked.reord = tcb.snd_nxt
    found_dup = dsack.check(tcb, number, blocks, prior_una, acked)
    if seq.before(number, seq.add(prior_una, -tcb.max_window)) or not tcb.rtx:
        return
    used, first = _usable(tcb, number, blocks, prior_una, found_dup)
    _walk_blocks(tcb, used, first if found_dup else NOWHERE, acked)
    tcb.sack_cache = tuple(used)
    if tcb.ca_state != LOSS or tcb.undo_marker >= 0:
        check_reordering(tcb, acked.reord, by_timestamp=False)


def _usable(
    tcb: Tcb, number: Seq, blocks: tuple[Block, ...], prior_una: Seq, found_dup: bool
) -> tuple[list[Block], int]:
    """The blocks that are valid and not too old, in the queue's order, and where the first one of the ACK stands."""
    counters = tcb.host.counters
    kept: list[tuple[int, int, Block]] = []
    for number_of, (left, right) in enumerate(blocks):
        dup = found_dup and number_of == 0
        if not _valid(tcb, dup, left, right):
            if dup:
                counters["TcpExtTCPDSACKIgnoredNoUndo" if tcb.undo_marker < 0 else "TcpExtTCPDSACKIgnoredOld"] += 1
            elif number == tcb.snd_una or seq.after(right, tcb.snd_una):  # else: an ACK that was overtaken
                counters["TcpExtTCPSACKDiscard"] += 1
        elif seq.after(right, prior_una):
            kept.append((seq.diff(left, prior_una), number_of, (left, right)))
    kept.sort(key=lambda entry: entry[:2])
    first = next((at for at, entry in enumerate(kept) if entry[1] == 0), NOWHERE)
    return [block for _, _, block in kept], first


def _valid(tcb: Tcb, dup: bool, left: Seq, right: Seq) -> bool:
    """Does it lie in what is outstanding; or, a D-SACK, in what recovery repeated (tcp_is_sackblock_valid)?"""
    if seq.after(right, tcb.snd_nxt) or not seq.before(left, right) or not seq.before(left, tcb.snd_nxt):
        return False
    if seq.after(left, tcb.snd_una):
        return True
    if not dup or tcb.undo_marker < 0 or seq.after(right, tcb.snd_una):
        return False
    if not seq.before(left, tcb.undo_marker):
        return True
    return seq.after(right, tcb.undo_marker) and not seq.before(left, seq.add(right, -tcb.max_window))


def _walk_blocks(tcb: Tcb, blocks: list[Block], dup_at: int, acked: Acked) -> None:
    """Go through the queue once; what the last ACK told already is skipped (recv_sack_cache)."""
    cache = tcb.sack_cache if tcb.sacked_out else ()
    at = look = 0
    place = NOWHERE
    while at < len(blocks):
        left, right = blocks[at]
        dup = at == dup_at
        nested = blocks[at + 1] if at + 1 == dup_at else None
        while look < len(cache) and not seq.before(left, cache[look][1]):
            look += 1
        if look < len(cache) and not dup and seq.after(right, cache[look][0]):
            known_left, known_right = cache[look]
            if seq.before(left, known_left):
                place = _walk(tcb, _skip(tcb, place, left), nested, acked, left, known_left, dup)
            if not seq.after(right, known_right):
                at += 1
                continue
            if nested is not None and seq.before(nested[0], known_right):
                place = _walk(tcb, _skip(tcb, place, nested[0]), None, acked, *nested, True)
            look += 1
            if highest_sack(tcb) != known_right:
                place = _skip(tcb, place, known_right)
                continue  # the rest may overlap with the next that is known
            place = _find(tcb, known_right)
            if place == NOWHERE:
                return
        else:
            if not seq.before(left, highest_sack(tcb)):
                place = _find(tcb, highest_sack(tcb))
                if place == NOWHERE:
                    return
            place = _skip(tcb, place, left)
        place = _walk(tcb, place, nested, acked, left, right, dup)
        at += 1


def _skip(tcb: Tcb, place: int, to: Seq) -> int:
    """Where the sk_buff stands that holds `to`, or, if it lies behind us already, where we are (tcp_sacktag_skip)."""
    if place != NOWHERE and seq.after(tcb.rtx[place].seq, to):
        return place
    return _find(tcb, to)


def _find(tcb: Tcb, number: Seq) -> int:
    """The place of the sk_buff that holds `number`, by halves (tcp_sacktag_bsearch)."""
    rtx = tcb.rtx
    low, high = 0, len(rtx)
    while low < high:
        middle = (low + high) >> 1
        if seq.after(rtx[middle].end, number):
            high = middle
        else:
            low = middle + 1
    if low == len(rtx) or seq.before(number, rtx[low].seq):
        return NOWHERE
    while low and not rtx[low].starts:
        low -= 1
    return low


def _walk(tcb: Tcb, place: int, nested: Block | None, acked: Acked, left: Seq, right: Seq, dup_in: bool) -> int:
    """Tag each sk_buff in `left` .. `right` from `place` on; where it stopped (tcp_sacktag_walk).

    `nested` is a D-SACK that lies within.
    """
    rtx = tcb.rtx
    while place != NOWHERE:
        if not seq.before(rtx[place].seq, right):
            return place
        inside, dup = shift.OUTSIDE, dup_in
        if nested is not None and seq.before(rtx[place].seq, nested[1]):
            inside = shift.match(tcb, place, *nested)
            dup = dup or inside == shift.INSIDE
        if inside != shift.INSIDE:
            shifted = shift.onto_previous(tcb, place, acked, left, right, dup)
            if shifted > place:  # it grew onto the one before it: go on behind what was shifted
                place = shifted if shifted < len(rtx) else NOWHERE
                continue
            inside = shift.OUTSIDE if shifted == place else shift.match(tcb, place, left, right)
        if inside == shift.MISFIT:
            return place
        stop = shift.end_of(tcb, place)
        if inside == shift.INSIDE:
            tag_one(tcb, acked, place, stop, dup)
        place = stop if stop < len(rtx) else NOWHERE
    return place
