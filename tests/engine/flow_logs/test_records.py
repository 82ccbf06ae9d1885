"""What packets come to: accepted, rejected, or nobody knows."""

from dataclasses import replace

import pytest

from engine.drivers.flows import ACK, SYN, Count, Dropped, Flow, Passed
from engine.flow_logs.records import Found, Record, by_card, records_of
from tests.engine.flow_logs.scene import (
    CARD,
    END,
    MAC,
    NETWORK,
    OTHER_MAC,
    OUT,
    OWN,
    OWN_6,
    PEER,
    PEER_6,
    ROUTER_MAC,
    SSH,
    drop,
    received,
    sent,
)


def found(*passed: Passed, drops: tuple[Dropped, ...] = (), lossy: bool = False, complete: bool = True) -> Found:
    return records_of(CARD, NETWORK, Count(passed, complete), drops, END, lossy)


def fates(result: Found) -> list[tuple[str, int]]:
    return [(record.action, record.packets) for record in result.records]


# -- accepted and rejected ---------------------------------------------------------


def test_what_passes_is_accepted_in_either_direction() -> None:
    result = found(sent(SSH.reverse, 3, 180, SYN | ACK), received(SSH, 4, 240, SYN))
    assert result == Found(
        (
            Record(SSH.reverse, False, "ACCEPT", 3, 180, SYN | ACK),
            Record(SSH, True, "ACCEPT", 4, 240, SYN),
        )
    )


def test_what_a_guest_sends_and_the_network_drops_is_rejected_and_not_accepted() -> None:
    result = found(sent(OUT, 3, 180, SYN), drops=(drop(OUT), drop(OUT), drop(OUT)))
    assert result.records == (Record(OUT, False, "REJECT", 3, 180, SYN),)


def test_a_flow_that_was_dropped_for_a_while_is_both() -> None:
    result = found(sent(OUT, 10, 1000), drops=(drop(OUT), drop(OUT)))
    assert [(r.action, r.packets, r.bytes) for r in result.records] == [("ACCEPT", 8, 800), ("REJECT", 2, 200)]


def test_a_drop_that_the_log_tells_of_after_the_end_may_be_of_a_packet_before_it() -> None:
    assert fates(found(sent(OUT, 2), drops=(drop(OUT), drop(OUT, END + 0.01)))) == [("REJECT", 2)]
    assert fates(found(sent(OUT, 2), drops=(drop(OUT, END + 0.01),))) == [("ACCEPT", 2)]
    assert fates(found(sent(OUT, 1), drops=(drop(OUT), drop(OUT, END + 0.5)))) == [("REJECT", 1)]


def test_a_drop_of_a_packet_that_was_counted_in_the_period_before_is_not_told_again() -> None:
    assert found(drops=(drop(OUT),)).records == ()


def test_what_is_dropped_on_its_way_in_is_rejected() -> None:
    result = found(drops=(drop(SSH, leaving=False, tcp_flags=SYN), drop(SSH, leaving=False, tcp_flags=SYN)))
    assert result.records == (Record(SSH, True, "REJECT", 2, 80, SYN),)


@pytest.mark.parametrize(
    ("flow", "least"),
    [
        (Flow(PEER, OWN, 6, 1, 2), 40),
        (Flow(PEER, OWN, 17, 1, 2), 28),
        (Flow(PEER, OWN, 1), 28),
        (Flow(PEER, OWN, 47), 20),
        (Flow(PEER_6, OWN_6, 6, 1, 2), 60),
        (Flow(PEER_6, OWN_6, 58), 48),
    ],
)
def test_of_what_never_arrived_the_headers_are_counted(flow: Flow, least: int) -> None:
    assert [record.bytes for record in found(drops=(drop(flow, leaving=False),)).records] == [least]


def test_what_never_left_the_subnet_is_rejected_at_its_sender() -> None:
    kept = drop(OUT, source_mac=ROUTER_MAC, destination_mac="f6:00:00:00:00:01", kept_in=True)
    assert fates(found(sent(OUT), drops=(kept,))) == [("REJECT", 1)]


# -- what nobody knows -------------------------------------------------------------


