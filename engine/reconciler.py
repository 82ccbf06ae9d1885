"""Bring what runs back in line with what is asked. Called now and then, and given no hints.

Every list of a driver is taken before the database is read: a row exists before its thing does, so whatever is listed
and has no row is an orphan for good. Resources with a task under way are left to it.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Select, delete, exists, or_, select
from sqlalchemy.orm import Session

from engine import (
    address_transfers,
    desired,
    nat_gateways,
    peerings,
    root_replacements,
    snapshot_drafts,
    snapshots,
    tasks,
    volumes,
)
from engine.drivers.base import Compute, DriverError, Drivers, Storage
from engine.exports import rows as exports
from engine.imports import rows as imports
from engine.imports import work
from engine.machines import sync_devices
from engine.state import (
    AddressTransfer,
    ConsoleOutput,
    ExportImageTask,
    ExportInstanceTask,
    Host,
    Instance,
    NatGateway,
    NetworkInterface,
    Replay,
    SecurityGroup,
    Snapshot,
    StoreImageTask,
    Tag,
    Task,
    Volume,
    VolumeAttachment,
    Vpc,
    timestamp,
)
from engine.tasks import Engine

log = structlog.get_logger("groundfog.reconciler")

SHOWN_AFTER_END = timedelta(hours=1)
"""How long a terminated instance is described: EC2 says "a short interval (usually less than one hour)". A NAT gateway
that was deleted or failed is too: "about an hour".
"""
_REPLAYS_KEPT = timedelta(hours=48)
_IMPORTS_SHOWN = timedelta(days=7)
_STORED_SHOWN = timedelta(days=31)
"""DescribeStoreImageTasks: "tasks processed within the last 31 days"."""
_PROMISES = {
    # Not boot_instance: should it fail, that one takes an instance away, and this may have run for years.
    "pending": "start_instance",
    "stopping": "stop_instance",
    "shutting-down": "terminate_instance",
}
"""The workflow that keeps what a transient state promises, where its task was lost."""
_STARTING = ("boot_instance", "start_instance")
_MAY_LOSE: Sequence[Any] = (nat_gateways, volumes, snapshots, imports, exports)
_PLUGS = {"attaching": "attach_interface", "detaching": "detach_interface", "detached": "detach_interface"}
"""The workflow that ends each status of an attachment that does not last, where its task was lost."""
_LOOKED_INTO = 100
"""Machines of a host whose devices are compared in one round: each takes about 2 ms. All have their turn."""


def reconcile(engine: Engine) -> None:
    """Do one round over every region."""
    seen: set[int] = set()
    hosts: set[str] = set()
    for region, drivers in engine.drivers.items():
        _restore_lost_tasks(engine, region)
        _restore_lost_plugs(engine, region)
        for name in drivers.computes.keys() - hosts:
            hosts.add(name)
            _reconcile_host(engine, name, drivers.computes[name], seen)
        if id(drivers.network) not in seen:
            seen.add(id(drivers.network))
            _reconcile_network(engine, drivers)
        for storage in drivers.storages.values():
            if id(storage) not in seen:
                seen.add(id(storage))
                _reconcile_disks(engine, storage)
    _sweep_files(engine)
    _forget_the_past(engine)


def _restore_lost_tasks(engine: Engine, region: str) -> None:
    with engine.database.read() as db:
        lost = db.scalar(_without_task(region).limit(1)) is not None
        lost = lost or any(of.lost_tasks(db, region) for of in _MAY_LOSE)
        lost = lost or root_replacements.any_lost(db, region)
    if not lost:
        return
    with engine.database.write() as db:
        for instance in db.scalars(_without_task(region)):
            log.warning("a task was lost", instance=instance.id, state=instance.state)
            tasks.start(db, instance.id, _PROMISES[instance.state], region)
        for of in _MAY_LOSE:
            for id, workflow in of.lost_tasks(db, region).items():
                log.warning("a task was lost", of=id, workflow=workflow)
                tasks.start(db, id, workflow, region)
        root_replacements.end_lost(db, region)


def _restore_lost_plugs(engine: Engine, region: str) -> None:
    with engine.database.read() as db:
        lost = db.scalar(_plugs_without_task(region).limit(1))
    if lost is None:
        return
    with engine.database.write() as db:
        for interface in db.scalars(_plugs_without_task(region)):
            status = str(interface.attachment_status)
            log.warning("a task was lost", interface=interface.id, state=status)
            tasks.start(db, interface.id, _PLUGS[status], region)


def _plugs_without_task(region: str) -> Select[tuple[NetworkInterface]]:
    """Select interfaces whose attachment is left half-way; those of an instance under way are left to its own task."""
    busy = select(Task.resource_id)
    moving = select(Instance.id).where(Instance.region == region, Instance.state.in_(list(_PROMISES)))
    return select(NetworkInterface).where(
        NetworkInterface.region == region,
        NetworkInterface.attachment_status.in_(list(_PLUGS)),
        NetworkInterface.id.not_in(busy),
        or_(
            NetworkInterface.instance_id.is_(None),
            NetworkInterface.instance_id.not_in(busy) & NetworkInterface.instance_id.not_in(moving),
        ),
    )


def _without_task(region: str) -> Select[tuple[Instance]]:
    busy = select(Task.resource_id)
    return select(Instance).where(
        Instance.region == region, Instance.state.in_(list(_PROMISES)), Instance.id.not_in(busy)
    )


def _reconcile_host(engine: Engine, name: str, compute: Compute, seen: set[int]) -> None:
    """Compare a host's machines with its instances. ``seen`` are the engines whose orphans were looked for."""
    boot_id, present = compute.boot_id(), compute.list_machines()
    if id(compute) not in seen:
        seen.add(id(compute))
        _remove_orphans(engine, compute, set(present))
    with engine.database.read() as db:
        host = db.get(Host, name)
        restarted = host is not None and host.boot_id != boot_id
        ids = set(db.scalars(select(Instance.id).where(Instance.host == name, Instance.state == "running")))
    if restarted:
        _start_again(engine, name, boot_id, present)
        return
    running = {id for id in ids if present.get(id) == "running"}
    for instance_id in ids - running:
        check_machine(engine, instance_id)
    _check_devices(engine, random.sample(sorted(running), min(len(running), _LOOKED_INTO)))


