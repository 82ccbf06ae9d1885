"""Gives libvirt the keys of encrypted disks, as secrets that only QEMU is told and that no file holds.

A secret is ephemeral (in the daemon's memory alone) and private (nobody can ask for its value): it is given anew before
each use, and taken away once no machine has its disk. QEMU keeps what it was told for as long as it runs.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import libvirt
from lxml import etree
from lxml.builder import E  # type: ignore[import-not-found]

from engine.drivers.base import AttachedDisk
from engine.drivers.libvirt_xml import secret_uuid

_NONE = libvirt.VIR_ERR_NO_SECRET


def give_keys(connection: Any, disks: Iterable[AttachedDisk]) -> None:
    """Have libvirt know the keys of those disks that have one."""
    for disk in disks:
        if disk.key:
            connection.secretDefineXML(_definition(disk)).setValue(disk.key.encode(), 0)


def take_keys(connection: Any, uuids: Iterable[str]) -> None:
    """Have libvirt forget secrets; those that it does not know are forgotten already."""
    for uuid in uuids:
        try:
            connection.secretLookupByUUIDString(uuid).undefine()
        except libvirt.libvirtError as error:
            if error.get_error_code() != _NONE:
                raise


def secrets_of(domain: Any) -> set[str]:
    """Return the secrets that a domain's definition names."""
    found: Any = etree.fromstring(domain.XMLDesc()).iterfind("devices/disk//encryption/secret")
    return {str(UUID(secret.get("uuid"))) for secret in found}


def _definition(disk: AttachedDisk) -> str:
    usage = E.usage(E.volume(f"groundfog-{secret_uuid(disk)}"), type="volume")
    secret = E.secret(E.uuid(secret_uuid(disk)), E.description(f"disk {disk.disk_id}"), usage)
    secret.attrib.update({"ephemeral": "yes", "private": "yes"})
    text: str = etree.tostring(secret, encoding="unicode")
    return text