def test_without_counters_rejections_are_known_all_the_same() -> None:
    result = records_of(CARD, NETWORK, None, (drop(OUT), drop(SSH, leaving=False), drop(OUT, END + 0.1)), END)
    assert fates(result) == [("REJECT", 1), ("REJECT", 1)]
    assert result.skipped == {"ACCEPT"}


def test_full_counters_lack_something() -> None:
    assert found(received(SSH), complete=False).skipped == {"ACCEPT", "REJECT"}


def test_where_drops_may_be_missing_an_answer_shows_that_packets_were_accepted() -> None:
    result = found(sent(OUT, 2), received(OUT.reverse), lossy=True)
    assert (fates(result), result.skipped) == ([("ACCEPT", 2), ("ACCEPT", 1)], frozenset())


def test_where_drops_may_be_missing_a_drop_without_an_answer_shows_that_all_were_rejected() -> None:
    result = found(sent(OUT, 100), drops=(drop(OUT),), lossy=True)
    assert (fates(result), result.skipped) == ([("REJECT", 100)], {"ACCEPT", "REJECT"})


def test_where_drops_may_be_missing_the_rest_is_left_out_and_missed() -> None:
    result = found(sent(OUT, 2), lossy=True)
    assert (fates(result), result.skipped) == ([], {"ACCEPT", "REJECT"})


def test_a_card_without_any_drop_misses_nothing_when_another_one_is_flooded() -> None:
    assert found(received(SSH), sent(SSH.reverse), lossy=True).skipped == frozenset()


# -- what is no traffic ------------------------------------------------------------


@pytest.mark.parametrize(
    "flow",
    [
        Flow(OWN, "169.254.169.254", 6, 50000, 80),
        Flow(OWN, "169.254.169.253", 17, 50000, 53),
        Flow(OWN, "10.0.0.2", 17, 50000, 53),
        Flow(OWN, "10.0.1.1", 1),
        Flow(OWN, "10.0.2.1", 1),
        Flow(OWN_6, "2001:db8::1", 58),
        Flow(OWN_6, "fd00:ec2::254", 6, 50000, 80),
        Flow(OWN, "255.255.255.255", 17, 68, 67),
        Flow(OWN, "224.0.0.251", 17, 5353, 5353),
        Flow(OWN_6, "ff02::16", 58),
    ],
)
def test_the_networks_own_services_are_not_logged(flow: Flow) -> None:
    assert found(sent(flow), received(flow.reverse), drops=(drop(flow),)).records == ()


def test_names_asked_elsewhere_are_logged() -> None:
    assert fates(found(sent(Flow(OWN, "9.9.9.9", 17, 50000, 53)))) == [("ACCEPT", 1)]


def test_packets_from_addresses_that_are_not_the_cards_count_only_where_it_forwards() -> None:
    foreign, of_prefix = Flow("172.20.0.5", PEER, 1), Flow("10.0.1.20", PEER, 1)
    assert [r.flow for r in found(sent(foreign), sent(of_prefix)).records] == [of_prefix]
    forwarding = replace(CARD, forwarding=True)
    assert len(records_of(forwarding, NETWORK, Count([sent(foreign)]), (), END).records) == 1


# -- whose a drop is ---------------------------------------------------------------


def test_a_drop_is_of_the_card_whose_rules_dropped_it() -> None:
    other = replace(CARD, id="eni-2", mac=OTHER_MAC, primary="10.0.2.4", addresses=("10.0.2.4",))
    between = Flow(OWN, "10.0.2.4", 6, 1, 2)
    drops = [
        drop(between, source_mac=MAC, destination_mac=ROUTER_MAC),
        drop(between, leaving=False, source_mac=ROUTER_MAC, destination_mac=OTHER_MAC),
        drop(between, leaving=False, source_mac=MAC, destination_mac=OTHER_MAC),
        drop(between, source_mac=ROUTER_MAC, destination_mac=OTHER_MAC),
        drop(between, source_mac=ROUTER_MAC, destination_mac="f6:00:00:00:00:01", kept_in=True),
        drop(between, source_mac="06:00:09:00:00:09", destination_mac=ROUTER_MAC),
        replace(drop(between), network="vpc-2"),
    ]
    assert [card for card, _ in by_card(drops, [CARD, other])] == ["eni-1", "eni-2", "eni-2", "eni-2", "eni-1"]
