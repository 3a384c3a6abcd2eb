"""Neighbours: whose MAC address belongs to an IP address (RFC 826), and what waits for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcplab.api.events import Timer
from tcplab.tcp.env import Entry
from tcplab.units import NEVER, SEC, Nanos
from tcplab.wire import arp, ethernet
from tcplab.wire.ipv4 import text as ip_text

if TYPE_CHECKING:
    from tcplab.host.machine import Machine

REQUEST, REPLY = 1, 2
_TRIES = 3  # Linux mcast_solicit
_WAIT: Nanos = SEC  # Linux retrans_time
_UNKNOWN = bytes(6)
_MOST_WAITING = 64


class Resolution:
    """An address whose MAC is asked for, and the packets that wait: (IP packet, why, ref, repeated)."""

    __slots__ = ("addr", "armed", "deadline", "entry", "machine", "tries", "waiting")

    def __init__(self, machine: Machine, addr: int) -> None:
        self.machine = machine
        self.addr = addr
        self.tries = 0
        self.waiting: list[tuple[bytes, str, str, bool]] = []
        self.armed: Nanos = 0
        self.entry: Entry | None = None
        self.deadline: Nanos = NEVER

    @property
    def label(self) -> str:
        """For the next-timer line."""
        return f"who has {ip_text(self.addr)}"

    def hold(self, packet: bytes, why: str, ref: str, rtx: bool) -> None:
        """Keep a packet until the answer comes; the oldest goes when there are too many."""
        self.waiting.append((packet, why, ref, rtx))
        del self.waiting[:-_MOST_WAITING]

    def ask(self) -> None:
        """Broadcast the question, and look again in a second."""
        machine = self.machine
        self.tries += 1
        payload = arp.build(REQUEST, machine.mac, machine.addr, _UNKNOWN, self.addr)
        frame = ethernet.header(ethernet.BROADCAST, machine.mac, ethernet.ETH_ARP) + payload
        machine.put(frame, f"ARP: who has {ip_text(self.addr)}? Try {self.tries} of {_TRIES}", "RFC 826")
        self.armed = machine.now
        self.deadline = machine.now + _WAIT
        machine.schedule(self)
        if machine.tracing:
            event = Timer(
                machine.now, machine.name, self.label, "arp", "armed", self.deadline, self.tries, "ARP", "RFC 826"
            )
            machine.emit(event)

    def on_timer(self) -> None:
        """No answer yet: ask again, or tell whoever waits."""
        if self.tries < _TRIES:
            self.ask()
        else:
            self.deadline = NEVER
            self.machine.neighbour_failed(self.addr)


def arrives(machine: Machine, frame: bytes) -> None:
    """Learn from a question or an answer, and answer a question for our own address."""
    packet = arp.parse(frame, ethernet.HEADER)
    asked = packet.tpa == machine.addr
    if packet.spa == machine.addr:
        machine.dropped(
            "", "ARP conflict", "", f"{ip_text(packet.spa)} is our own address: not believed", "RFC 5227 2.4"
        )
    elif packet.spa and (asked or packet.spa in machine.resolving):
        machine.learn(packet.spa, packet.sha)
    if packet.op == REQUEST and asked:
        payload = arp.build(REPLY, machine.mac, machine.addr, packet.sha, packet.spa)
        answer = ethernet.header(packet.sha, machine.mac, ethernet.ETH_ARP) + payload
        machine.put(answer, f"ARP: {ip_text(machine.addr)} is here", "RFC 826")
