"""What the receive buffer holds and costs: Linux's accounting, and how the window that it allows grows.

Linux counts not octets but memory: each segment keeps its buffer (its `truesize`) until all of it is read. How much of
that is payload (`scaling_ratio`) says how much window the rest of the buffer is worth.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from tcplab.tcp import prune, seq
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq
from tcplab.wire.tcp import Segment

RATIO_SHIFT: Final = 8
"""Linux TCP_RMEM_TO_WIN_SCALE: scaling_ratio counts in 1/256."""
HEADERS: Final = 40
_OVERHEAD: Final = 256
"""struct sk_buff itself."""
_AROUND: Final = 64 + 320
"""In front of the packet and behind it: NET_SKB_PAD, struct skb_shared_info."""
TS_SPACE: Final = 12
_NOTHING: Final[list[list[int]]] = []
"""What an empty receive buffer holds; nobody puts anything into it."""
_SMALLEST: Final = 576
PAGE: Final = 4096
_MIN_CLAMP: Final = 1152
"""SOCK_MIN_RCVBUF / 2"""


@cache
def truesize(size: int) -> tuple[int, int]:
    """(memory, free room at its end) of a packet of `size` octets, headers included, as drivers allocate it."""
    total = size + _AROUND
    if total <= _SMALLEST:
        return _OVERHEAD + _SMALLEST, _SMALLEST - total
    if total <= PAGE:
        bucket = 1 << (total - 1).bit_length()
        return _OVERHEAD + bucket, bucket - total
    return _OVERHEAD + PAGE * (1 - (PAGE - _AROUND - size) // PAGE), 0


def window_of(tcb: Tcb, space: int) -> int:
    """How much payload so much memory is worth (tcp_win_from_space)."""
    return space * tcb.scaling_ratio >> RATIO_SHIFT


def advmss(tcb: Tcb) -> int:
    """What we told in our SYN, less what timestamps take of it (tcp_sock.advmss)."""
    return tcb.advmss - TS_SPACE * tcb.ts_ok


def free_space(tcb: Tcb) -> int:
    """Octets of payload that still fit (tcp_space)."""
    return window_of(tcb, tcb.rcvbuf - tcb.rmem_alloc)


def full_space(tcb: Tcb) -> int:
    """Octets of payload that fit into the empty buffer, within the clamp (tcp_full_space)."""
    return min(window_of(tcb, tcb.rcvbuf), tcb.clamp)


def make_room(tcb: Tcb, first: Seq) -> bool:
    """Is there room for one more segment, however large? A buffer of no fixed size grows (tcp_try_rmem_schedule).

    What waits behind `first`, its number, may have to make room for it.
    """
    if tcb.rmem_alloc <= tcb.rcvbuf:
        return True
    counters = tcb.host.counters
    counters["TcpExtPruneCalled"] += 1
    tcb.quick = 0
    if not tcb.rcvbuf_locked and tcb.owner is not None:
        tcb.rcvbuf = max(tcb.rcvbuf, min(tcb.rmem_alloc, tcb.host.sysctl.tcp_rmem[2]))
    if tcb.rmem_alloc > tcb.rcvbuf:
        tcb.rcv_ssthresh = min(tcb.clamp, 2 * advmss(tcb))
        prune.out_of_order(tcb, first)
    if tcb.rmem_alloc <= tcb.rcvbuf:
        return True
    counters["TcpExtRcvPruned"] += 1
    return False


# --- what is queued and read ------------------------------------------------------------------------------------------


def queue(tcb: Tcb, octets: bytes, header: int = HEADERS, joins: bool = True) -> None:
    """Payload in order: to the reader. A short segment fits into the room that the one before left, if it begins where
    that one ends (tcp_queue_rcv, tcp_try_coalesce).
    """
    size = len(octets)
    tcb.rcvq += octets
    skbs = tcb.rcvskbs
    if skbs and size <= skbs[-1][2] and joins:
        skbs[-1][0] += size
        skbs[-1][2] -= size
        tcb.host.counters["TcpExtTCPRcvCoalesce"] += 1
        return
    memory, room = truesize(size + header)
    _hold(tcb, [size, memory, room])
    tcb.rmem_alloc += memory


def _hold(tcb: Tcb, segment: list[int]) -> None:
    if tcb.rcvskbs:
        tcb.rcvskbs.append(segment)
    else:
        tcb.rcvskbs = [segment]


def moved(tcb: Tcb, octets: bytes, memory: int, room: int, joins: bool) -> None:
    """Payload that waited is in order now, and so is its memory, unless it fits into the room before it."""
    size = len(octets)
    tcb.rcvq += octets
    skbs = tcb.rcvskbs
    if skbs and size <= skbs[-1][2] and joins:
        skbs[-1][0] += size
        skbs[-1][2] -= size
        tcb.rmem_alloc -= memory
        tcb.host.counters["TcpExtTCPRcvCoalesce"] += 1
        return
    _hold(tcb, [size, memory, room])


def read(tcb: Tcb, size: int) -> None:
    """The application took `size` octets: segments that were read to their end give their memory back."""
    skbs = tcb.rcvskbs
    done = 0
    while size and done < len(skbs):
        held = skbs[done]
        if held[0] > size:
            held[0] -= size
            break
        size -= held[0]
        tcb.rmem_alloc -= held[1]
        done += 1
    if done == len(skbs):
        tcb.rcvskbs = _NOTHING
    elif done:
        del skbs[:done]


def flush(tcb: Tcb) -> None:
    """Nobody will read what is queued: its memory is free (__tcp_close)."""
    tcb.rcvq.clear()
    tcb.rmem_alloc -= sum(held[1] for held in tcb.rcvskbs)
    tcb.rcvskbs = _NOTHING


# --- the window that it allows ----------------------------------------------------------------------------------------


def opened(tcb: Tcb) -> None:
    """The connection is open: one segment of the buffer is reserved (tcp_init_buffer_space)."""
    most = window_of(tcb, tcb.rcvbuf)
    clamp = min(tcb.clamp, most)
    if clamp > 2 * advmss(tcb) and clamp + advmss(tcb) > most:
        clamp = max(2 * advmss(tcb), most - advmss(tcb))
    tcb.clamp = clamp
    tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, clamp)


def set_clamp(tcb: Tcb, value: int) -> None:
    """Another greatest window (tcp_set_window_clamp)."""
    new, old = max(value, _MIN_CLAMP), tcb.clamp
    if new == old:
        return
    tcb.clamp = new
    if new < old:
        tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, new)
    else:
        tcb.rcv_ssthresh = max(min(tcb.rcv_wnd, new), tcb.rcv_ssthresh)


def measure(tcb: Tcb, size: int) -> None:
    """A segment of another size came: how much of its memory is payload (tcp_measure_rcv_mss).

    With that the clamp is what the whole buffer holds: what the application set (TCP_WINDOW_CLAMP) is forgotten.
    """
    ratio = (size << RATIO_SHIFT) // truesize(size + HEADERS)[0] or 1
    if ratio != tcb.scaling_ratio:
        tcb.scaling_ratio = ratio
        set_clamp(tcb, window_of(tcb, tcb.rcvbuf))
        tcb.space = min(tcb.space, tcb.clamp)


def grow(tcb: Tcb, size: int) -> None:
    """Data comes in segments that use their memory well: offer more (tcp_grow_window)."""
    ratio = tcb.scaling_ratio
    free = (tcb.rcvbuf - tcb.rmem_alloc) * ratio >> RATIO_SHIFT
    room = (free if free < tcb.clamp else tcb.clamp) - tcb.rcv_ssthresh
    if room <= 0:
        return
    worth = truesize(size + HEADERS)[0] * ratio >> RATIO_SHIFT
    step = 2 * advmss(tcb) if worth <= size else _careful_step(tcb, size, worth)
    if step:
        tcb.rcv_ssthresh += min(room, max(step, 2 * size))
        tcb.quick |= 1


def _careful_step(tcb: Tcb, size: int, worth: int) -> int:
    """Linux __tcp_grow_window: small segments are let in while the window is small."""
    worth >>= 1
    window = window_of(tcb, tcb.host.sysctl.tcp_rmem[2]) >> 1
    while tcb.rcv_ssthresh <= window:
        if worth <= size:
            return 2 * tcb.rcv_mss
        worth >>= 1
        window >>= 1
    return 0


def taken_beyond(tcb: Tcb, seg: Segment, right: Seq) -> bool:
    """A segment reaches beyond the window's `right` edge: taken all the same while nothing is unread, and if it is
    just its FIN that does (tcp_sequence).
    """
    nothing_waits = not tcb.rcvq and not tcb.fin_rcvd
    return nothing_waits or not seq.after(seq.add(seg.seq, len(seg.payload)), right)
