"""Which drivers serve which region: the only place that names concrete ones."""

import socket
from collections.abc import Mapping
from typing import Literal

from sqlalchemy import select

from engine.drivers.base import Disk, Drivers, Storage
from engine.drivers.simulated import Simulated
from engine.secrets import open_vault
from engine.state import Host, Snapshot, Volume, Zone
from engine.state.database import Database
from settings import Settings

_MADE = ("available", "in-use", "deleting")
"""States of volumes that have a disk, but for those of a launch that has only begun."""
NORTHBOUND = "unix:/var/run/ovn/ovnnb_db.sock"


def drivers_of(settings: Settings, database: Database) -> dict[str, Drivers]:
    """Return the drivers of every region of the deployment."""
    zones = _zones(database)
    if settings.engine == "simulated":
        return dict.fromkeys(zones, simulate(database).drivers())
    return _kvm(settings, zones)


def unknown_zones(settings: Settings, database: Database) -> list[str]:
    """Return the zones that the settings name and the deployment has not."""
    there = {zone for names in _zones(database).values() for zone in names}
    return sorted(settings.storage.keys() - there)


def storages_of(drivers: Mapping[str, Drivers]) -> dict[str, Storage]:
    """Return the stores of all regions by the names of their zones."""
    return {zone: storage for each in drivers.values() for zone, storage in each.storages.items()}


def local_storages(settings: Settings, database: Database) -> dict[str, Storage]:
    """Return the stores that any process on this machine may use beside the worker, by the names of their zones."""
    owner = open_vault(settings.secret_key, settings.data / "secret.key").identity
    return _stores(settings, [zone for names in _zones(database).values() for zone in names], owner)


def _zones(database: Database) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with database.read() as db:
        for region, name in db.execute(select(Zone.region, Zone.name).order_by(Zone.name)):
            found.setdefault(region, []).append(name)
    return found


def simulate(database: Database) -> Simulated:
    """Return a simulator with the hosts, zones, stores, snapshots and disks of the database."""
    with database.read() as db:
        hosts, zones = tuple(db.scalars(select(Host.name))), db.scalars(select(Zone)).all()
        kept = select(Snapshot.id, Snapshot.volume_size, Snapshot.storage).where(Snapshot.state == "completed")
        snapshots = db.execute(kept).all()
        volumes = db.execute(select(Volume.zone, Volume.id, Volume.size).where(Volume.state.in_(_MADE))).all()
    backend = Simulated(hosts=hosts, zones=tuple(zone.name for zone in zones))
    stores = {zone.storage: backend.storages[zone.name] for zone in zones}
    backend.storages.update((zone.name, stores[zone.storage]) for zone in zones)
    for id, size, storage in snapshots:
        for store in [stores[storage]] if storage else stores.values():
            store.add_snapshot(id, size)
    for zone, id, size in volumes:
        backend.storages[zone].ensure_disk(Disk(id, size))
    return backend


def local_host(region: str, regions: list[str]) -> str:
    """Return the name that this machine has as a host: one for each region that it serves."""
    return socket.gethostname() if len(regions) == 1 else f"{socket.gethostname()}-{region}"


def _kvm(settings: Settings, zones: dict[str, list[str]]) -> dict[str, Drivers]:
    # Imported here: a simulated deployment has neither libvirt nor OVN's libraries.
    from engine.drivers.libvirt import Libvirt
    from engine.drivers.ovn import External, Ovn
    from engine.drivers.ovn_external import Outside6
    from engine.host.accelerator import accelerator
    from engine.host.bridges import INTEGRATION, edge_address, read_switch

    switch = read_switch()
    datapath: Literal["netdev", "system"] = (
        "netdev" if switch.bridges.get(INTEGRATION, {}).get("datapath_type") == "netdev" else "system"
    )
    owner = open_vault(settings.secret_key, settings.data / "secret.key").identity
    compute = Libvirt(settings.libvirt_uri, accelerator(settings), settings.data / "console", datapath, owner)
    stores = _stores(settings, [zone for names in zones.values() for zone in names], owner)
    outside = Outside6(
        settings.external_network6, settings.external_gateway6, edge_address(settings, owner), settings.ipv6_pool
    )
    external = External(
        settings.external_network, settings.external_gateway, (switch.host["system-id"],), outside6=outside, owner=owner
    )
    network = Ovn(NORTHBOUND, external, mtu=settings.guest_mtu, owner=owner)
    regions = list(zones)
    return {
        region: Drivers({local_host(region, regions): compute}, {zone: stores[zone] for zone in names}, network)
        for region, names in zones.items()
    }


def _stores(settings: Settings, zones: list[str], owner: str) -> dict[str, Storage]:
    """Return what keeps the disks of each zone; zones with the same backend share it."""
    backends = {name: _backend(settings, name, owner) for name in {settings.storage_of(zone) for zone in zones}}
    return {zone: backends[settings.storage_of(zone)] for zone in zones}


def _backend(settings: Settings, name: str, owner: str) -> Storage:
    kind, _, pool = name.partition(":")
    if kind == "rbd":
        from engine.ceph.session import Ceph
        from engine.drivers.rbd import Rbd

        return Rbd(Ceph(settings.ceph_conf, settings.ceph_user, pool), owner)
    if kind == "lvm":
        from engine.drivers.lvm import Lvm

        return Lvm(pool, owner)
    if kind == "python":
        from engine.named_drivers import load

        return load(name, owner)
    from engine.drivers.qcow2 import Qcow2

    return Qcow2(settings.data)
