"""What one ACK told: the flags of Linux's tcp_input.c, its tcp_sacktag_state, and of its rate_sample what RACK asks."""

from __future__ import annotations

from typing import Final

from tcplab.tcp import seq
from tcplab.tcp.tcb import SentSeg
from tcplab.units import Nanos, Seq

DATA: Final = 0x01
"""It carries data, SYN or FIN itself."""
WIN_UPDATE: Final = 0x02
DATA_ACKED: Final = 0x04
RETRANS_DATA_ACKED: Final = 0x08
"""Some of what it acknowledges was repeated."""
SYN_ACKED: Final = 0x10
DATA_SACKED: Final = 0x20
ECE: Final = 0x40
LOST_RETRANS: Final = 0x80
"""A repeat was found lost."""
ORIG_SACK_ACKED: Final = 0x200
"""Something arrived that was never repeated, and was outstanding when recovery began."""
SND_UNA_ADVANCED: Final = 0x400
DSACKING_ACK: Final = 0x800
SET_XMIT_TIMER: Final = 0x1000
SACK_RENEGING: Final = 0x2000
"""snd_una stands where a segment begins that was SACKed."""
DSACK_TLP: Final = 0x8000
ACK_MAYBE_DELAYED: Final = 0x10000
"""It acknowledges a small segment alone, when nothing else was outstanding: the peer may have kept it."""

ANY_ACKED: Final = DATA_ACKED | SYN_ACKED
NOT_DUP: Final = DATA | WIN_UPDATE | ANY_ACKED
CA_ALERT: Final = DATA_SACKED | ECE | DSACKING_ACK
FORWARD_PROGRESS: Final = ANY_ACKED | DATA_SACKED

REXMIT_NONE, REXMIT_LOST, REXMIT_NEW = range(3)
"""What the ACK lets out: nothing special, what is lost, new data (F-RTO)."""


class Acked:
    """One ACK while it is being worked on."""

    __slots__ = (
        "ca_rtt", "ecr", "first_sackt", "flags", "last_sackt", "newest", "prior_delivered", "rate_end", "rate_sent",
        "reord", "rexmit", "sack_delivered",
    )  # fmt: skip

    def __init__(self, flags: int = 0, ecr: int = 0) -> None:
        self.flags = flags
        self.ecr = ecr
        """The timestamp that it echoes, 0 if none."""
        self.rexmit = REXMIT_NONE
        self.reord: Seq = 0
        """Where the lowest segment begins that was overtaken."""
        self.sack_delivered = 0
        self.first_sackt: Nanos = -1
        self.last_sackt: Nanos = -1
        """When the first and the last of those that it SACKs, and that were never repeated, were sent; -1: none."""
        self.ca_rtt = -1
        """The round trip of the last segment that it tells of, microseconds; -1 if it tells of none."""
        self.prior_delivered = 0
        """Tcb.delivered when the newest segment that it tells of was sent."""
        self.rate_sent: Nanos = -1
        self.rate_end: Seq = 0
        self.newest: SentSeg | None = None

    def sample(self, entry: SentSeg, end: Seq) -> None:
        """`entry`, the end of which in its sk_buff is `end`, arrived (tcp_rate_skb_delivered)."""
        newer = entry.sent > self.rate_sent or (entry.sent == self.rate_sent and seq.after(end, self.rate_end))
        if entry.delivered >= 0 and newer:
            self.prior_delivered = entry.delivered
            self.newest = entry
            self.rate_sent, self.rate_end = entry.sent, end