def _check_devices(engine: Engine, ids: Collection[str]) -> None:
    """Have machines take the disks and cards that they should have, where no task is at it."""
    with engine.database.read() as db:
        busy = select(Task.resource_id)
        idle = db.scalars(
            select(Instance.id).where(
                Instance.id.in_(ids),
                Instance.id.not_in(busy),
                ~snapshots.taken_of(Instance.id),
                ~exists().where(NetworkInterface.instance_id == Instance.id, NetworkInterface.id.in_(busy)),
                ~exists().where(VolumeAttachment.instance_id == Instance.id, VolumeAttachment.id.in_(busy)),
            )
        ).all()
    for id in idle:
        try:
            sync_devices(engine, id)
        except DriverError as error:
            log.warning("cannot repair the devices of a machine now", instance=id, error=repr(error))


def _start_again(engine: Engine, name: str, boot_id: str, present: Mapping[str, str]) -> None:
    """Bring back what ran, and begin anew what was starting, when a host restarted."""
    with engine.database.write() as db:
        db.get_one(Host, name).boot_id = boot_id
        rows = select(Instance).where(Instance.host == name, Instance.state.in_(("pending", "running")))
        for instance in db.scalars(rows.order_by(Instance.id).with_for_update()):
            task = db.get(Task, instance.id)
            workflow = task.workflow if task and task.workflow in _STARTING else "start_instance"
            if present.get(instance.id) != "running":
                log.info("starting again after the host's restart", instance=instance.id)
                tasks.start(db, instance.id, workflow, instance.region)


def check_machine(engine: Engine, id: str) -> None:
    """Look at one machine that changed, or seems to be off.

    Its state is asked after the database was read: a machine that was started since a list was taken is not in it.
    """
    with engine.database.read() as db:
        instance = db.get(Instance, id)
        if instance is None or instance.state != "running" or db.get(Task, id) is not None:
            return
        compute = engine.drivers[instance.region].computes.get(instance.host)
        host = db.get(Host, instance.host)
    if compute is None or host is None or host.boot_id != compute.boot_id():
        return
    if compute.machine_state(id) != "running":
        with engine.database.write() as db:
            instance = db.get(Instance, id, with_for_update=True)
            if instance is not None and instance.state == "running" and db.get(Task, id) is None:
                _ended_by_itself(db, instance)


def _ended_by_itself(db: Session, instance: Instance) -> None:
    """A guest that powered itself off is stopped, or terminated, as InstanceInitiatedShutdownBehavior says.

    One that is off for an image or for another root volume, and whose task was lost, is started again by that.
    """
    paused = snapshots.is_paused(db, instance.id) and snapshots.PAUSE
    replaced = root_replacements.under_way(db, instance.id) and root_replacements.WORKFLOW
    workflow = paused or replaced
    if workflow:
        log.warning("a task was lost", of=instance.id, workflow=workflow)
        tasks.start(db, instance.id, workflow, instance.region)
        return
    log.info("a guest powered itself off", instance=instance.id)
    instance.state_reason_code = "Client.InstanceInitiatedShutdown"
    instance.state_reason = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
    instance.transition_reason = ""
    if instance.shutdown_behavior == "terminate":
        instance.state = "shutting-down"
        tasks.start(db, instance.id, "terminate_instance", instance.region)
    else:
        instance.state = "stopping"
        tasks.start(db, instance.id, "stop_instance", instance.region)


def _remove_orphans(engine: Engine, compute: Compute, present: set[str]) -> None:
    with engine.database.read() as db:
        alive = set(db.scalars(select(Instance.id).where(Instance.state != "terminated")))
        alive |= set(db.scalars(select(Task.resource_id)))
    for id in present - alive:
        log.warning("removing a machine that nobody asked for", machine=id)
        compute.remove_machine(id)


