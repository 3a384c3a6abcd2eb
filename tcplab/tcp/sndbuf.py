"""The send buffer as Linux accounts for it: in sk_buffs, each with its overhead (sk_wmem_queued).

What the application writes fills the last sk_buff that was not sent, up to `tso.goal` octets; another is begun only
while there is room, and then it is filled whatever its size: so a write may exceed SO_SNDBUF by almost one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcplab.tcp import chrono, seq, tso
from tcplab.tcp.tcb import INIT_CWND, Tcb
from tcplab.tcp.tso import MAX_TCP_HEADER

OVERHEAD: Final = 832
"""What an sk_buff costs beside its octets: sk_buff, head and skb_shared_info (measured on x86-64)."""
_SHARED_INFO, _SK_BUFF = 320, 256


def used(tcb: Tcb) -> int:
    """Octets of the buffer that are taken."""
    return len(tcb.sndq) + OVERHEAD * (len(tcb.skbs) + len(tcb.skbs_sent))


def free(tcb: Tcb, wake: int = 0) -> bool:
    """May another sk_buff be begun? `wake` 1: is it worth waking a writer (sk_stream_memory_free)?"""
    if used(tcb) >= tcb.sndbuf:
        return False
    return not tcb.notsent_lowat or seq.diff(tcb.data_end, tcb.snd_nxt) << wake < tcb.notsent_lowat


def writable(tcb: Tcb) -> bool:
    """A third of the buffer is free (sk_stream_is_writeable)."""
    queued = used(tcb)
    return tcb.sndbuf - queued >= queued >> 1 and free(tcb, 1)


def take(tcb: Tcb, data: bytes, push: Callable[[], None]) -> int:
    """Put `data` into the queue, as much as there is room for; `push` after each sk_buff that is full.

    How many octets were taken (tcp_sendmsg_locked).
    """
    size, done = len(data), 0
    whole = tso.goal(tcb)
    if tcb.psh and _goes_on(tcb, whole) and tcb.psh[-1] == tcb.data_end:
        tcb.psh = tcb.psh[:-1]  # it is not the end any more
    while True:
        end = tcb.data_end
        room = whole - seq.diff(end, tcb.skbs[-1]) if tcb.skbs else 0
        if room <= 0 or (tcb.eor and tcb.eor[-1] == end):
            if not free(tcb):
                tcb.nospace = True
                return done
            if not tcb.skbs:
                chrono.start(tcb, chrono.BUSY)
            tcb.skbs.append(end)
            room = whole
        elif tcb.psh and tcb.psh[-1] == end:  # PSH is the sk_buff's: it moves to where that ends now
            tcb.psh = (*tcb.psh[:-1], seq.add(end, min(room, size - done)))
        step = min(room, size - done)
        tcb.sndq += data if step == size else data[done : done + step]
        done += step
        if done == size:
            return done
        push()


def _goes_on(tcb: Tcb, whole: int) -> bool:
    """Is what is written next added to the last sk_buff?"""
    end = tcb.data_end
    return bool(tcb.skbs) and seq.diff(end, tcb.skbs[-1]) < whole and (not tcb.eor or tcb.eor[-1] != end)


def sent(tcb: Tcb, entry: int) -> None:
    """What stands in the retransmission queue from `entry` on left: an sk_buff is cut where a burst ended."""
    end = tcb.data_end
    stop = tcb.snd_nxt if seq.before(tcb.snd_nxt, end) else end
    for later in tcb.rtx[entry:]:
        if later.starts and later.seq != end:  # a FIN alone has none here
            tcb.skbs_sent.append(later.seq)
    skbs = tcb.skbs
    while skbs and seq.before(skbs[0], stop):
        del skbs[0]
    if stop != end and not (skbs and skbs[0] == stop):
        skbs.insert(0, stop)


def acked(tcb: Tcb) -> None:
    """The peer acknowledged up to snd_una."""
    skbs = tcb.skbs_sent
    if not tcb.rtx:
        skbs.clear()
    while len(skbs) > 1 and not seq.after(skbs[1], tcb.snd_una):
        del skbs[0]


def expand(tcb: Tcb) -> None:
    """As large as twice the window needs, unless SO_SNDBUF said how large (tcp_sndbuf_expand)."""
    if tcb.sndbuf_fixed:
        return
    per_mss = max(tcb.mss_clamp, tcb.mss) + MAX_TCP_HEADER + _SHARED_INFO
    per_mss = (1 << (per_mss - 1).bit_length()) + _SK_BUFF
    tcb.sndbuf = max(tcb.sndbuf, min(2 * max(INIT_CWND, tcb.cwnd) * per_mss, tcb.host.sysctl.tcp_wmem[2]))


def look_for_space(tcb: Tcb) -> None:
    """Somebody was told that the buffer is full: grow it, and tell of the room that is there now (tcp_check_space)."""
    if tcb.owner is None:
        return
    if tcb.in_flight < tcb.cwnd:
        expand(tcb)
    if writable(tcb):
        tcb.nospace = False
        tcb.owner.writable()
        chrono.stop(tcb, chrono.SNDBUF)
