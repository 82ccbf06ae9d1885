"""Which images and snapshots of a Ceph pool are which disks and snapshots: an object whose keys change at one moment.

``disk.ID`` has the name of an image, ``snapshot.ID`` that of an image's snapshot (IMAGE@SNAP). These are whole. A key
with one more part, ``disk.ID.UNIQUE``, is what may be there of one that is being made, or on its way out: it comes
before the thing and goes after it, so a process that dies leaves nothing that nobody knows of. ``snapshot.ID.draft``
says that there is a draft (see ``rbd_drafts``).
"""

from collections.abc import Mapping
from typing import Literal
from uuid import uuid4

from engine.ceph.session import Calls
from engine.drivers.base import DriverError

Kind = Literal["disk", "snapshot"]


class Index:
    """The index of one deployment, which is called ``owner``, asked and changed by ``ceph``."""

    def __init__(self, ceph: Calls, owner: str) -> None:
        self._ceph = ceph
        self._object = f"groundfog.{owner}"
        self._owner = owner

    def find(self, kind: Kind, id: str) -> str | None:
        """Return what is whole under that id."""
        return self._entries(key := f"{kind}.{id}").get(key)

    def present(self, kind: Kind, id: str) -> str:
        """Return what is whole under that id; raise DriverError when there is none."""
        found = self.find(kind, id)
        if found is None:
            raise DriverError(f"there is no {kind} {id}")
        return found

    def ids(self, kind: Kind) -> set[str]:
        """Return the ids of what is whole, and of what may be there besides."""
        return {key.split(".")[1] for key in self._entries(f"{kind}.")}

    def parts(self, kind: Kind, id: str) -> dict[str, str]:
        """Return the keys of what may be there besides, and what that is; without a draft."""
        entries = self._entries(f"{kind}.{id}.")
        entries.pop(_draft(id), None)
        return entries

    def has_draft(self, id: str) -> bool:
        return _draft(id) in self._entries(_draft(id))

    def note_draft(self, id: str) -> None:
        self._change({}, {_draft(id): "draft"}, [])

    def forget_draft(self, id: str) -> None:
        self._change({}, {}, [_draft(id)])

    def needs(self, image: str) -> set[str]:
        """Return what is whole and is that image or a snapshot of it."""
        whole = {value for key, value in self._entries("").items() if key.count(".") == 1}
        return {value for value in whole if value.partition("@")[0] == image}

    def begin_image(self, kind: Kind, id: str, snap: str = "") -> tuple[str, str]:
        """Think of an image for something new, and note that it may be there; return the key and the image's name."""
        unique = uuid4().hex
        key, image = f"{kind}.{id}.{unique}", f"{self._owner}.{id}.{unique}"
        self._change({}, {key: f"{image}@{snap}" if snap else image}, [])
        return key, image

    def begin_snapshot(self, id: str, disk_id: str, image: str) -> tuple[str, str]:
        """Note that a snapshot of a disk's image may be there; return the key and the snapshot's name."""
        unique = uuid4().hex
        key = f"snapshot.{id}.{unique}"
        if not self._change({f"disk.{disk_id}": image}, {key: f"{image}@{unique}"}, []):
            raise DriverError(f"there is no disk {disk_id} any more")
        return key, unique

    def complete(self, key: str, value: str, while_there: Mapping[str, str] | None = None) -> None:
        """Have what was begun be whole; raise DriverError when it is already, or is not wanted any more.

        Nor unless what ``while_there`` names is there still.
        """
        whole = key.rpartition(".")[0]
        if not self._change({**(while_there or {}), whole: "", key: value}, {whole: value}, [key]):
            raise DriverError(f"another one was quicker to make or to remove {whole}")

    def copy(self, id: str, source_id: str) -> bool:
        """Have a snapshot be another one too; say whether it is now, and neither was changed meanwhile."""
        value = self.present("snapshot", source_id)
        return self._change({f"snapshot.{id}": "", f"snapshot.{source_id}": value}, {f"snapshot.{id}": value}, [])

    def withdraw(self, kind: Kind, id: str) -> None:
        """Have what is whole under that id be something on its way out."""
        whole, found = f"{kind}.{id}", self.find(kind, id)
        if found is not None and not self._change({whole: found}, {f"{whole}.{uuid4().hex}": found}, [whole]):
            raise DriverError(f"another one was quicker to remove {whole}")

    def forget(self, key: str) -> None:
        """Note that nothing is there any more."""
        self._change({}, {}, [key])

    def _entries(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = self._ceph("entries", index=self._object, prefix=prefix)
        return found

    def _change(self, expected: Mapping[str, str], put: Mapping[str, str], removed: list[str]) -> bool:
        return bool(self._ceph("change", index=self._object, expected=expected, put=put, removed=removed))


def _draft(id: str) -> str:
    return f"snapshot.{id}.draft"
