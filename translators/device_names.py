"""What an instance's disks are called, by users (/dev/sdf) and in the machine (vdb), and how many there may be."""

import re
from collections.abc import Collection

from translators.catalogue import InstanceType
from translators.errors import invalid

BOOT = "vda"
_SLOTS = tuple(f"vd{chr(ord('a') + number)}" for number in range(26))
_NITRO_ATTACHMENTS = 28
"""Volumes and interfaces together: "Amazon EBS volume limits for Amazon EC2 instances"."""
# Source: "Device names for volumes on Amazon EC2 instances".
_NAME = re.compile(r"(/dev/)?(sd[a-z]([1-9]|1[0-5])?|hd[a-z]([1-9]|1[0-5])?|xvd[a-z]|xvd[a-d][a-z])")


def check_name(name: str, root: str) -> None:
    """Refuse what cannot be a device's name; the root's may be any that its image gave it."""
    if name != root and not _NAME.fullmatch(name):
        raise invalid("device", name, f"{name} is not a valid EBS device name.")


def plain(name: str) -> str:
    """Return the same for all names that mean one device: /dev/sdh and sdh."""
    return name.removeprefix("/dev/")


def slots(count: int) -> list[str]:
    """Return what a machine calls its disks: vda (which boots), vdb ... vdz."""
    return list(_SLOTS[:count])


def free_slot(taken: Collection[str], boots: bool) -> str | None:
    """Return a name in the machine that is free: vda for the disk that boots."""
    wanted = (BOOT,) if boots else _SLOTS[1:]
    return next((slot for slot in wanted if slot not in taken), None)


def most_volumes(kind: InstanceType, interfaces: int) -> int:
    """Return how many volumes an instance with so many interfaces can have."""
    return min(len(_SLOTS), _NITRO_ATTACHMENTS - interfaces if kind.hypervisor == "nitro" else len(_SLOTS))
