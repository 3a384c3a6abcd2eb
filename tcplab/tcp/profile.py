"""Whose TCP a host speaks: Linux's, which is the default, or the book's, for lessons that need it.

A profile is data: the sysctls that it sets, and what Linux has no knob for, of which each is read at one place.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from tcplab.units import MS, SEC, Nanos


class Profile(NamedTuple):
    """The defaults of the fields are Linux's."""

    name: str
    text: str
    sysctl: tuple[tuple[str, int | str], ...] = ()
    """What it sets; everything else goes back to Linux's default."""
    rto_least: Nanos = 0
    """Lower bound of the whole RTO (RFC 6298 2.4); 0: there is none, RTTVAR has one (Linux)."""
    rttvar_by_trip: bool = True
    """RTTVAR rises with the worst sample of a round trip and falls once in one (Linux); else with each (RFC 6298)."""
    flight_size: bool = False
    """A loss halves what is in flight (RFC 5681 equation 4), not cwnd (Linux)."""
    small_start: bool = False
    """The initial window is two to four segments, one if the SYN was lost (RFC 5681 3.1); else ten (RFC 6928)."""
    by_ack: bool = False
    """In slow start an ACK adds one segment, whatever it acknowledges (RFC 5681 3.1); Linux counts segments."""
    prr: bool = True
    """In recovery cwnd goes down little by little (RFC 6937); else it is ssthresh at once (RFC 6582, RFC 6675)."""
    rack: bool = True
    """Time tells what is lost (RFC 8985); else three segments above it do (RFC 6675)."""
    undo: bool = True
    """A reduction that proves wrong is taken back (RFC 4015, RFC 3708)."""
    delack: Nanos = 0
    """How long an ACK may wait; 0: Linux's estimate, with quick ACKs and ping-pong mode."""
    minshall: bool = True
    """Only a small segment in flight holds back the next one; else anything in flight does (RFC 9293 3.7.4)."""
    tso_defer: bool = True
    """A burst waits a moment for company (tcp_tso_should_defer)."""
    challenge: bool = True
    """Only the exact number resets, the rest has a challenge ACK (RFC 5961); else RFC 793's tests hold: any RST or SYN
    in the window resets, and whatever an old ACK brings is taken."""
    time_wait: Nanos = 60 * SEC
    """TIME_WAIT, and the most that a bucket waits in FIN_WAIT_2 (TCP_TIMEWAIT_LEN)."""


LINUX: Final = Profile("linux-6", "Linux 6.18, as it is measured")
TEXTBOOK: Final = Profile(
    "textbook",
    "RFC 9293, 5681, 6298, 6582 and 6675 to the letter, without what Linux adds",
    sysctl=(
        ("tcp_congestion_control", "reno"),
        ("tcp_rto_min_us", 1000),  # RFC 6298's clock granularity G, the least that RTTVAR adds
        ("tcp_syn_linear_timeouts", 0),
        ("tcp_early_retrans", 0),
        ("tcp_frto", 0),
        ("tcp_max_reordering", 3),  # DupThresh stays what it is
        ("tcp_comp_sack_nr", 0),
    ),
    rto_least=1 * SEC,
    rttvar_by_trip=False,
    flight_size=True,
    small_start=True,
    by_ack=True,
    prr=False,
    rack=False,
    undo=False,
    delack=200 * MS,
    minshall=False,
    tso_defer=False,
    time_wait=240 * SEC,
)
RFC793: Final = LINUX._replace(
    name="rfc793", text="Linux's, but RST, SYN and ACK are tested as in 1981, before RFC 5961", challenge=False
)
PROFILES: Final = {profile.name: profile for profile in (LINUX, TEXTBOOK, RFC793)}


def find(name: str) -> Profile:
    """The profile called `name`. ENOENT: there is none."""
    profile = PROFILES.get(name)
    if profile is None:
        raise OSError(errno.ENOENT, f"no profile {name}; there are {', '.join(PROFILES)}")
    return profile
