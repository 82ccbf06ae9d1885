"""What can be asked about the data in snapshots, and of blocks that are to be in them."""

import base64
import errno
import hashlib
from typing import Any

from engine.ceph.pool import Pool, call, ignoring, rados, rbd

WHOLE_OBJECT = 2**22
"""Bytes: more than the largest object that is read at once has."""


@call
def extents(pool: Pool, name: str, snap: str, offset: int, length: int) -> list[list[int]]:
    """Return offset and length of the objects that hold data of a snapshot, its image's or those it was cloned from."""
    with pool.image(name, snap, read_only=True) as image:
        return _joined(_objects(image, offset, length, include_parent=True))


@call
def differences(pool: Pool, one: list[str], other: list[str], offset: int, length: int) -> list[list[int]] | None:
    """Return offset and length of the objects in which two snapshots may differ; None where nothing is common to both.

    Each is an image's name and a snapshot's. That is what either, or an image that it was cloned from, has written
    since the image that is common to both; in that, what is written in either snapshot, unless it is the same one.
    """
    mine, theirs = _lineage(pool, *one), _lineage(pool, *other)
    common = next((image for image in mine if image in theirs), None)
    if common is None:
        return None
    found: list[list[int]] = []
    for chain, until in ((mine, theirs[common]), (theirs, mine[common])):
        for id, snap in chain.items():
            if id != common:
                found += _held(pool, id, snap, offset, length)
            elif snap != until:
                found += _held(pool, id, snap, offset, length, since=until)
                break
            else:
                break
    return _joined(sorted(found))


def _held(pool: Pool, id: str, snap: int, offset: int, length: int, since: int | None = None) -> list[list[int]]:
    """Return what objects of an image's own hold of a snapshot, or what changed in them from an earlier one to it.

    Nothing where ``since`` is a later one: what changed is found from there. Of one that was removed, and that only
    clones need, nobody can say what changed after it: then it is all that either holds.
    """
    with pool.image("", image_id=id, read_only=True) as image:
        image.set_snap_by_id(snap)
        names = [_name_of(image, each) for each in (snap, since or snap)]
        if since is None or None in names:
            return _objects(image, offset, length)
        return _objects(image, offset, length, since=names[1]) if since < snap else []


def _lineage(pool: Pool, name: str, snap: str) -> dict[str, int]:
    """Return the ids of a snapshot's image and of all that it was cloned from, and of the snapshot in each."""
    found: dict[str, int] = {}
    with pool.image(name, snap, read_only=True) as image:
        found[image.id()] = next(each["id"] for each in image.list_snaps() if each["name"] == snap)
        above = _parent(image)
    while above is not None:
        id, snap_name = above
        with pool.image("", image_id=id, read_only=True) as image:
            found[id] = next(each["id"] for each in image.list_snaps() if each["name"] == snap_name)
            image.set_snap_by_id(found[id])
            above = _parent(image)
    return found


def _parent(image: Any) -> tuple[str, str] | None:
    """Return the id of the image that one was cloned from, and what it calls the snapshot, though that be removed."""
    try:
        return image.parent_id(), image.get_parent_image_spec()["snap_name"]
    except rbd.ImageNotFound:
        return None


def _name_of(image: Any, snap_id: int) -> str | None:
    """Return the name of an image's snapshot; None for one that was removed, and that only clones need."""
    for each in image.list_snaps():
        if each["id"] == snap_id and each["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
            return str(each["name"])
    return None


def _objects(
    image: Any, offset: int, length: int, since: str | None = None, include_parent: bool = False
) -> list[list[int]]:
    """Return what objects hold of these bytes; with ``since`` of what changed after that snapshot, gone or not."""
    found: list[list[int]] = []
    within = min(length, image.size() - offset)

    def note(start: int, size: int, exists: bool) -> None:
        if exists or since is not None:
            found.append([start, size])

    if within > 0:
        image.diff_iterate(offset, within, since, note, include_parent=include_parent, whole_object=True)
    return found


def _joined(parts: list[list[int]]) -> list[list[int]]:
    found: list[list[int]] = []
    for offset, length in parts:
        if found and offset <= sum(found[-1]):
            found[-1][1] = max(sum(found[-1]), offset + length) - found[-1][0]
        else:
            found.append([offset, length])
    return found


@call
def read(pool: Pool, name: str, snap: str, offset: int, length: int) -> str:
    """Return what a snapshot holds there, in base64; less beyond its end."""
    with pool.image(name, snap, read_only=True) as image:
        within = max(0, min(length, image.size() - offset))
        return base64.b64encode(image.read(offset, within) if within else b"").decode()


@call
def put(pool: Pool, name: str, data: str) -> None:
    """Write an object, whole."""
    pool.io.write_full(name, base64.b64decode(data))


@call
def fill(pool: Pool, name: str, objects: list[tuple[int, str, str]]) -> int | None:
    """Write objects into an image: each offset, name and SHA-256. Return the offset of one that is not as that says."""
    with pool.image(name) as image:
        for offset, each, digest in objects:
            try:
                data = pool.io.read(each, WHOLE_OBJECT)
            except rados.ObjectNotFound:
                return offset
            if hashlib.sha256(data).hexdigest() != digest:
                return offset
            image.write(data, offset)
        image.flush()
    return None


@call
def drop(pool: Pool, names: list[str]) -> None:
    """Remove objects."""
    for each in names:
        with ignoring(errno.ENOENT):
            pool.io.remove_object(each)
