"""Packets of a script and of the wire: one made from the other, and the two compared."""

from __future__ import annotations

from dataclasses import dataclass, field

from tcplab.lab.drill.errors import Mismatch
from tcplab.lab.drill.script import Icmp, Option, Packet
from tcplab.wire import icmp as wire_icmp
from tcplab.wire import ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment

_BITS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "U": URG, "E": ECE, "W": CWR}
_ECN = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
_MASK = 0xFFFFFFFF


@dataclass(slots=True)
class Flow:
    """A connection of the script: its ports, where both sides' numbers begin on the wire, and its timestamps.

    A script counts from 0, which is each side's ISN; only the number of a SYN of the peer is the wire's own.
    """

    local_port: int
    remote_port: int
    fd: int = -1
    isn: int | None = None
    """The host's; None: its SYN was not seen."""
    peer_isn: int | None = None
    """The peer's; None: it sent no SYN."""
    candidate: int | None = None
    """The number of a later SYN of the peer, which may begin a new connection with the same ports."""
    ts: dict[int, int] = field(default_factory=dict)
    """The host's timestamps: the script's number -> the one on the wire."""
    first_ts: tuple[int, int, int] | None = None
    """Of the first timestamp: the script's number, the wire's, and the time in microseconds."""

    @property
    def shift(self) -> int:
        """What is added to a number of the host in the script to have the wire's."""
        return self.isn or 0

    @property
    def remote_isn(self) -> int:
        """The same for the peer's numbers."""
        return self.peer_isn or 0


@dataclass(slots=True)
class Seen:
    """A TCP segment of the host, with its numbers as the script counts them. `packet` is the last of a sum."""

    segment: Segment
    ip: ipv4.Ipv4
    at: int
    why: str
    flags: int
    length: int
    count: int = 1


def flags_of(letters: str) -> int:
    """The bits of `S.`, `P.`, `FP.`."""
    bits = 0
    for letter in letters:
        bits |= _BITS[letter]
    return bits


def letters_of(bits: int) -> str:
    """As the script writes flags; none is `-`."""
    return "".join(letter for letter, bit in _BITS.items() if bits & bit) or "-"


# --- from the script to the wire --------------------------------------------------------------------------------------


def build(packet: Packet, flow: Flow, local: int, remote: int) -> bytes:
    """The IP packet that the peer sends."""
    source, target = packet.ports or (flow.remote_port, flow.local_port)
    ack = (packet.ack + flow.shift) & _MASK if packet.ack is not None else 0
    options = b"".join(_encode(option, flow) for option in packet.options or ())
    first = packet.seq if "S" in packet.flags else (packet.seq + flow.remote_isn) & _MASK
    segment = wire_tcp.build(
        remote, local, source, target, first, ack, flags_of(packet.flags), packet.win or 0, options,
        bytes(packet.length), packet.urg,
    )  # fmt: skip
    tos = packet.tos if packet.tos is not None else _ECN.get(packet.ecn, 0)
    return ipv4.build(remote, local, ipv4.PROTO_TCP, segment, 0, packet.ttl or 255, tos)


def _encode(option: Option, flow: Flow) -> bytes:
    name, numbers = option.name, option.numbers
    if name == "nop":
        return opt.nop()
    if name == "eol":
        return b"\0"
    if name == "mss":
        return opt.mss(numbers[0])
    if name == "wscale":
        return opt.window_scale(numbers[0])
    if name == "sackOK":
        return opt.sack_permitted()
    if name == "TS":
        return opt.timestamps(numbers[0], flow.ts.get(numbers[1], numbers[1]))
    if name == "sack":
        shifted = [(number + flow.shift) & _MASK for number in numbers]
        return opt.sack(zip(shifted[::2], shifted[1::2], strict=True))
    body = bytes.fromhex(option.digits)
    if name == "FO":
        return opt.fastopen(body)
    if name == "FOEXP":
        return bytes((opt.EXPERIMENT, 4 + len(body))) + opt.FASTOPEN_MAGIC + body
    return bytes((19, 2 + len(body))) + body


_UNREACHABLE = {
    "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3, "frag_needed": 4,
    "source_route_failed": 5, "net_unknown": 6, "host_unknown": 7, "source_host_isolated": 8, "net_prohibited": 9,
    "host_prohibited": 10, "net_unreachable_for_tos": 11, "host_unreachable_for_tos": 12, "packet_filtered": 13,
    "precedence_violation": 14, "precedence_cutoff": 15,
}  # fmt: skip


def icmp_numbers(icmp: Icmp) -> tuple[int, int] | None:
    """ICMP type and code of their names; None: no such name."""
    if icmp.type in ("unreachable", "unreach"):
        code = _UNREACHABLE.get(icmp.code or "net_unreachable")
        return None if code is None else (3, code)
    fixed = {"time_exceeded": 11, "source_quench": 4, "redirect": 5, "echo_request": 8, "echo_reply": 0}
    return (fixed[icmp.type], 0) if icmp.type in fixed else None


def build_icmp(icmp: Icmp, flow: Flow, local: int, remote: int) -> bytes:
    """The ICMP error that a router sends about a segment of the host."""
    numbers = icmp_numbers(icmp)
    assert numbers is not None
    number = (icmp.seq + flow.shift) & _MASK
    quoted = wire_tcp.build(local, remote, flow.local_port, flow.remote_port, number, 0, ACK, 0)
    header = ipv4.build(local, remote, ipv4.PROTO_TCP, quoted + bytes(icmp.length))[: ipv4.HEADER]
    message = wire_icmp.build(*numbers, icmp.mtu or 0, header + quoted)
    return ipv4.build(remote, local, ipv4.PROTO_ICMP, message)


