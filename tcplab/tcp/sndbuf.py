"""The send buffer as Linux accounts for it: in sk_buffs, each with its overhead (sk_wmem_queued).

What the application writes fills the last sk_buff that was not sent, up to `tso.goal` octets; another is begun only
while there is room, and then it is filled whatever its size: so a write may exceed SO_SNDBUF by almost one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcplab.tcp import chrono, cwnd, seq
from tcplab.tcp.tcb import INIT_CWND, Tcb
from tcplab.tcp.tso import MAX_TCP_HEADER
from tcplab.units import Seq

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


def take(tcb: Tcb, data: bytes, whole: int, push: Callable[[], None]) -> int:
    """Put `data` into the queue, as much as there is room for; `push` after each sk_buff that is full (`whole`).

    How many octets were taken (tcp_sendmsg_locked).
    """
    size, done = len(data), 0
    while True:
        end = tcb.data_end
        room = whole - seq.diff(end, tcb.skbs[-1]) if tcb.skbs else 0
        if room <= 0 or (tcb.eor and end in tcb.eor):
            if not free(tcb):
                tcb.nospace = True
                return done
            if not tcb.skbs:
                chrono.start(tcb, chrono.BUSY)
            tcb.skbs.append(end)
            cwnd.restart(tcb)
            room = whole
        step = min(room, size - done)
        for cut in tcb.eor:
            if seq.after(cut, end):
                step = min(step, seq.diff(cut, end))
        if tcb.pushes and tcb.pushes[-1] == end != tcb.skbs[-1]:
            tcb.pushes = (*tcb.pushes[:-1], seq.add(end, step))  # the mark is the sk_buff's, so it moves to its new end
        tcb.sndq += data if step == size else data[done : done + step]
        done += step
        if tcb.eor and tcb.data_end in tcb.eor:
            mark(tcb)
        if done == size:
            return done
        push()


def mark(tcb: Tcb) -> None:
    """The end of what is written now is to be pushed, if it was not sent already (tcp_mark_push)."""
    if tcb.skbs:
        end = tcb.pushed_seq = tcb.data_end
        if not tcb.pushes or tcb.pushes[-1] != end:
            tcb.pushes += (end,)


def forced(tcb: Tcb) -> bool:
    """Half of the greatest window was written without a mark (forced_push)."""
    return seq.diff(tcb.data_end, tcb.pushed_seq) > tcb.max_window >> 1


def head_end(tcb: Tcb, wanted: int) -> Seq:
    """Where the first sk_buff that was not sent ends. If it has less than `wanted` octets the next one gives it some,
    or all, and a mark moves along (tcp_grow_skb).
    """
    skbs, first = tcb.skbs, tcb.snd_nxt
    if len(skbs) < 2:
        return tcb.data_end
    end = skbs[1]
    missing = wanted - seq.diff(end, first)
    if missing <= 0 or (tcb.eor and end in tcb.eor):
        return end
    behind = skbs[2] if len(skbs) > 2 else tcb.data_end
    grown = seq.add(end, missing)
    if seq.before(grown, behind):
        skbs[1] = grown
    else:
        grown = behind
        del skbs[1]
    if tcb.pushes and tcb.pushes[0] == end:
        behind_it = tcb.pushes[1:]
        tcb.pushes = behind_it if behind_it and behind_it[0] == grown else (grown, *behind_it)
    return grown


def marked(tcb: Tcb, end: Seq) -> bool:
    """The sk_buff that leaves ends at `end`: does its mark leave with it?"""
    if not tcb.pushes:
        return False
    tcb.pushes = tuple(at for at in tcb.pushes if not seq.before(at, end))
    if not tcb.pushes or tcb.pushes[0] != end:
        return False
    tcb.pushes = tcb.pushes[1:]
    return True


def sent(tcb: Tcb, at: Seq, entry: int) -> None:
    """All from `at` up to snd_nxt left as one sk_buff; where it was cut the next one begins (tso_fragment).

    `entry` is where they begin in the retransmission queue: there each sk_buff begins with a segment.
    """
    if len(tcb.rtx) - entry > 1:
        for later in tcb.rtx[entry + 1 :]:
            later.starts = False
    end = (tcb.snd_base + len(tcb.sndq)) & seq.MASK
    if at == end:  # a FIN alone
        return
    stop = tcb.snd_nxt if (tcb.snd_nxt - end) & seq.MASK >= seq.HALF else end
    skbs = tcb.skbs
    while skbs and seq.before(skbs[0], stop):
        del skbs[0]
    tcb.skbs_sent.append(at)
    if stop != end and not (skbs and skbs[0] == stop):
        skbs.insert(0, stop)


def acked(tcb: Tcb) -> None:
    """The peer acknowledged up to snd_una."""
    skbs = tcb.skbs_sent
    if not tcb.rtx:
        skbs.clear()
    while len(skbs) > 1 and (tcb.snd_una - skbs[1]) & seq.MASK < seq.HALF:
        del skbs[0]


def expand(tcb: Tcb) -> None:
    """As large as twice the window needs, unless SO_SNDBUF said how large (tcp_sndbuf_expand)."""
    if tcb.sndbuf_fixed:
        return
    per_mss = max(tcb.mss_clamp, tcb.mss) + MAX_TCP_HEADER + _SHARED_INFO
    per_mss = (1 << (per_mss - 1).bit_length()) + _SK_BUFF
    tcb.sndbuf = max(
        tcb.sndbuf, min(tcb.cc.sndbuf_factor * max(INIT_CWND, tcb.cwnd) * per_mss, tcb.host.sysctl.tcp_wmem[2])
    )


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
