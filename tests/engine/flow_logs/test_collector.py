"""Periods that are counted, ended and written down: once, whatever happens to the process."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engine.drivers.base import port_uuid
from engine.drivers.flows import Period
from engine.flow_logs import counting
from engine.flow_logs.rows import Facts
from tests.engine.flow_logs.kernel import Killed, World
from tests.engine.flow_logs.scene import CARD, OTHER_MAC, OUT, SSH, drop, received, sent

T = 1_700_000_400
"""A moment at which ten minutes begin."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, T + 10.5)


def test_a_period_is_written_when_it_is_over(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH, 5))
    world.at(T + 30)
    world.at(T + 59.9)
    assert world.lines() == []
    world.at(T + 60.01)
    assert world.lines() == [f"5 {T + 11} {T + 60} ACCEPT OK"]
    assert world.said == {"fl-1": ""}
    world.kernel.passes(received(SSH, 7))
    world.at(T + 120)
    world.at(T + 180)
    assert world.lines() == [
        f"5 {T + 11} {T + 60} ACCEPT OK",
        f"7 {T + 60} {T + 120} ACCEPT OK",
        f"- {T + 120} {T + 180} - NODATA",
    ]
    assert world.kernel.list_periods() == {"eni-1": {Period(60, T + 180)}}


def test_ten_minutes_are_ten_minutes(world: World) -> None:
    world.logs = [replace(world.logs[0], interval=600)]
    world.at(T + 11)
    for minute in range(10):
        world.kernel.passes(received(SSH))
        world.at(T + 60 * (minute + 1))
    assert world.lines() == [f"10 {T + 11} {T + 600} ACCEPT OK"]


def test_two_logs_of_a_card_have_periods_of_their_own(world: World) -> None:
    world.logs.append(replace(world.logs[0], id="fl-2", resource_id="eni-1", interval=600, group="other"))
    world.at(T + 11)
    world.kernel.passes(received(SSH))
    world.at(T + 60)
    world.kernel.passes(received(SSH))
    world.at(T + 600)
    assert world.lines("fl-1") == [f"1 {T + 11} {T + 60} ACCEPT OK", f"1 {T + 60} {T + 600} ACCEPT OK"]
    assert world.lines("fl-2") == [f"2 {T + 11} {T + 600} ACCEPT OK"]


def test_drops_of_the_period_are_told_apart(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(sent(OUT, 2))
    world.acls.drops = [drop(OUT, T + 5), drop(OUT, T + 20), drop(OUT, T + 60.4), drop(SSH, T + 21, leaving=False)]
    world.at(T + 60)
    assert sorted(world.lines()) == [f"1 {T + 11} {T + 60} REJECT OK", f"2 {T + 11} {T + 60} REJECT OK"]


def test_a_log_begins_with_the_first_period_after_it_was_made(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH))
    world.logs.append(replace(world.logs[0], id="fl-2", created=T + 30, group="other"))
    world.at(T + 31)
    world.at(T + 60)
    world.kernel.passes(received(SSH))
    world.at(T + 120)
    assert world.lines("fl-2") == [f"1 {T + 60} {T + 120} ACCEPT OK"]


def test_a_log_that_is_deleted_writes_nothing_more(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH))
    world.logs = []
    world.at(T + 12)
    assert (world.lines(), world.kernel.held) == ([], {})
    world.at(T + 60)
    assert world.lines() == []


def test_an_interval_without_a_log_is_not_counted_any_more(world: World) -> None:
    world.logs.append(replace(world.logs[0], id="fl-2", interval=600))
    world.at(T + 11)
    world.logs.pop(0)
    world.at(T + 12)
    assert world.kernel.list_periods() == {"eni-1": {Period(600, T + 11)}}


# -- cards -------------------------------------------------------------------------


def test_a_guest_that_ends_is_written_at_once_and_its_counters_go(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH, 3))
    world.cards, world.taps = [], {}
    world.at(T + 20)
    assert world.lines() == [f"3 {T + 11} {T + 20} ACCEPT OK"]
    assert world.kernel.held == {}
    world.at(T + 60)
    assert len(world.lines()) == 1


def test_a_guest_that_comes_back_is_counted_at_its_new_device(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"lo": 1, "vnet2": 2}
    monkeypatch.setattr(counting, "_number_of", lambda device: numbers.get(device, 0))
    world.at(T + 11)
    world.kernel.passes(received(SSH, 3))
    del numbers["lo"]
    world.taps = {port_uuid("eni-1"): "vnet2"}
    world.at(T + 20)
    assert world.kernel.devices == {"eni-1": "vnet2"}
    world.kernel.passes(received(SSH, 4))
    world.at(T + 60)
    assert world.lines() == [f"7 {T + 11} {T + 60} ACCEPT OK"]


def test_a_guest_without_a_device_is_waited_for(world: World) -> None:
    taps, world.taps = world.taps, {}
    world.at(T + 11)
    assert world.kernel.held == {}
    world.taps = taps
    world.at(T + 30)
    world.at(T + 60)
    assert world.lines() == [f"- {T + 30} {T + 60} - NODATA"]


