"""Whether a store has room for a disk. Disks take room as they are written, so more may be promised than there is."""

from engine.drivers.base import Disk, DriverError, Refused, Storage
from settings import Settings


def make_disk(storage: Storage, disk: Disk, settings: Settings) -> None:
    """Have a disk; raise Refused where it is a new one that the store has no room for."""
    if not _is_made(storage, disk.id):
        check_room(storage, disk.size_gib, settings)
    storage.ensure_disk(disk)


def check_room(storage: Storage, more_gib: int, settings: Settings) -> None:
    """Raise Refused where a store has no room for that much more: some of it is kept free for what was promised."""
    free = storage.free_gib() - settings.disk_reserved_gib
    if free <= 0 or more_gib > free * settings.disk_overcommit:
        raise Refused(f"cannot take {more_gib} GiB: the store has {free} GiB to give")


def _is_made(storage: Storage, id: str) -> bool:
    try:
        storage.locate_disk(id)
    except DriverError:
        return False
    return True
