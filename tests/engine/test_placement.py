"""Hosts' capacity: promised to the emptiest, never twice, and given back once."""

import threading
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from engine import placement
from engine.placement import NoCapacity
from engine.state import Host, Instance
from tests.cloud import REGION, Cloud
from tests.translators.test_instances import launch, state

FIRST = f"simulated-{REGION}"


def resize(cloud: Cloud, **hosts: tuple[int, int]) -> None:
    """Give the region these hosts and no others: name to (vCPUs, MiB)."""
    with cloud.database.write() as db:
        db.delete(db.get_one(Host, FIRST))
        for name, (vcpus, memory) in hosts.items():
            db.add(Host(name=name, region=REGION, vcpus=vcpus, memory_mib=memory))


def used(cloud: Cloud, name: str) -> tuple[int, int]:
    host = cloud.look(lambda db: db.get_one(Host, name))
    return host.vcpus_used, host.memory_used_mib


def claim(cloud: Cloud, vcpus: int = 1, memory: int = 1024) -> str:
    with cloud.database.write() as db:
        return placement.claim(db, REGION, vcpus, memory)


def test_the_emptiest_host_is_asked_first(cloud: Cloud) -> None:
    resize(cloud, one=(8, 4096), two=(8, 4096))
    assert {claim(cloud), claim(cloud)} == {"one", "two"}
    assert used(cloud, "one") == used(cloud, "two") == (1, 1024)


@pytest.mark.parametrize(("vcpus", "memory"), [(3, 1), (1, 4097)])
def test_what_no_host_has_is_not_promised(cloud: Cloud, vcpus: int, memory: int) -> None:
    resize(cloud, one=(2, 4096), two=(2, 4096))
    with pytest.raises(NoCapacity):
        claim(cloud, vcpus, memory)
    assert used(cloud, "one") == used(cloud, "two") == (0, 0)


def test_another_regions_hosts_are_not_asked(cloud: Cloud) -> None:
    with cloud.database.write() as db, pytest.raises(NoCapacity):
        placement.claim(db, "elsewhere-1", 1, 1)


def race(cloud: Cloud, count: int) -> list[str]:
    """Claim 1 vCPU from as many threads at once; return what each was given, "" for none."""
    results: list[str] = []
    together = threading.Barrier(count)

    def run() -> None:
        together.wait()
        try:
            results.append(claim(cloud))
        except NoCapacity:
            results.append("")

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_the_last_of_a_hosts_capacity_is_given_once(cloud: Cloud) -> None:
    resize(cloud, one=(3, 1 << 20))
    assert sorted(race(cloud, 8)) == [""] * 5 + ["one"] * 3
    assert used(cloud, "one") == (3, 3072)


def test_who_comes_late_at_one_host_is_given_another(cloud: Cloud) -> None:
    resize(cloud, one=(1, 8192), two=(1, 4096), three=(1, 2048))
    assert sorted(race(cloud, 5)) == ["", "", "one", "three", "two"]


def test_a_claim_that_another_was_faster_with_looks_further(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL another's claim can come between the choice and the promise."""
    resize(cloud, one=(1, 8192), two=(1, 4096))
    choose, choices = placement._EMPTIEST.scalar, ["one"]

    def stale(db: Any, **wanted: Any) -> Any:
        return choices.pop() if choices else choose(db, **wanted)

    with cloud.database.write() as db:
        placement.claim(db, REGION, 1, 1024) and db.flush()
    taken = "one" if used(cloud, "one")[0] else "two"
    choices[:] = [taken]
    monkeypatch.setattr(placement._EMPTIEST, "scalar", stale)
    assert claim(cloud) != taken
    with pytest.raises(NoCapacity):
        claim(cloud)


def test_what_is_given_back_is_given_back_once(cloud: Cloud) -> None:
    (id,) = launch(cloud, InstanceType="t3.micro")
    cloud.settle()
    before = used(cloud, FIRST)
    assert before == (2, 1024)
    with cloud.database.write() as db:
        instance = db.get_one(Instance, id)
        placement.release(db, instance)
        placement.release(db, instance)
    assert used(cloud, FIRST) == (0, 0)


def test_the_database_itself_refuses_to_promise_more_than_there_is(cloud: Cloud) -> None:
    with cloud.database.write() as db:
        host = db.get_one(Host, FIRST)
        host.vcpus_used = host.vcpus + 1
        with pytest.raises(IntegrityError):
            db.flush()
        db.rollback()


def test_two_launches_for_the_last_room_are_one_instance(cloud: Cloud) -> None:
    resize(cloud, **{FIRST: (2, 1 << 20)})
    outcomes: list[str] = []

    def run() -> None:
        try:
            outcomes.extend(launch(cloud, InstanceType="t3.micro"))
        except Exception as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    launched = [outcome for outcome in outcomes if outcome.startswith("i-")]
    assert len(launched) == 1
    assert sum("InsufficientInstanceCapacity" in outcome for outcome in outcomes) == 2
    cloud.settle()
    assert state(cloud, launched[0]) == "running"
