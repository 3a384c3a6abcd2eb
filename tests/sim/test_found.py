"""What simulations found that no packet shows: the seeds' worlds, cut to what is needed."""

from __future__ import annotations

import pytest
from support.hand import Hand

from tcplab.lab.simulate.rules import Keeper
from tcplab.lab.simulate.streams import Violation
from tcplab.tcp.tcb import Tcb
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, SYN

SACK_OK = opt.nop() * 2 + opt.sack_permitted()


def connection(hand: Hand) -> Tcb:
    (flow,) = hand.pair.a.flows.values()
    assert isinstance(flow, Tcb)
    return flow


def test_what_waits_behind_a_fin_takes_no_memory_any_more() -> None:
    hand = Hand(SACK_OK)
    hand.say(ACK, at=10, payload=b"behind the end")
    tcb = connection(hand)
    assert tcb.rmem_alloc > 0
    hand.say(ACK | FIN)
    assert not tcb.ooo
    assert tcb.rmem_alloc == 0
    Keeper(hand.pair.a).look()


def test_a_syn_that_was_repeated_is_not_looked_for_when_it_was_acknowledged() -> None:
    """Its first copy is lost, so that the repeat stands in the order of sending."""
    hand = Hand(SACK_OK, rtt=1_200_000_000)
    tcb = connection(hand)
    repeated = [sent for sent in hand.pair.sent if sent.seg.flags & SYN]
    assert len(repeated) == 2
    assert not tcb.tsorted
    hand.send(100)
    assert list(tcb.tsorted) == tcb.rtx
    hand.say(ACK, ack=100)
    assert not tcb.tsorted
    assert tcb.lost_out == 0
    Keeper(hand.pair.a).look()


def test_a_rule_names_the_connection_what_is_wrong_and_the_numbers() -> None:
    hand = Hand(SACK_OK)
    connection(hand).lost_out += 1
    with pytest.raises(Violation, match=r"^lost_out: 10\.77\.0\.1:\d+>10\.77\.0\.2:80: 1, but 0 are marked$"):
        Keeper(hand.pair.a).look()
