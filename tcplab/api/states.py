"""The TCP states and the one table of what leads from one to the other.

Spelled as `ss` spells them, with underscores. The table is RFC 9293 Figure 5, with what Linux adds or leaves
out named in a comment. `tcplab.tcp.machine.enter` is the only writer of a connection's state and looks it up
here; a pair that is not listed is a bug and crashes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """RFC 9293 section 3.3.2; SYN_RECV is the RFC's SYN-RECEIVED."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN_SENT"
    SYN_RECV = "SYN_RECV"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN_WAIT_1"
    FIN_WAIT_2 = "FIN_WAIT_2"
    CLOSE_WAIT = "CLOSE_WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST_ACK"
    TIME_WAIT = "TIME_WAIT"

    __hash__ = str.__hash__  # Enum's own is a Python function, and slow


# To look a member up in its class costs Python 3.11 more than many a function: what runs for every segment takes these.
CLOSED: Final = State.CLOSED
SYN_SENT: Final = State.SYN_SENT
SYN_RECV: Final = State.SYN_RECV
ESTABLISHED: Final = State.ESTABLISHED
FIN_WAIT_1: Final = State.FIN_WAIT_1
FIN_WAIT_2: Final = State.FIN_WAIT_2
CLOSE_WAIT: Final = State.CLOSE_WAIT
TIME_WAIT: Final = State.TIME_WAIT


class Cause(StrEnum):
    """What moves a connection from one state to the next."""

    PASSIVE_OPEN = "passive open"
    ACTIVE_OPEN = "active open"
    SYN = "SYN received"
    SYN_ACK = "SYN,ACK received"
    ACK_OF_SYN = "ACK of our SYN received"
    CLOSE = "close"
    FIN = "FIN received"
    ACK_OF_FIN = "ACK of our FIN received"
    RST = "RST received"
    ABORT = "abort"
    TIMEOUT = "timeout"
    ERROR = "ICMP error"
    REUSE = "new SYN on the same port pair"

    __hash__ = str.__hash__


_S: Final = State
_C: Final = Cause

_SYNCHRONIZED: Final = (
    _S.ESTABLISHED,
    _S.FIN_WAIT_1,
    _S.FIN_WAIT_2,
    _S.CLOSE_WAIT,
    _S.CLOSING,
    _S.LAST_ACK,
)

TRANSITIONS: Final[dict[tuple[State, Cause], State]] = {
    (_S.CLOSED, _C.PASSIVE_OPEN): _S.LISTEN,
    (_S.CLOSED, _C.ACTIVE_OPEN): _S.SYN_SENT,
    (_S.LISTEN, _C.SYN): _S.SYN_RECV,  # Linux: a request entry; the listener itself stays LISTEN
    (_S.LISTEN, _C.CLOSE): _S.CLOSED,
    (_S.SYN_SENT, _C.SYN): _S.SYN_RECV,  # simultaneous open
    (_S.SYN_SENT, _C.SYN_ACK): _S.ESTABLISHED,
    (_S.SYN_SENT, _C.CLOSE): _S.CLOSED,
    (_S.SYN_RECV, _C.ACK_OF_SYN): _S.ESTABLISHED,
    (_S.SYN_RECV, _C.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _C.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _C.FIN): _S.CLOSE_WAIT,
    (_S.FIN_WAIT_1, _C.ACK_OF_FIN): _S.FIN_WAIT_2,
    (_S.FIN_WAIT_1, _C.FIN): _S.CLOSING,
    (_S.FIN_WAIT_2, _C.FIN): _S.TIME_WAIT,
    (_S.CLOSE_WAIT, _C.CLOSE): _S.LAST_ACK,
    (_S.CLOSING, _C.ACK_OF_FIN): _S.TIME_WAIT,
    (_S.LAST_ACK, _C.ACK_OF_FIN): _S.CLOSED,
    (_S.TIME_WAIT, _C.TIMEOUT): _S.CLOSED,  # 2MSL; Linux: 60 s
    (_S.TIME_WAIT, _C.RST): _S.CLOSED,  # RFC 1337's hazard, unless tcp_rfc1337 = 1
    (_S.TIME_WAIT, _C.REUSE): _S.CLOSED,  # RFC 9293 MAY-2; Linux tcp_timewait_state_process
    (_S.FIN_WAIT_2, _C.REUSE): _S.CLOSED,  # an orphan whose port bind() named: Linux tcp_twsk_unique
    **{(state, _C.RST): _S.CLOSED for state in (_S.SYN_SENT, _S.SYN_RECV, *_SYNCHRONIZED)},
    **{(state, _C.ABORT): _S.CLOSED for state in (_S.LISTEN, _S.SYN_SENT, _S.SYN_RECV, *_SYNCHRONIZED)},
    **{(state, _C.TIMEOUT): _S.CLOSED for state in (_S.SYN_SENT, _S.SYN_RECV, *_SYNCHRONIZED)},
    **{(state, _C.ERROR): _S.CLOSED for state in (_S.SYN_SENT, _S.SYN_RECV, *_SYNCHRONIZED)},
}


def diagram() -> str:
    """The table as a Mermaid state diagram; what ends a connection from many states alike is left to the words."""
    everywhere = (Cause.RST, Cause.ABORT, Cause.TIMEOUT, Cause.ERROR)
    lines = ["stateDiagram-v2", "    direction TB", "    [*] --> CLOSED"]
    for (old, cause), new in TRANSITIONS.items():
        if cause not in everywhere or old is State.TIME_WAIT:
            lines.append(f"    {old.value} --> {new.value}: {cause.value}")
    return "\n".join(lines) + "\n"
