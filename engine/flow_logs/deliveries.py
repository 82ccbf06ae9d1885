"""Takes parcels to where they belong, again and again until they are there."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from engine.flow_logs.pending import Batch, Kept, Pending
from engine.flow_logs.stores import ACCESS, UNKNOWN, DeliveryError, Store

_PATIENCE = 24 * 3600.0
"""Seconds after which a parcel that nobody takes is thrown away: a store that is gone must not fill the disk."""

log = structlog.get_logger("groundfog.flow_logs")


class Deliveries:
    """``root`` is where the files of log groups are; ``known`` returns the ids of the flow logs that there are."""

    def __init__(self, pending: Pending, root: Path, store: Store | None, known: Callable[[], set[str]]) -> None:
        self._pending, self._root, self._store, self._known = pending, root, store, known

    def deliver(self) -> Mapping[str, str]:
        """Take what is ready to its place. A log that was deleted meanwhile gets nothing more.

        Return, for each log that had something to deliver, EC2's word for why that failed, or nothing.
        """
        batches = self._pending.ready()
        known = self._known() if batches else set()
        said: dict[str, str] = {}
        failed: dict[str, str] = {}
        for batch in batches:
            for parcel in batch.parcels():
                if parcel.log in known and not _is_stale(batch):
                    said[parcel.log] = self._attempt(parcel, failed) or said.get(parcel.log, "")
                else:
                    parcel.file.unlink()
            if not any(batch.parcels()):
                self._pending.close(batch)
        return said

    def _attempt(self, parcel: Kept, failed: dict[str, str]) -> str:
        """Deliver a parcel, or say why not. ``failed`` are the places that are not tried again in this round."""
        place = parcel.bucket or parcel.log
        if place not in failed:
            try:
                self._take(parcel)
                return ""
            except (DeliveryError, OSError) as error:
                log.warning("cannot deliver a flow log", flow_log=parcel.log, place=place, error=str(error))
                failed[place] = error.said if isinstance(error, DeliveryError) else UNKNOWN
        return failed[place]

    def _take(self, parcel: Kept) -> None:
        if not parcel.bucket:
            place = self._root / parcel.path
            place.parent.mkdir(parents=True, exist_ok=True)
            parcel.file.replace(place)
            return
        if self._store is None:
            raise DeliveryError(ACCESS, "no flow_log_store is set")
        self._store.put(parcel.bucket, parcel.path, parcel.file.read_bytes())
        parcel.file.unlink()


def _is_stale(batch: Batch) -> bool:
    return time.time() - batch.made > _PATIENCE
