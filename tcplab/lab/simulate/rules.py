"""What holds inside a host whenever it has dealt with an event, whatever came: RFC 9293 3.3.1 and 3.4, and Linux's
own consistency checks (tcp_verify_left_out, the WARN_ONs of tcp_ack, tcp_recvmsg and inet_sock_destruct).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NoReturn

from tcplab.api.states import State
from tcplab.host.machine import Machine
from tcplab.lab.simulate.streams import Violation
from tcplab.tcp import delack, output, rcvbuf, seq, tso
from tcplab.tcp.env import Endpoint
from tcplab.tcp.listen import Listener
from tcplab.tcp.reassembly import SACKS
from tcplab.tcp.request import Request
from tcplab.tcp.tcb import COMPRESS, DELACK, PERSIST, REO, RTO, TLP, SentSeg, Tcb
from tcplab.tcp.timewait import TimeWait
from tcplab.units import NEVER

_OPEN: Final = (State.ESTABLISHED, State.CLOSE_WAIT)
_SENDING: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
_LARGEST: Final = rcvbuf.truesize(65_535)[0]
_MOST_AHEAD: Final = 65_535
_BEFORE: Final = (State.CLOSED, State.SYN_SENT)


def _fail(kind: str, who: str, text: object = "") -> NoReturn:
    raise Violation(kind, f"{who}: {text}" if text != "" else who)


class Keeper:
    """Watches one host, and remembers what may not go back."""

    def __init__(self, host: Machine) -> None:
        self.host = host
        self._seen: dict[int, tuple[Tcb, int, int, int]] = {}
        """Of each connection, by its identity: SND.UNA, RCV.NXT and the right edge of the window when last seen."""
        self._rcvbuf: dict[int, int] = {}
        """The greatest receive buffer that it ever had."""
        self._counted: dict[str, int] = {}
        self._waiting: dict[int, int] = {}
        """How many waited in each accept queue when last seen."""

    def look(self) -> None:
        """After an event."""
        host = self.host
        for key, flow in host.flows.items():
            if isinstance(flow, Tcb):
                if flow.key != key:
                    _fail("a flow under a wrong key", flow.label, key)
                connection(flow)
                self._never_back(flow)
                self._bounded(flow)
            elif isinstance(flow, (TimeWait, Request)) and flow.deadline == NEVER:
                _fail("no timer", flow.label, "it waits for nothing")
            _scheduled(flow)
        for group in host.listeners.values():
            for listener in group:
                queues(listener)
                self._not_overfull(listener)

    def counters(self) -> None:
        """Now and then: counters only grow, and the parts are not more than the whole."""
        host = self.host
        for name, value in host.counters.items():
            if value < self._counted.get(name, 0) and name != "TcpCurrEstab":
                _fail("a counter fell", host.name, f"{name} {value}")
        self._counted = dict(host.counters)
        get = host.counters.get
        sent, resets = get("TcpOutSegs", 0), get("TcpOutRsts", 0)
        if resets > sent:
            _fail("counters do not add up", host.name, f"{resets} resets of {sent}")
        opened = sum(isinstance(flow, Tcb) and flow.state in _OPEN for flow in host.flows.values())
        if opened != get("TcpCurrEstab", 0):
            _fail("TcpCurrEstab", host.name, f"{get('TcpCurrEstab', 0)}, but {opened} are")
        self._seen = {key: seen for key, seen in self._seen.items() if not seen[0].over}

    def _never_back(self, tcb: Tcb) -> None:
        """The window may go back only where Linux shuts it: memory is short (ICSK_ACK_NOMEM)."""
        right = seq.add(tcb.rcv_wup, tcb.rcv_wnd)
        if tcb.state in _BEFORE:
            return
        seen = self._seen.get(id(tcb))
        if seen is not None and seen[0] is tcb:
            _, una, nxt, edge = seen
            if seq.before(tcb.snd_una, una):
                _fail("SND.UNA went back", tcb.label, f"{una} to {tcb.snd_una}")
            if seq.before(tcb.rcv_nxt, nxt):
                _fail("RCV.NXT went back", tcb.label, f"{nxt} to {tcb.rcv_nxt}")
            seen_all = tcb.raddr != tcb.laddr  # to itself a host says much within one event
            if seen_all and tcb.rcv_wnd and seq.before(right, edge):
                _fail("the window shrank", tcb.label, f"{edge} to {right}")
        self._seen[id(tcb)] = tcb, tcb.snd_una, tcb.rcv_nxt, right

    def _bounded(self, tcb: Tcb) -> None:
        """No queue grows without bound."""
        largest = self._rcvbuf[id(tcb)] = max(self._rcvbuf.get(id(tcb), 0), tcb.rcvbuf)
        if tcb.rmem_alloc > largest + 2 * _LARGEST:
            _fail("receive memory without bound", tcb.label, f"{tcb.rmem_alloc} of {largest}")
        if len(tcb.sndq) > max(tcb.sndbuf, 0) + tso.goal(tcb, tcb.mss) + _MOST_AHEAD:
            _fail("send queue without bound", tcb.label, f"{len(tcb.sndq)} of {tcb.sndbuf}")

    def _not_overfull(self, listener: Listener) -> None:
        """Nobody joins a full accept queue; another listen() may make it shorter than what waits in it."""
        waiting, most = len(listener.accept_queue), listener.max_ack_backlog + 1
        if most < waiting > self._waiting.get(id(listener), 0):
            _fail("accept queue", f"{listener.host.name}:{listener.port}", f"{waiting} of {most}")
        self._waiting[id(listener)] = waiting


def connection(tcb: Tcb) -> None:
    """All that holds of one connection."""
    if tcb.over:
        _fail("over, but known", tcb.label, tcb.state.value)
    _send_space(tcb)
    _scoreboard(tcb)
    _receive_space(tcb)
    _timers(tcb)


def _send_space(tcb: Tcb) -> None:
    who, una, nxt = tcb.label, tcb.snd_una, tcb.snd_nxt
    if seq.after(una, nxt):
        _fail("SND.UNA > SND.NXT", who, f"{una} {nxt}")
    last = seq.add(tcb.data_end, tcb.fin_queued)
    if seq.after(nxt, last):
        _fail("sent what nobody wrote", who, f"{nxt}, written up to {last}")
    first = at = tcb.rtx[0].seq if tcb.rtx else nxt
    for entry in tcb.rtx:
        if entry.seq != at:
            _fail("a gap in the retransmission queue", who, f"{entry.seq} behind {at}")
        if not seq.after(entry.end, entry.seq):
            _fail("an empty segment in the retransmission queue", who, entry.seq)
        at = entry.end
    if at != nxt:
        _fail("the retransmission queue ends elsewhere", who, f"{at}, SND.NXT {nxt}")
    if tcb.state in _SENDING:
        if first != una:
            _fail("the retransmission queue begins elsewhere", who, f"{first}, SND.UNA {una}")
        syn = bool(tcb.rtx) and tcb.rtx[0].syn  # close() came before the ACK of our SYN
        if tcb.sndq and tcb.snd_base != seq.add(una, syn):
            _fail("the send buffer begins elsewhere", who, f"{tcb.snd_base}, SND.UNA {una}")
    starts = [*tcb.skbs_sent, *tcb.skbs]
    if not all(seq.before(one, two) for one, two in zip(starts, starts[1:], strict=False)):
        _fail("sk_buffs out of order", who, starts)


def _scoreboard(tcb: Tcb) -> None:
    """Linux tcp_verify_left_out, and that the counts are those of the marks."""
    who, rtx = tcb.label, tcb.rtx
    lost = sum(entry.lost for entry in rtx)
    again = sum(entry.retrans for entry in rtx)
    sacked = sum(entry.sacked for entry in rtx)
    if lost != tcb.lost_out:
        _fail("lost_out", who, f"{tcb.lost_out}, but {lost} are marked")
    if again != tcb.retrans_out:
        _fail("retrans_out", who, f"{tcb.retrans_out}, but {again} are marked")
    if tcb.sack_ok and sacked != tcb.sacked_out:
        _fail("sacked_out", who, f"{tcb.sacked_out}, but {sacked} are marked")
    if any(entry.lost and entry.sacked for entry in rtx):
        _fail("lost and SACKed", who)
    for before, entry in pairwise(rtx):
        if not entry.starts and _marks(before) != _marks(entry):
            _fail("an sk_buff of two minds", who, f"{_marks(before)}, and then {_marks(entry)} at {entry.seq}")
    if not 0 <= tcb.sacked_out + tcb.lost_out <= len(rtx):
        _fail("left_out", who, f"{tcb.sacked_out} SACKed and {tcb.lost_out} lost of {len(rtx)}")
    if len(rtx) < len(tcb.tsorted) or not tcb.tsorted.keys() <= set(rtx):
        _fail("tsorted", who, "it names what is not in the retransmission queue any more")
    if tcb.in_flight < 0:
        _fail("in flight", who, tcb.in_flight)
    if tcb.cwnd < 1 or tcb.ssthresh < 2:
        _fail("cwnd", who, f"{tcb.cwnd}, ssthresh {tcb.ssthresh}")


def _marks(entry: SentSeg) -> str:
    """What the scoreboard says of a segment (tcp_skb_cb.sacked)."""
    return (
        "".join(letter for letter, is_so in (("S", entry.sacked), ("L", entry.lost), ("R", entry.retrans)) if is_so)
        or "-"
    )


def _receive_space(tcb: Tcb) -> None:
    who = tcb.label
    unread = sum(held[0] for held in tcb.rcvskbs)
    if unread != len(tcb.rcvq):
        _fail("unread octets", who, f"{unread} in buffers, {len(tcb.rcvq)} queued")
    memory = sum(held[1] for held in tcb.rcvskbs) + sum(held.memory for held in tcb.ooo)
    if memory != tcb.rmem_alloc:
        _fail("receive memory", who, f"{tcb.rmem_alloc}, but {memory} is held")
    if tcb.state is State.SYN_SENT:
        return
    if seq.after(tcb.rcv_wup, tcb.rcv_nxt):
        _fail("RCV.WUP > RCV.NXT", who, f"{tcb.rcv_wup} {tcb.rcv_nxt}")
    at = tcb.rcv_nxt
    for early in tcb.ooo:
        if seq.before(early.seq, at) or early.seq == tcb.rcv_nxt:
            _fail("out of order, but not behind", who, f"{early.seq}, {at} came before")
        spare = seq.diff(early.end, seq.add(early.seq, len(early.octets)))
        if spare < early.fin or (spare and not early.fin):  # two that became one may each have had a FIN
            _fail("out of order, and of another length", who, f"{early.seq}:{early.end}")
        at = early.seq
    if len(tcb.sacks) > SACKS:
        _fail("too many SACK blocks", who, len(tcb.sacks))
    for left, right in tcb.sacks:
        if not seq.before(left, right) or not seq.after(left, tcb.rcv_nxt):
            _fail("a SACK block of what is acknowledged", who, f"{left}:{right}")


def _timers(tcb: Tcb) -> None:
    who, expires = tcb.label, tcb.expires
    watching = sum(expires[which] != NEVER for which in (RTO, TLP, REO))  # Linux has one timer for all three
    persist = expires[PERSIST] != NEVER
    if min(expires) < tcb.host.now:
        _fail("a timer in the past", who, expires)
    if tcb.deadline > min(expires):
        _fail("the deadline is late", who, f"{tcb.deadline} {expires}")
    if watching > 1:
        _fail("two of RTO, TLP and reordering timer run", who, expires)
    if tcb.rtx:
        if persist:
            _fail("persist timer, but segments are out", who, len(tcb.rtx))
        if not watching:
            _fail("no RTO", who, f"{len(tcb.rtx)} segments are out in {tcb.state.value}")
    elif tcb.state in _SENDING and tcb.request is None:
        if watching:
            _fail("RTO of nothing", who, expires)
        if output.unsent(tcb) and not persist:
            _fail("no persist timer", who, f"{output.unsent(tcb)} octets wait for nothing")
    if tcb.pending & delack.SCHED and expires[DELACK] == expires[COMPRESS] == NEVER:
        _fail("an ACK is owed, and no timer runs", who)


def _scheduled(flow: Endpoint) -> None:
    deadline, entry = flow.deadline, flow.entry
    if deadline != NEVER and (entry is None or entry[2] is not flow or entry[0] > deadline):
        _fail("not in the heap", flow.label, deadline)


def queues(listener: Listener) -> None:
    """The counts of the SYN queue and of the accept queue."""
    who = f"{listener.host.name}:{listener.port}"
    young = sum(request.num_timeout == 0 for request in listener.syn_queue.values())
    if young != listener.young:
        _fail("young", who, f"{listener.young}, but {young} of {len(listener.syn_queue)} are")
    for key, request in listener.syn_queue.items():
        if listener.host.flows.get(key) is not request:
            _fail("a lost request", request.label)
    settings = listener.fastopen
    if settings.qlen < len(settings.resets):
        _fail("Fast Open's queue", who, settings.qlen)


def nothing_left(host: Machine) -> None:
    """At the end, when all sockets are closed and time ran on: all was given back (tcp_v4_destroy_sock)."""
    for what, left in (
        ("flows", [flow.label for flow in host.flows.values()]),
        ("sockets", list(host.sockets)),
        ("epolls", list(host.epolls)),
        ("listeners", list(host.listeners)),
        ("bound ports", list(host.bound)),
        ("neighbours asked for", list(host.resolving)),
    ):
        if left:
            _fail(f"left behind: {what}", host.name, left)
    if host.deadline != NEVER:
        _fail("left behind: a timer", host.name, host.next_timer())
