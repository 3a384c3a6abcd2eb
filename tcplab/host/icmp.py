"""ICMP: the answer to ping, and errors that concern a connection (RFC 792, RFC 1122 section 4.2.3.9)."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from tcplab.tcp import resegment, seq, timeouts, user
from tcplab.tcp.request import Request
from tcplab.tcp.tcb import Tcb
from tcplab.wire import icmp, ipv4
from tcplab.wire.errors import WireError

if TYPE_CHECKING:
    from tcplab.host.machine import Machine

_NO_ROUTE = (0, 1)
"""Codes of type 3 that speak of the path, not of the peer."""
_NOT_HEARD, _HARDENED = 2, 3
"""Values of ip_no_pmtu_disc; with the second only what quotes an outstanding number counts, as TCP has it anyway."""
_QUOTED = struct.Struct("!HHI")
# Linux icmp_err_convert: what each code of type 3 means to a connection that is being opened.
_ERRORS = {
    0: errno.ENETUNREACH,
    1: errno.EHOSTUNREACH,
    2: errno.ENOPROTOOPT,
    3: errno.ECONNREFUSED,
    5: errno.EOPNOTSUPP,
    6: errno.ENETUNREACH,
    7: errno.EHOSTDOWN,
    8: errno.ENONET,
    9: errno.ENETUNREACH,
    10: errno.EHOSTUNREACH,
    11: errno.ENETUNREACH,
    12: errno.EHOSTUNREACH,
    13: errno.EHOSTUNREACH,
    14: errno.EHOSTUNREACH,
    15: errno.EHOSTUNREACH,
}


def arrives(machine: Machine, frame: bytes, ip: ipv4.Ipv4) -> None:
    """Answer an echo request; hand an error to the connection whose segment it quotes."""
    message = icmp.parse(frame, ip.start, ip.end)
    machine.counters["IcmpInMsgs"] += 1
    if message.type == icmp.ECHO_REQUEST and message.code == 0:
        _echo(machine, message, ip.src)
    elif message.type == icmp.UNREACHABLE:
        machine.counters["IcmpInDestUnreachs"] += 1
        if message.code == icmp.FRAG_NEEDED and machine.sysctl.ip_no_pmtu_disc == _NOT_HEARD:
            machine.dropped("", "icmp", "", "ip_no_pmtu_disc = 2: ICMP fragmentation needed is not believed")
            return
        _error(machine, message, _ERRORS.get(message.code, 0), f"destination unreachable, code {message.code}")
    elif message.type == icmp.TIME_EXCEEDED:
        machine.counters["IcmpInTimeExcds"] += 1
        _error(machine, message, errno.EHOSTUNREACH, "time exceeded")
    elif message.type == icmp.PARAMETER_PROBLEM:
        machine.counters["IcmpInParmProbs"] += 1
        _error(machine, message, errno.EPROTO, "parameter problem")
    else:
        machine.dropped("", "icmp", "", f"ICMP type {message.type} needs no answer")


def _echo(machine: Machine, message: icmp.Icmp, src: int) -> None:
    if machine.sysctl.icmp_echo_ignore_all:
        machine.dropped("", "ping ignored", "", "icmp_echo_ignore_all = 1")
        return
    machine.counters["IcmpOutEchoReps"] += 1
    answer = icmp.build(icmp.ECHO_REPLY, 0, message.rest, message.payload)
    machine.send_ip(src, icmp.PROTO, answer, "echo reply: ping was asked", "RFC 792")


def _error(machine: Machine, message: icmp.Icmp, error: int, what: str) -> None:
    """An error quotes a segment of ours: it concerns the connection of that, if the number is outstanding."""
    quoted = message.payload
    try:
        inner = ipv4.parse(quoted, 0, quoted=True)
    except WireError as wrong:
        machine.dropped("", "icmp", "IcmpInErrors", f"the quoted packet is unreadable: {wrong}")
        return
    if inner.proto != ipv4.PROTO_TCP or inner.src != machine.addr or len(quoted) < inner.start + _QUOTED.size:
        machine.dropped("", "icmp", "IcmpInErrors", "it does not quote a segment of ours")
        return
    fragmentation = message.type == icmp.UNREACHABLE and message.code == icmp.FRAG_NEEDED
    sport, dport, number = _QUOTED.unpack_from(quoted, inner.start)
    conn = machine.flows.get((inner.dst, dport, sport))
    if isinstance(conn, Request):
        conn.unreachable(number, message.type != icmp.UNREACHABLE or message.code in _NO_ROUTE, f"ICMP {what}")
    elif conn is None:
        machine.dropped("", "icmp", "IcmpInErrors", f"ICMP {what}: it concerns no connection")
    elif not isinstance(conn, Tcb) or not (error or fragmentation):
        machine.dropped("", "icmp", "", f"ICMP {what}: it concerns no connection")
    elif seq.before(number, conn.snd_una if conn.request is None else conn.iss) or seq.after(number, conn.snd_nxt):
        why = "it quotes a number that is not outstanding: it may be forged"
        machine.dropped(conn.label, "icmp", "TcpExtOutOfWindowIcmps", why, "RFC 5927 4.1")
    elif fragmentation:
        told = machine.sysctl.ip_no_pmtu_disc in (0, _HARDENED)
        resegment.mtu_reduced(conn, message.rest & 0xFFFF if told else 0)
    else:
        if message.type == icmp.UNREACHABLE and message.code in _NO_ROUTE:
            timeouts.take_back(conn, number)
        user.unreachable(conn, error, f"ICMP {what}", "RFC 1122 4.2.3.9")
