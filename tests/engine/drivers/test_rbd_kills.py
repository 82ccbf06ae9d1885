"""Disks and snapshots in a Ceph pool whose makers are killed at every moment: completed in the end, or all gone."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from engine.drivers.base import Disk, DriverError
from engine.drivers.rbd import Rbd
from tests.acceptance.ceph import Cluster
from tests.engine.drivers.ceph_pools import Pool, a_pool
from tests.engine.drivers.hosts import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


@pytest.fixture
def pool(ceph_cluster: Cluster) -> Iterator[Pool]:
    with a_pool(ceph_cluster) as pool:
        yield pool


@pytest.fixture
def storage(pool: Pool) -> Rbd:
    return pool.storage


def killed_at_every_call(storage: Rbd, act: Callable[[], object]) -> Iterator[int]:
    """Act and be killed before, and after, the n-th question to Ceph: yield until it lives to the end."""
    ask, step, alive = storage._ceph.call, 0, False
    while not alive:
        for after in (False, True):
            step += 1
            left = step // 2 + step % 2

            def call(name: str, seconds: float, /, late: bool = after, **arguments: object) -> object:
                nonlocal left
                left -= 1
                if left == 0 and not late:
                    raise KeyboardInterrupt
                answer = ask(name, seconds, **arguments)
                if left == 0:
                    raise KeyboardInterrupt
                return answer

            storage._ceph.call = call  # type: ignore[method-assign]
            try:
                act()
                alive = left > 0
            except KeyboardInterrupt:
                alive = False
            finally:
                storage._ceph.call = ask  # type: ignore[method-assign]
            yield step
            if alive:
                return


def killed_at_any_time(storage: Rbd, act: Callable[[], object]) -> Iterator[int]:
    """Act, and have the process that asks Ceph killed after more and more milliseconds, until it lives to the end."""
    for milliseconds in range(2, 400, 7):
        storage.list_disks()  # it runs
        process = storage._ceph._process
        assert process is not None
        killer = subprocess.Popen(["sh", "-c", f"sleep {milliseconds / 1000}; kill -9 {process._popen.pid}"])
        died = False
        try:
            act()
        except DriverError:
            died = True
        killer.wait()
        wait_until(lambda process=process: process.has_ended, "it died")
        yield milliseconds
        if not died:
            return


@pytest.fixture(params=[killed_at_every_call, killed_at_any_time])
def killed(request: pytest.FixtureRequest, ceph_cluster: Cluster) -> Iterator[Callable[..., Iterator[int]]]:
    with ceph_cluster.forgetful():
        yield request.param


Killed = Callable[..., Iterator[int]]


def patiently(step: Callable[[], object]) -> None:
    """Do it as a worker does: again, until the cluster has forgotten who was killed."""

    def done() -> bool:
        with suppress(DriverError):
            step()
            return True
        return False

    wait_until(done, "the cluster forgot the dead")


def test_a_disk_that_was_cut_short_is_completed_or_given_up(pool: Pool, storage: Rbd, killed: Killed) -> None:
    storage.ensure_disk(Disk("vol-0", 1))
    pool.write("vol-0", 1)
    storage.ensure_snapshot("snap-0", "vol-0")

    def clone() -> None:
        storage.ensure_disk(Disk("vol-1", 2, "snap-0"))

    for step in killed(storage, clone):
        if step % 2:
            patiently(clone)
            assert pool.holds("vol-1", 1, 0)
        patiently(lambda: storage.remove_disk("vol-1"))
        assert storage.list_disks() == {"vol-0"}
    assert pool.snapshot_holds("snap-0", 1, 0)
    storage.remove_disk("vol-0")
    storage.remove_snapshot("snap-0")
    pool.becomes_empty()


def test_a_snapshot_that_was_cut_short_is_completed_or_given_up(pool: Pool, storage: Rbd, killed: Killed) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    pool.write("vol-1", 1)

    def take() -> None:
        storage.ensure_snapshot("snap-1", "vol-1")

    for step in killed(storage, take):
        assert pool.holds("vol-1", 1)
        if step % 2:
            patiently(take)
            assert pool.snapshot_holds("snap-1", 1)
        patiently(lambda: storage.remove_snapshot("snap-1"))
        assert storage.list_snapshots() == set()
    wait_until(lambda: pool.snapshots_of("vol-1") == [], "no snapshot was left")
    storage.remove_disk("vol-1")
    pool.becomes_empty()


def test_a_removal_that_was_cut_short_is_still_listed_and_harms_nothing(
    pool: Pool, storage: Rbd, killed: Killed
) -> None:
    def prepare() -> None:
        storage.ensure_disk(Disk("vol-1", 1))
        pool.write("vol-1", 1)
        storage.ensure_snapshot("snap-1", "vol-1")
        storage.ensure_snapshot("snap-2", "vol-1")
        storage.ensure_disk(Disk("vol-2", 1, "snap-1"))

    def remove() -> None:
        storage.remove_snapshot("snap-1")
        storage.remove_disk("vol-1")
        storage.remove_snapshot("snap-2")

    patiently(prepare)
    for _ in killed(storage, remove):
        assert pool.holds("vol-2", 1)
        if "snap-2" in storage.list_snapshots() and "vol-1" not in storage.list_disks():
            patiently(lambda: storage.copy_snapshot("snap-3", "snap-2") if pool.is_whole("snap-2") else None)
        patiently(remove)
        assert storage.list_disks() == {"vol-2"}
        assert pool.holds("vol-2", 1)
        patiently(lambda: storage.remove_snapshot("snap-3"))
        patiently(lambda: storage.remove_disk("vol-2"))
        assert storage.list_disks() == storage.list_snapshots() == set()
        patiently(prepare)
    patiently(remove)
    patiently(lambda: storage.remove_disk("vol-2"))
    pool.becomes_empty()