def _reconcile_network(engine: Engine, drivers: Drivers) -> None:
    """Remove what has no row, bring what is there to what the database says, and bring back what is lost."""
    network = drivers.network
    ports, groups, networks = network.list_ports(), network.list_groups(), network.list_networks()
    with engine.database.read() as db:
        known = {kind: _ids(db, kind) for kind in (NetworkInterface, SecurityGroup, Vpc)}
        plugged = {row.id: row for row in db.execute(_plugged())}
        gateways = set(db.scalars(select(NatGateway.vpc_id).where(NatGateway.state == "available")))
        busy = set(db.scalars(select(Task.resource_id)))
    for id in ports - known[NetworkInterface] - busy:
        network.remove_port(id)
    for id in groups - known[SecurityGroup] - busy:
        network.remove_group(id)
    for id in networks - known[Vpc] - busy:
        network.remove_network(id)
    lost = {row.vpc_id for id, row in plugged.items() if id not in ports and row.instance_id not in busy}
    lost |= (gateways | {row.vpc_id for row in plugged.values()}) - networks
    for vpc in lost - busy:
        log.warning("bringing a network back that was lost", vpc=vpc)
    stray = (ports & known[NetworkInterface]) - plugged.keys()
    with engine.database.write() as db:
        for present, kind, workflow in (
            (lost, Vpc, "restore_network"),
            (networks - lost, Vpc, "sync_network"),
            (groups, SecurityGroup, "sync_group"),
            (stray, NetworkInterface, "sync_port"),
        ):
            rows = db.execute(select(kind.id, kind.region).where(kind.id.in_(present))).all() if present else []
            for id, region in rows:
                if id not in busy:
                    tasks.start(db, id, workflow, region)


def _plugged() -> Select[Any]:
    """Select the interfaces that should be on the network."""
    rows = select(NetworkInterface.id, NetworkInterface.vpc_id, NetworkInterface.instance_id)
    there = or_(Instance.state.in_(desired.PLUGGED), NetworkInterface.kind == "vpc_endpoint")
    return rows.outerjoin(Instance, Instance.id == NetworkInterface.instance_id).where(there)


def _ids(db: Session, kind: type[NetworkInterface | SecurityGroup | Vpc]) -> set[str]:
    return set(db.scalars(select(kind.id)))


def _reconcile_disks(engine: Engine, storage: Storage) -> None:
    try:
        disks, snapshots = storage.list_disks(), storage.list_snapshots()
    except DriverError as error:  # a cluster that is away takes no other backend's turn
        log.warning("disks could not be listed", error=str(error))
        return
    with engine.database.read() as db:
        disks -= set(db.scalars(select(Volume.id)))
        snapshots -= set(db.scalars(select(Snapshot.id)))
    for id in disks:
        log.warning("removing a disk that nobody asked for", disk=id)
        _remove(storage.remove_disk, id)
    for id in snapshots:
        _remove(storage.remove_snapshot, id)


def _remove(remove: Callable[[str], None], id: str) -> None:
    try:
        remove(id)
    except DriverError as error:  # the next round tries again
        log.warning("could not be removed", id=id, error=str(error))


def _sweep_files(engine: Engine) -> None:
    """End the work of imports and exports that have no task: a worker began it while another one cancelled it."""
    folders = [folder for room in ("imports", "exports") for folder in (engine.settings.data / room).glob("*-*")]
    if not folders:
        return
    with engine.database.read() as db:
        busy = set(db.scalars(select(Task.resource_id)))
    for folder in folders:
        if folder.name not in busy:
            work.end(folder)


def _forget_the_past(engine: Engine) -> None:
    now = datetime.now(UTC)
    over = select(Instance.id).where(Instance.state == "terminated", Instance.ended < timestamp(now - SHOWN_AFTER_END))
    with engine.database.read() as db:
        ended = list(db.scalars(over.limit(500)))
    with engine.database.write() as db:
        if ended:
            db.execute(delete(Tag).where(Tag.resource_id.in_(ended)))
            db.execute(delete(ConsoleOutput).where(ConsoleOutput.instance_id.in_(ended)))
            db.execute(delete(Instance).where(Instance.id.in_(ended)))
        nat_gateways.forget_ended(db, timestamp(now - SHOWN_AFTER_END))
        imports.forget_ended(db, timestamp(now - _IMPORTS_SHOWN))
        exports.forget_ended(db, (ExportImageTask, ExportInstanceTask), timestamp(now - _IMPORTS_SHOWN))
        exports.forget_ended(db, (StoreImageTask,), timestamp(now - _STORED_SHOWN))
        db.execute(delete(AddressTransfer).where(~address_transfers.is_known()))
        db.execute(delete(Replay).where(Replay.created < timestamp(now - _REPLAYS_KEPT)))
        peerings.expire(db, timestamp(now))
        snapshot_drafts.expire(db, timestamp(now))
        peerings.forget(db, timestamp(now - SHOWN_AFTER_END))
    engine.database.learn_sizes()