# --- from the wire to the script --------------------------------------------------------------------------------------


def read(at: int, packet: bytes, why: str) -> Seen | None:
    """A packet of the host; None: it carries no TCP."""
    ip = ipv4.parse(packet, 0)
    if ip.proto != ipv4.PROTO_TCP:
        return None
    segment = wire_tcp.parse(packet, ip.start, ip.end, ip.src, ip.dst)
    return Seen(segment, ip, at, why, segment.flags, len(segment.payload))


def add(first: Seen, more: Seen) -> None:
    """Count `more`, which goes on where `first` ends, as a part of it: what a stack sends that has no TSO."""
    first.flags |= more.flags
    first.length += more.length
    first.count += 1


def compare(packet: Packet, seen: Seen, flow: Flow, line: int) -> None:
    """Mismatch: a field of the segment is not what the script says."""
    segment = seen.segment

    def check(name: str, expected: object, saw: object) -> None:
        if expected != saw:
            raise Mismatch(line, name, str(expected), str(saw), seen.why)

    loose = PSH if seen.count > 1 else 0  # Linux sets PSH on whatever it sends as one packet with TSO
    check("flags", letters_of(flags_of(packet.flags) & ~loose), letters_of(seen.flags & ~loose))
    if not segment.flags & SYN:
        check("seq", packet.seq, _number(segment, flow.shift))
    check("payload", packet.length, seen.length)
    if "." in packet.flags:
        begins = 0 if segment.flags & SYN else flow.remote_isn  # beside a SYN the peer's number is the wire's own
        check("ack", packet.ack or 0, (segment.ack - begins) & _MASK)
    if packet.win is not None:
        check("win", packet.win, segment.window)
    check("urg", packet.urg, segment.urgent)
    if packet.ports is not None:
        check("ports", packet.ports, (segment.sport, segment.dport))
    if packet.options is not None:
        expected = " ".join(_said(option, strict_ts=False) for option in packet.options)
        check("options", expected, " ".join(_said(option, strict_ts=False) for option in options(segment, flow)))
    if packet.tos is not None:
        check("tos", packet.tos, seen.ip.tos)
    elif packet.ecn == "ect01":
        check("ECN", "ect0 or ect1", "ect0 or ect1" if seen.ip.tos & 3 in (1, 2) else f"{seen.ip.tos & 3}")
    elif packet.ecn:
        check("ECN", _ECN[packet.ecn], seen.ip.tos & 3)
    if packet.ttl is not None:
        check("ttl", packet.ttl, seen.ip.ttl)


def options(segment: Segment, flow: Flow) -> tuple[Option, ...]:
    """The options of a segment of the host, in its order."""
    return tuple(_decode(kind, body, flow) for kind, body in _walk(segment.raw_options))


def _walk(raw: bytes) -> list[tuple[int, bytes]]:
    """As `tcp_options.walk`, but with what stands behind the end of the list."""
    found = list(opt.walk(raw))
    used = sum(1 if kind == opt.NOP else 2 + len(body) for kind, body in found)
    return found + [(opt.EOL, b"")] * (len(raw) - used)


def _decode(kind: int, body: bytes, flow: Flow) -> Option:
    numbers = tuple(int.from_bytes(body[at : at + 4], "big") for at in range(0, len(body) - 3, 4))
    if kind == opt.NOP:
        return Option("nop")
    if kind == opt.EOL:
        return Option("eol")
    if kind == opt.MSS:
        return Option("mss", (int.from_bytes(body, "big"),))
    if kind == opt.WSCALE:
        return Option("wscale", (int.from_bytes(body, "big"),))
    if kind == opt.SACK_PERMITTED:
        return Option("sackOK")
    if kind == opt.TS:
        return Option("TS", numbers)
    if kind == opt.SACK:
        return Option("sack", tuple((number - flow.remote_isn) & _MASK for number in numbers))
    if kind == opt.FASTOPEN:
        return Option("FO", digits=body.hex())
    if kind == opt.EXPERIMENT and body[:2] == opt.FASTOPEN_MAGIC:
        return Option("FOEXP", digits=body[2:].hex())
    return Option("md5" if kind == 19 else f"kind-{kind}", digits=body.hex())


def _said(option: Option, strict_ts: bool) -> str:
    if option.name == "TS" and not strict_ts:
        return f"TS ecr {option.numbers[1]}"
    if option.name == "sack":
        pairs = zip(option.numbers[::2], option.numbers[1::2], strict=True)
        return "sack " + " ".join(f"{left}:{right}" for left, right in pairs)
    return " ".join([option.name, *(str(number) for number in option.numbers), option.digits]).strip()


def _number(segment: Segment, shift: int) -> int:
    """As the script counts; a RST of nobody, which has no number of its own, is 0 on the wire and in the script."""
    if segment.flags & RST and segment.flags & ACK and segment.seq == 0:
        return 0
    return (segment.seq - shift) & _MASK


def timestamp(segment: Segment) -> int | None:
    """The value of its timestamp option."""
    return segment.ts[0] if segment.ts is not None else None


def describe(seen: Seen, flow: Flow | None) -> str:
    """The segment in the script's notation."""
    segment = seen.segment
    shift = flow.shift if flow is not None else 0
    first = _number(segment, shift)
    text = f"> {letters_of(seen.flags)} {first}:{(first + seen.length) & _MASK}({seen.length})"
    if seen.flags & ACK:
        text += f" ack {(segment.ack - (flow.remote_isn if flow is not None else 0)) & _MASK}"
    text += f" win {segment.window}"
    names = [_said(option, strict_ts=True) for option in options(segment, flow or Flow(0, 0))]
    return f"{text} <{','.join(names)}>" if names else text
