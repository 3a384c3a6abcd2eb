"""What holds inside a host whenever it has dealt with an event, whatever came: RFC 9293 3.3.1 and 3.4, and Linux's
own consistency checks (tcp_verify_left_out, the WARN_ONs of tcp_ack, tcp_recvmsg and inet_sock_destruct).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tcplab.api.states import State
from tcplab.host.machine import Machine
from tcplab.lab.simulate.streams import Violation
from tcplab.tcp import delack, output, rcvbuf, seq, tso
from tcplab.tcp.listen import Listener
from tcplab.tcp.request import Request
from tcplab.tcp.reassembly import SACKS
from tcplab.tcp.tcb import DELACK, PERSIST, RTO, TLP, Tcb
from tcplab.tcp.timewait import TimeWait
from tcplab.units import NEVER

_SENDING: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
_LARGEST: Final = rcvbuf.truesize(65_535)[0]


def _must(holds: object, kind: str, who: str, text: Callable[[], str]) -> None:
    if not holds:
        raise Violation(kind, f"{who}: {text()}")


class Keeper:
    """Watches one host, and remembers what may not go back."""

    def __init__(self, host: Machine) -> None:
        self.host = host
        self._edges: dict[int, tuple[Tcb, int, int, int]] = {}
        """Of each connection, by its identity: SND.UNA, RCV.NXT and the right edge of the window when last seen."""
        self._counted: dict[str, int] = {}

    def look(self) -> None:
        """After an event."""
        host = self.host
        for key, flow in host.flows.items():
            _must(flow.key == key, "flow under a wrong key", flow.label, lambda: str(key))
            if isinstance(flow, Tcb):
                connection(flow)
                self._never_back(flow)
            elif isinstance(flow, (TimeWait, Request)):
                _must(flow.deadline != NEVER, "no timer", flow.label, lambda: "it waits for nothing")
            _scheduled(flow)
        for group in host.listeners.values():
            for listener in group:
                queues(listener)

    def counters(self) -> None:
        """Now and then: counters only grow, and the parts are not more than the whole."""
        host = self.host
        for name, value in host.counters.items():
            _must(value >= self._counted.get(name, 0), "a counter fell", host.name, lambda: f"{name} {value}")
        self._counted = dict(host.counters)
        get = host.counters.get
        sent, again, resets = get("TcpOutSegs", 0), get("TcpRetransSegs", 0), get("TcpOutRsts", 0)
        _must(again + resets <= sent, "counters do not add up", host.name, lambda: f"{again} + {resets} of {sent}")
        self._edges = {key: seen for key, seen in self._edges.items() if not seen[0].over}

    def _never_back(self, tcb: Tcb) -> None:
        right = seq.add(tcb.rcv_wup, tcb.rcv_wnd)
        seen = self._edges.get(id(tcb))
        if seen is not None and seen[0] is tcb:
            _, una, nxt, edge = seen
            _must(not seq.before(tcb.snd_una, una), "SND.UNA went back", tcb.label, lambda: f"{una} {tcb.snd_una}")
            if nxt or tcb.rcv_nxt:
                _must(not seq.before(tcb.rcv_nxt, nxt), "RCV.NXT went back", tcb.label, lambda: f"{nxt} {tcb.rcv_nxt}")
            _must(
                tcb.state is State.SYN_SENT or tcb.rcv_wnd == 0 or not seq.before(right, edge),
                "the window shrank", tcb.label, lambda: f"{edge} {right}",
            )  # fmt: skip  # Linux may shut it when memory is short (ICSK_ACK_NOMEM)
        elif tcb.state is State.SYN_SENT:
            return
        self._edges[id(tcb)] = tcb, tcb.snd_una, tcb.rcv_nxt, right


def connection(tcb: Tcb) -> None:
    """All that holds of one connection."""
    _must(tcb.state not in (State.CLOSED, State.TIME_WAIT), "over, but known", tcb.label, lambda: tcb.state.value)
    _send_space(tcb)
    _scoreboard(tcb)
    _receive_space(tcb)
    _timers(tcb)


def _send_space(tcb: Tcb) -> None:
    who = tcb.label
    _must(not seq.after(tcb.snd_una, tcb.snd_nxt), "SND.UNA > SND.NXT", who, lambda: f"{tcb.snd_una} {tcb.snd_nxt}")
    last = seq.add(tcb.data_end, tcb.fin_queued)
    _must(not seq.after(tcb.snd_nxt, last), "sent what nobody wrote", who, lambda: f"{tcb.snd_nxt} {last}")
    at = tcb.rtx[0].seq if tcb.rtx else tcb.snd_nxt
    for entry in tcb.rtx:
        _must(entry.seq == at, "a gap in the queue", who, lambda: f"{entry.seq} behind {at}")  # noqa: B023
        _must(seq.after(entry.end, entry.seq), "an empty segment queued", who, lambda: f"{entry.seq}")  # noqa: B023
        at = entry.end
    _must(at == tcb.snd_nxt, "the queue ends elsewhere", who, lambda: f"{at}, SND.NXT {tcb.snd_nxt}")
    if tcb.state in _SENDING:
        first = tcb.rtx[0].seq if tcb.rtx else tcb.snd_nxt
        _must(first == tcb.snd_una, "the queue begins elsewhere", who, lambda: f"{first}, SND.UNA {tcb.snd_una}")
        base = tcb.snd_una if not tcb.sndq else tcb.snd_base
        _must(base == tcb.snd_una, "the buffer begins elsewhere", who, lambda: f"{base}, SND.UNA {tcb.snd_una}")
    starts = [*tcb.skbs_sent, *tcb.skbs]
    ordered = all(seq.before(one, two) for one, two in zip(starts, starts[1:], strict=False))
    _must(ordered, "sk_buffs out of order", who, lambda: str(starts))


def _scoreboard(tcb: Tcb) -> None:
    who = tcb.label
    lost = sum(entry.lost for entry in tcb.rtx)
    again = sum(entry.retrans for entry in tcb.rtx)
    sacked = sum(entry.sacked for entry in tcb.rtx)
    _must(lost == tcb.lost_out, "lost_out", who, lambda: f"{tcb.lost_out}, but {lost} are marked")
    _must(again == tcb.retrans_out, "retrans_out", who, lambda: f"{tcb.retrans_out}, but {again} are marked")
    if tcb.sack_ok:
        _must(sacked == tcb.sacked_out, "sacked_out", who, lambda: f"{tcb.sacked_out}, but {sacked} are marked")
    both = any(entry.lost and entry.sacked for entry in tcb.rtx)
    _must(not both, "lost and SACKed", who, lambda: "one segment is both")
    left_out = tcb.sacked_out + tcb.lost_out
    _must(0 <= left_out <= len(tcb.rtx), "left_out", who, lambda: f"{left_out} of {len(tcb.rtx)}")
    _must(tcb.in_flight >= 0, "in flight", who, lambda: str(tcb.in_flight))
    _must(tcb.cwnd >= 1, "cwnd", who, lambda: str(tcb.cwnd))
    _must(tcb.ssthresh >= 2, "ssthresh", who, lambda: str(tcb.ssthresh))


def _receive_space(tcb: Tcb) -> None:
    who = tcb.label
    unread = sum(held[0] for held in tcb.rcvskbs)
    _must(unread == len(tcb.rcvq), "unread octets", who, lambda: f"{unread} in buffers, {len(tcb.rcvq)} queued")
    memory = sum(held[1] for held in tcb.rcvskbs) + tcb.ooo_rmem
    _must(memory == tcb.rmem_alloc, "receive memory", who, lambda: f"{tcb.rmem_alloc}, but {memory} is held")
    _must(tcb.ooo or not tcb.ooo_rmem, "memory of nothing", who, lambda: f"{tcb.ooo_rmem}")
    _must(0 <= tcb.ooo_rmem <= tcb.rmem_alloc, "receive memory", who, lambda: f"{tcb.ooo_rmem} out of order")
    if tcb.state is not State.SYN_SENT:
        _must(not seq.after(tcb.rcv_wup, tcb.rcv_nxt), "RCV.WUP > RCV.NXT", who, lambda: f"{tcb.rcv_wup} {tcb.rcv_nxt}")
    at = tcb.rcv_nxt
    for first, data, fin in tcb.ooo:
        _must(seq.after(first, at) or at != tcb.rcv_nxt, "in order, but it waits", who, lambda: f"{first}")  # noqa: B023
        _must(not seq.before(first, at), "overlap out of order", who, lambda: f"{first} before {at}")  # noqa: B023
        at = seq.add(first, len(data) + fin)
    _must(len(tcb.sacks) <= SACKS, "SACK blocks", who, lambda: str(len(tcb.sacks)))
    for left, right in tcb.sacks:
        sound = seq.before(left, right) and seq.after(left, tcb.rcv_nxt)
        _must(sound, "a SACK block of what is acknowledged", who, lambda: f"{left}:{right}")  # noqa: B023


def _timers(tcb: Tcb) -> None:
    who, now = tcb.label, tcb.host.now
    armed = [at != NEVER for at in tcb.expires]
    _must(min(tcb.expires) >= now, "a timer in the past", who, lambda: str(tcb.expires))
    _must(tcb.deadline <= min(tcb.expires), "the deadline is late", who, lambda: f"{tcb.deadline} {tcb.expires}")
    _must(not (armed[RTO] and armed[TLP]), "RTO and TLP", who, lambda: "both run")
    _must(not (armed[PERSIST] and tcb.rtx), "persist", who, lambda: "it runs, but segments are out")
    if tcb.rtx:
        _must(armed[RTO] or armed[TLP], "no RTO", who, lambda: f"{len(tcb.rtx)} segments are out in {tcb.state.value}")
    elif tcb.state in _SENDING and tcb.request is None:
        _must(not armed[TLP] and not armed[RTO], "RTO of nothing", who, lambda: str(tcb.expires))
        waits = output.unsent(tcb)
        _must(not waits or armed[PERSIST], "no persist timer", who, lambda: f"{waits} octets wait for nothing")
    if tcb.pending & delack.SCHED:
        _must(armed[DELACK], "no delayed ACK", who, lambda: "an ACK is owed, and no timer runs")


def _scheduled(flow: object) -> None:
    deadline, entry = flow.deadline, flow.entry  # type: ignore[attr-defined]
    known = deadline == NEVER or (entry is not None and entry[2] is flow and entry[0] <= deadline)
    _must(known, "not in the heap", flow.label, lambda: str(deadline))  # type: ignore[attr-defined]


def queues(listener: Listener) -> None:
    """The limits and the counts of the SYN queue and the accept queue."""
    who = f"{listener.host.name}:{listener.port}"
    half, whole = len(listener.syn_queue), len(listener.accept_queue)
    _must(0 <= listener.young <= half, "young", who, lambda: f"{listener.young} of {half}")
    young = sum(request.num_timeout == 0 for request in listener.syn_queue.values())
    _must(young == listener.young, "young", who, lambda: f"{listener.young}, but {young} are")
    for key, request in listener.syn_queue.items():
        _must(listener.host.flows.get(key) is request, "a lost request", who, lambda: request.label)  # noqa: B023
    settings = listener.fastopen
    _must(settings.qlen >= len(settings.resets), "Fast Open queue", who, lambda: f"{settings.qlen}")
    limit = listener.max_ack_backlog + 1
    _must(whole <= limit, "accept queue", who, lambda: f"{whole} of {limit}")


def buffers(tcb: Tcb, largest_rcvbuf: int) -> None:
    """No queue grows without bound."""
    who = tcb.label
    _must(
        tcb.rmem_alloc <= largest_rcvbuf + 2 * _LARGEST, "receive memory without bound", who,
        lambda: f"{tcb.rmem_alloc} of {largest_rcvbuf}",
    )  # fmt: skip
    most = tso.goal(tcb)
    _must(
        len(tcb.sndq) <= max(tcb.sndbuf, 0) + most + 65_535, "send queue without bound", who,
        lambda: f"{len(tcb.sndq)} of {tcb.sndbuf}",
    )  # fmt: skip


def nothing_left(host: Machine) -> None:
    """At the end, when all sockets are closed and time ran on: all was given back (tcp_v4_destroy_sock)."""
    name = host.name
    for what, left in (
        ("flows", [flow.label for flow in host.flows.values()]),
        ("sockets", list(host.sockets)),
        ("epolls", list(host.epolls)),
        ("listeners", list(host.listeners)),
        ("bound ports", list(host.bound)),
        ("neighbours asked for", list(host.resolving)),
    ):
        _must(not left, f"left behind: {what}", name, lambda: str(left))  # noqa: B023
    _must(host.deadline == NEVER, "left behind: a deadline", name, host.next_timer)
    live = [entry for entry in host._timers if entry[2] is not None]
    _must(not live, "left behind: timers", name, lambda: str(len(live)))
