"""What can be asked about images and their snapshots."""

import errno
from typing import Any

from engine.ceph.pool import Pool, call, ignoring, rbd


@call
def create(pool: Pool, name: str, size: int, order: int | None = None) -> None:
    """Make an image of ``size`` bytes, all of them zeros, in objects of two to the ``order`` bytes, or Ceph's own."""
    rbd.RBD().create(pool.io, name, size, order, old_format=False, features=_features())


@call
def clone(pool: Pool, parent: str, snap: str, name: str, size: int, order: int | None = None) -> None:
    """Make an image of ``size`` bytes that begins with what a snapshot holds, without copying any of it."""
    rbd.RBD().clone(pool.io, parent, snap, pool.io, name, features=_features(), order=order)
    with pool.image(name) as image:
        if image.size() != size:
            image.resize(size)


@call
def describe(pool: Pool, name: str, snap: str | None = None) -> dict[str, Any]:
    """Return the size in bytes, and whether somebody has the image open to write to it."""
    with pool.image(name, snap, read_only=True) as image:  # one that only reads is no watcher itself
        return {"size": image.size(), "watched": any(True for _ in image.watchers_list())}


@call
def resize(pool: Pool, name: str, size: int) -> None:
    with pool.image(name) as image:
        image.resize(size)


@call
def take_snapshot(pool: Pool, name: str, snap: str) -> None:
    """Snapshot an image; where somebody writes to it, that client does it between two of its writes."""
    with pool.image(name) as image, ignoring(errno.EEXIST):
        image.create_snap(snap)


@call
def drop_snapshot(pool: Pool, name: str, snap: str) -> None:
    """Remove a snapshot; Ceph keeps what its clones need until they are gone."""
    with ignoring(errno.ENOENT), pool.image(name) as image:
        image.remove_snap(snap)


@call
def written(pool: Pool, name: str, snap: str) -> int:
    """Return the bytes of those objects in a snapshot that were written since the snapshot before it."""
    total = 0

    def count(offset: int, length: int, exists: bool) -> None:
        nonlocal total
        total += length if exists else 0

    with pool.image(name, snap, read_only=True) as image:
        snaps = [each for each in image.list_snaps() if each["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER]
        (this,) = (each["id"] for each in snaps if each["name"] == snap)
        earlier = max((each for each in snaps if each["id"] < this), key=lambda each: each["id"], default=None)
        since = earlier["name"] if earlier else None
        image.diff_iterate(0, image.size(), since, count, include_parent=False, whole_object=True)
    return total


@call
def discard(pool: Pool, name: str) -> None:
    """Remove an image and its snapshots, or what a crash left of it; raise EBUSY while somebody has it open.

    The cluster's manager does it, for as long as it takes, and goes on trying while the image has clones. That is in
    the trash meanwhile.
    """
    with ignoring(errno.ENOENT), pool.image(name) as image:
        for snap in list(image.list_snaps()):
            if snap["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
                image.remove_snap(snap["name"])
    with ignoring(errno.ENOENT):  # it also completes a move that was cut short, of what cannot be opened any more
        rbd.RBD().trash_move(pool.io, name, 0)
    image_id = next((each["id"] for each in rbd.RBD().trash_list(pool.io) if each["name"] == name), "")
    if image_id:
        pool.manage("rbd task add trash remove", image_id_spec=f"{pool.name}/{image_id}")
    else:
        with ignoring(errno.ENOENT):  # of one that was only begun there may be a name
            rbd.RBD().remove(pool.io, name)


def _features() -> int:
    """The features of Ceph's own defaults, whatever the cluster's are: snapshots and sizes are found out by them."""
    return int(
        rbd.RBD_FEATURE_LAYERING
        | rbd.RBD_FEATURE_EXCLUSIVE_LOCK
        | rbd.RBD_FEATURE_OBJECT_MAP
        | rbd.RBD_FEATURE_FAST_DIFF
        | rbd.RBD_FEATURE_DEEP_FLATTEN
    )
