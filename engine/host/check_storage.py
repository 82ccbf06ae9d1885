"""The doctor's look at what else zones have their disks in: LVM thin pools, and drivers of the operator's own."""

import json
from pathlib import Path

from engine.host.commands import attempt
from engine.host.findings import Check, Examine
from engine.named_drivers import WrongDriver, load
from engine.secrets import open_vault
from settings import Settings

FULL = 90.0
"""Percent of a thin pool, or of its metadata, from which on it is nearly full."""
LITTLE_GIB = 5


def no_device_mapper() -> str:
    """Say why there can be no thin pools here; empty where there can."""
    try:
        known = {line.split()[-1] for line in Path("/proc/misc").read_text().splitlines()}
    except OSError:
        return ""
    if "device-mapper" in known or attempt(["modprobe", "--dry-run", "--quiet", "dm-mod"]).returncode == 0:
        return ""
    return "this kernel has no device-mapper"


def check_lvm(settings: Settings) -> Check:
    """The programs and the kernel's part of LVM are there."""
    if lacking := [name for name in ("lvm", "thin_check") if attempt([name, "--version"]).returncode == 127]:
        return Check(
            "lvm", False, f"{', '.join(lacking)}: not installed", "run: apt-get install lvm2 thin-provisioning-tools"
        )
    if reason := no_device_mapper():
        return Check("lvm", False, reason, "run a kernel with CONFIG_BLK_DEV_DM and CONFIG_DM_THIN_PROVISIONING")
    return Check("lvm", True, "LVM and device-mapper are there")


def check_lvm_pools(settings: Settings) -> Check:
    """Each thin pool is there, zeroes what it gives out, and has room."""
    name, details, short = "lvm pools", [], False
    for pool in settings.lvm_pools:
        found = _look_at(pool)
        if isinstance(found, Check):
            return found
        data, metadata = (float(found[key] or 0) for key in ("data_percent", "metadata_percent"))
        details.append(f"{pool}: {data:.0f}% full, metadata {metadata:.0f}%")
        short = short or max(data, metadata) >= FULL
    return Check(name, None if short else True, ", ".join(details), "run: lvextend, or delete volumes" if short else "")


def _look_at(pool: str) -> Check | dict[str, str]:
    name, group = "lvm pools", pool.partition("/")[0]
    if attempt(["vgs", group]).returncode:
        return Check(name, False, f"there is no volume group {group}", f"run: vgcreate {group} DEVICE")
    fields = "segtype,zero,data_percent,metadata_percent"
    shown = attempt(["lvs", "--reportformat", "json", "-o", fields, pool])
    if shown.returncode:
        make = f"run: lvcreate --type thin-pool -l 90%FREE -n {pool.partition('/')[2]} {group}"
        return Check(name, False, f"there is no thin pool {pool}", make)
    found: dict[str, str] = json.loads(shown.stdout)["report"][0]["lv"][0]
    if found["segtype"] != "thin-pool":
        return Check(name, False, f"{pool} is no thin pool", f"run: lvconvert --type thin-pool {pool}, or name another")
    if not found["zero"]:
        return Check(name, False, f"{pool} shows guests what was deleted", f"run: lvchange --zero y {pool}")
    return found


def check_own_drivers(settings: Settings) -> Check:
    """Each driver of the operator's own can be loaded, and answers."""
    key = settings.data / "secret.key"
    owner = open_vault(settings.secret_key, key).identity if settings.secret_key or key.exists() else "doctor"
    name, details, short = "storage drivers", [], False
    for driver in settings.own_drivers:
        place = driver.partition("?")[0]
        try:
            storage = load(driver, owner)
            free = storage.free_gib()
            storage.list_disks()
        except WrongDriver as error:
            return Check(name, False, str(error), "see docs/storage-drivers.md")
        except Exception as error:  # it is a stranger's
            return Check(name, False, f"{place} does not answer: {error}", "look at what it keeps disks in")
        details.append(f"{place}: {free} GiB free")
        short = short or free < LITTLE_GIB
    return Check(name, None if short else True, ", ".join(details), "delete volumes, or add room" if short else "")


def storage_checks(settings: Settings) -> tuple[Examine, ...]:
    """What is to be looked at for the zones that there are."""
    lvm = (check_lvm, check_lvm_pools) if settings.lvm_pools else ()
    return (*lvm, *((check_own_drivers,) if settings.own_drivers else ()))
