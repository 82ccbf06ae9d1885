"""What a request says of the files to import: where each is, and what is in it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from engine.imports.places import Forbidden, allowed, bucket_url, local_file
from engine.imports.rows import KINDS
from engine.state import ImportDisk
from translators.errors import combination, invalid, missing, refuse, unsupported
from translators.quotas import check_quota
from translators.registry import Call
from translators.snapshot_creation import check_room, described

ROLE = "vmimport"
FORMATS = ("VHD", "VHDX", "VMDK", "RAW", "OVA", "QCOW2", "VDI", "ISO")
"""EC2's, and three more that are read here."""


def asked_disk(call: Call, name: str, container: Mapping[str, Any]) -> ImportDisk:
    """Return the row of one file, without its task; refuse one that may not be read."""
    if container.get("SnapshotId"):
        raise unsupported(f"{name}.SnapshotId", "RegisterImage makes images of snapshots.")
    url, bucket = container.get("Url") or "", container.get("UserBucket") or {}
    if bool(url) == bool(bucket):
        raise missing(f"{name}.Url") if not url else combination("A disk container has either Url or UserBucket.")
    if bucket:
        url = ""
        for part in ("S3Bucket", "S3Key"):
            if not bucket.get(part):
                raise missing(f"{name}.UserBucket.{part}")
    parts = bucket.get("S3Bucket", ""), bucket.get("S3Key", "")
    if url.startswith("s3://"):
        parts, url = _bucket_of(name, url), ""
    _check_place(call, name, url, *parts)
    return ImportDisk(
        url=url, bucket=parts[0], key=parts[1], format=_format(name, container.get("Format") or ""),
        description=described(container.get("Description") or ""), device=_device(name, container),
    )  # fmt: skip


def _bucket_of(name: str, url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise invalid(f"{name}.Url", url, "It is not s3://BUCKET/KEY.")
    return bucket, key


def _check_place(call: Call, name: str, url: str, bucket: str, key: str) -> None:
    settings = call.settings
    if len(url) + len(key) > 2048:
        raise invalid(f"{name}.Url", f"{url[:40]}...", "It is too long.")
    if bucket and not settings.flow_log_store:
        raise unsupported(f"{name}.UserBucket", "This deployment has no store of buckets: flow_log_store is not set.")
    if url.startswith("file:"):
        try:
            local_file(url, settings.import_sources, settings.data / "uploads", call.account)
        except (Forbidden, ValueError, OSError):
            raise invalid(f"{name}.Url", url, "There is no such file in the directories that may be read.") from None
    elif not allowed(url or bucket_url(bucket, key), settings.import_sources, call.account):
        text = f"The operator does not allow imports from there: see the setting import_sources. {url or bucket}"
        refuse("InvalidParameter", text)


def _format(name: str, text: str) -> str:
    if text and text.upper() not in FORMATS:
        raise invalid(f"{name}.Format", text, f"Valid values: {', '.join(FORMATS)}.")
    return "RAW" if text.upper() == "ISO" else text.upper()


def _device(name: str, container: Mapping[str, Any]) -> str:
    device = container.get("DeviceName") or ""
    if len(device) > 32:
        raise invalid(f"{name}.DeviceName", device, "It is too long.")
    return str(device)


def check_import(call: Call, role_name: str, disks: int) -> None:
    """Refuse what holds for no import here, and more imports than an account may have at once."""
    if role_name not in ("", ROLE):
        raise unsupported("RoleName", f"The files are read by this deployment itself: leave it out, or say {ROLE}.")
    active = 0
    for kind in KINDS.values():
        rows = select(func.count()).where(
            kind.account == call.account, kind.region == call.region, kind.status.in_(("active", "deleting"))
        )
        active += call.db.scalar(rows) or 0
    check_quota(call, "active imports", active + 1)
    check_room(call, disks)
