"""Disks on a test's own part of a Ceph pool."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from engine.ceph.session import Ceph
from engine.drivers.rbd import Rbd
from tests.acceptance.ceph import POOL, USER, Cluster


@contextmanager
def on_ceph(cluster: Cluster) -> Iterator[Rbd]:
    """Give a storage of an owner of its own, whose disks and snapshots are removed afterwards."""
    ceph = Ceph(cluster.conf, USER, POOL)
    storage = Rbd(ceph, uuid4().hex[:8])
    yield storage
    for id in storage.list_disks():
        storage.remove_disk(id)
    for id in storage.list_snapshots():
        storage.remove_snapshot(id)
    ceph.close()