def test_what_is_dropped_on_its_way_to_a_guest_elsewhere_is_written_here(world: World) -> None:
    world.cards.append(replace(CARD, id="eni-2", mac=OTHER_MAC, here=False))
    world.acls.drops = [drop(SSH, T + 20, leaving=False, destination_mac=OTHER_MAC)]
    world.at(T + 11)
    world.at(T + 60)
    assert world.lines() == [f"- {T + 11} {T + 60} - NODATA", f"1 {T + 10} {T + 60} REJECT OK"]
    world.at(T + 120)
    assert len(world.lines()) == 3, "of a guest elsewhere nobody here says that nothing passed"


# -- a host that cannot ------------------------------------------------------------


def test_where_packets_cannot_be_counted_rejections_are_written_and_the_rest_is_missed(world: World) -> None:
    world.kernel.broken = "Operation not supported"
    world.acls.drops = [drop(OUT, T + 20)]
    world.at(T + 11)
    world.at(T + 60)
    assert world.lines() == [f"1 {T + 10} {T + 60} REJECT OK", f"- {T + 10} {T + 60} - SKIPDATA"]
    assert world.collector.troubled() == {"fl-1"}
    world.kernel.broken = ""
    world.at(T + 61)
    world.at(T + 120)
    assert world.collector.troubled() == set()
    assert world.lines()[2:] == [f"- {T + 61} {T + 120} - NODATA"]


def test_a_log_of_rejections_lacks_nothing_where_packets_cannot_be_counted(world: World) -> None:
    world.kernel.broken = "Operation not supported"
    world.logs = [replace(world.logs[0], traffic="REJECT")]
    world.acls.drops = [drop(OUT, T + 20)]
    world.at(T + 11)
    world.at(T + 60)
    assert world.lines() == [f"1 {T + 10} {T + 60} REJECT OK"]
    assert world.collector.troubled() == set()


def test_counters_that_somebody_else_took_away_are_missed(world: World) -> None:
    world.at(T + 11)
    world.kernel.held["eni-1"].clear()
    world.kernel.current["eni-1"].clear()
    world.at(T + 60)
    assert world.lines() == [f"- {T + 11} {T + 60} - SKIPDATA"]
    world.at(T + 120)
    assert world.lines()[1:] == [f"- {T + 60} {T + 120} - NODATA"]


def test_a_flood_of_which_the_log_tells_a_part_is_missed_and_not_accepted(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(sent(OUT, 1000), sent(OUT._replace(destination_port=444), 1000))
    world.acls.drops, world.acls.unseen = [drop(OUT, T + 20)], 500
    world.at(T + 60)
    assert world.lines() == [f"1000 {T + 11} {T + 60} REJECT OK", f"- {T + 11} {T + 60} - SKIPDATA"]
    world.kernel.passes(sent(OUT, 10))
    world.at(T + 120)
    assert world.lines()[2:] == [f"10 {T + 60} {T + 120} ACCEPT OK"]


def test_what_cannot_be_written_now_is_written_later(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH, 3))
    world.acls.readable = False
    for second in (60, 61, 120):
        with pytest.raises(FileNotFoundError):
            world.at(T + second)
        world.kernel.passes(received(SSH))
    world.acls.readable = True
    world.at(T + 121)
    assert world.lines() == [f"3 {T + 11} {T + 60} ACCEPT OK", f"2 {T + 60} {T + 120} ACCEPT OK"]


# -- kills -------------------------------------------------------------------------


def test_a_process_that_is_killed_loses_nothing_that_was_counted(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH, 3))
    world.start()
    world.kernel.passes(received(SSH, 4))
    world.at(T + 30)
    world.at(T + 60)
    assert sum(int(line.split()[0]) for line in world.lines()) == 7
    assert {line.split(" ", 1)[1] for line in world.lines()} == {f"{T + 11} {T + 60} ACCEPT OK"}


def test_a_process_that_was_away_at_the_end_says_when_it_came_back(world: World) -> None:
    world.at(T + 11)
    world.kernel.passes(received(SSH, 3))
    world.now = T + 200
    world.start()
    world.at(T + 200)
    world.at(T + 240)
    assert world.lines() == [f"3 {T + 11} {T + 200} ACCEPT OK", f"- {T + 200} {T + 240} - NODATA"]


@pytest.mark.parametrize("moment", ["count", "remove", "commit", "release", "read"])
def test_a_kill_at_any_moment_of_the_end_neither_repeats_nor_loses(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    world.cards.append(replace(CARD, id="eni-2", mac=OTHER_MAC))
    world.taps[port_uuid("eni-2")] = "lo"
    world.at(T + 11)
    for card in ("eni-1", "eni-2"):
        world.kernel.passes(received(SSH, 3), card=card)
    with monkeypatch.context() as patch:
        if moment in ("count", "remove"):
            world.kernel.killing = moment
        else:
            patch.setattr(world.kernel if moment == "read" else world.pending, moment, killed)
        with pytest.raises(Killed):
            world.at(T + 60)
    world.start()
    world.at(T + 62)
    world.at(T + 120)
    written = [line for line in world.lines() if not line.endswith("NODATA")]
    assert [line.split()[0] for line in written] == ["3", "3"]
    assert all(len(periods) == 1 for periods in world.kernel.list_periods().values())


def test_the_thread_goes_on_after_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, sweeps = threading.Event(), []

    def fails() -> Facts:
        sweeps.append(1)
        if len(sweeps) == 2:
            stop.set()
        raise OSError("the database is away")

    monkeypatch.setattr(world, "facts", fails)
    monkeypatch.setattr(stop, "wait", lambda _: None)
    world.collector.run(stop)
    assert len(sweeps) == 2
