"""What the reconciler mends: orphans, lost tasks, guests that ended by themselves, hosts that restarted."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete

from engine.drivers.base import Disk, DriverError, Machine
from engine.drivers.networking import Group, Network, Port, Subnet
from engine.drivers.simulated import Simulated
from engine.reconciler import check_machine, reconcile
from engine.state import Instance, Task
from tests.cloud import Cloud
from tests.engine.scenarios import lose_everything
from tests.translators.test_instances import instance, launch, leftovers, state


def running(cloud: Cloud, **options: Any) -> str:
    (id,) = launch(cloud, **options)
    cloud.settle()
    reconcile(cloud.engine)
    cloud.settle()
    return id


def test_work_in_flight_is_left_alone(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    cloud.run_single_steps(3)
    reconcile(cloud.engine)
    cloud.settle()
    assert state(cloud, id) == "running"


def test_what_runs_as_it_should_is_left_alone(cloud: Cloud) -> None:
    id = running(cloud)
    changes = cloud.backend.faults.changes
    reconcile(cloud.engine)
    cloud.settle()
    assert state(cloud, id) == "running" and leftovers(cloud)[0] == {id}
    assert cloud.backend.faults.changes - changes <= 20, "only networks and groups were compared"


def test_orphans_go_whatever_they_are(cloud: Cloud) -> None:
    running(cloud)
    drivers = cloud.drivers["us-east-1"]
    before = leftovers(cloud)
    network = Network("vpc-00000000000000000", ("10.9.0.0/16",), None, (Subnet("subnet-0", "10.9.0.0/24"),))
    drivers.network.ensure_network(network)
    drivers.network.ensure_group(Group("sg-00000000000000000", network.id))
    port = Port(
        "eni-00000000000000000", network.id, "subnet-0", "02:00:00:00:00:99", ("10.9.0.9",), ("sg-00000000000000000",)
    )
    drivers.network.ensure_port(port)
    storage = next(iter(drivers.storages.values()))
    storage.ensure_disk(Disk("vol-00000000000000000", 1))
    compute = next(iter(drivers.computes.values()))
    compute.ensure_machine(Machine("i-00000000000000000", "0" * 32, 1, 128, (), ()))
    for _ in range(3):  # a network goes when its port has gone
        reconcile(cloud.engine)
    assert leftovers(cloud) == before
    assert network.id not in drivers.network.list_networks()
    assert "sg-00000000000000000" not in drivers.network.list_groups()


def test_every_backend_of_disks_has_its_turn_whichever_is_away(cloud: Cloud) -> None:
    """Also one of a region whose network had its turn with another region's, and after one that cannot be reached."""
    drivers = cloud.drivers["us-east-1"]
    away, other, alone = Simulated(), Simulated(zones=("zone-1", "zone-2")), Simulated()

    def fail() -> set[str]:
        raise DriverError("no monitor answers")

    for each in (other, alone):
        each.storages["zone-1"].ensure_disk(Disk("vol-00000000000000000", 1))
        each.storages["zone-1"].ensure_snapshot("snap-00000000000000000", "vol-00000000000000000")
    away.storages["zone-1"].list_disks = fail  # type: ignore[method-assign]
    first = replace(drivers, storages={"a": away.storages["zone-1"], "b": other.storages["zone-1"]})
    second = replace(drivers, storages={"c": alone.storages["zone-1"]})
    reconcile(replace(cloud.engine, drivers={"us-east-1": first, "eu-west-1": second}))
    for each in (other, alone):
        assert each.storages["zone-1"].list_disks() == each.storages["zone-1"].list_snapshots() == set()


def test_an_orphan_that_is_in_use_keeps_no_other_one(cloud: Cloud) -> None:
    storage = next(iter(cloud.drivers["us-east-1"].storages.values()))
    storage.ensure_disk(Disk("vol-00000000000000000", 1))
    storage.ensure_disk(Disk("vol-00000000000000001", 1))
    before = storage.list_disks()
    cloud.backend.faults.fail_next("remove_disk", DriverError("it is in use"), 1)
    reconcile(cloud.engine)
    assert len(before - storage.list_disks()) == 1
    reconcile(cloud.engine)
    assert len(before - storage.list_disks()) == 2


def test_a_network_whose_database_was_lost_is_brought_back(cloud: Cloud) -> None:
    running(cloud)
    driver = cloud.drivers["us-east-1"].network
    before = driver.list_ports(), driver.list_networks(), driver.list_groups()
    lose_everything(cloud)
    reconcile(cloud.engine)
    cloud.settle()
    assert (driver.list_ports(), driver.list_networks(), driver.list_groups()) == before


@pytest.mark.parametrize("action", ["", "stop_instances", "terminate_instances"])
def test_a_lost_task_is_begun_again(cloud: Cloud, action: str) -> None:
    (id,) = launch(cloud)
    if action:
        cloud.settle()
        getattr(cloud.ec2, action)(InstanceIds=[id])
    with cloud.database.write() as db:
        db.execute(delete(Task))
    reconcile(cloud.engine)
    cloud.settle()
    assert state(cloud, id) == {"": "running", "stop_instances": "stopped"}.get(action, "terminated")


@pytest.mark.parametrize(("behavior", "end"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_powers_itself_off_ends_as_was_asked(cloud: Cloud, behavior: str, end: str) -> None:
    id = running(cloud, InstanceInitiatedShutdownBehavior=behavior)
    cloud.backend.power_off(id)
    check_machine(cloud.engine, id)
    cloud.settle()
    found = instance(cloud, id)
    assert found["State"]["Name"] == end
    assert found["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_host_that_restarted_has_its_instances_started_again(cloud: Cloud) -> None:
    id, stopped = running(cloud), running(cloud)
    cloud.ec2.stop_instances(InstanceIds=[stopped])
    cloud.settle()
    cloud.backend.power_off(id)
    cloud.backend.boot_id = "another"
    reconcile(cloud.engine)
    cloud.settle()
    assert state(cloud, id) == "running" and state(cloud, stopped) == "stopped"
    assert leftovers(cloud)[0] >= {id}


def test_a_terminated_instance_is_forgotten_after_an_hour(cloud: Cloud, refused: Any) -> None:
    id = running(cloud)
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    reconcile(cloud.engine)
    assert state(cloud, id) == "terminated"
    with cloud.database.write() as db:
        db.get_one(Instance, id).ended = "2020-01-01T00:00:00.000Z"
    reconcile(cloud.engine)
    with refused("InvalidInstanceID.NotFound"):
        instance(cloud, id)


def test_capacity_comes_back(cloud: Cloud) -> None:
    from engine.state import Host

    id = running(cloud)
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    with cloud.database.read() as db:
        host = db.get_one(Host, "simulated-us-east-1")
    assert (host.vcpus_used, host.memory_used_mib) == (0, 0)
