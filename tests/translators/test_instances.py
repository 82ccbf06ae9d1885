"""Instances through a real client, and the workflows behind them on the simulated engine."""

from typing import Any

import pytest

from engine.workflows import boot_instance
from tests.cloud import IMAGE, Cloud


def launch(cloud: Cloud, count: int = 1, **extra: Any) -> list[str]:
    answer = cloud.ec2.run_instances(**{"ImageId": IMAGE, "MinCount": count, "MaxCount": count} | extra)
    return [i["InstanceId"] for i in answer["Instances"]]


def instance(cloud: Cloud, id: str) -> dict[str, Any]:
    (reservation,) = cloud.ec2.describe_instances(InstanceIds=[id])["Reservations"]
    found: dict[str, Any] = reservation["Instances"][0]
    return found


def state(cloud: Cloud, id: str) -> str:
    return str(instance(cloud, id)["State"]["Name"])


def leftovers(cloud: Cloud) -> list[set[str]]:
    drivers = next(iter(cloud.drivers.values()))
    machines = {m for c in drivers.computes.values() for m in c.list_machines()}
    disks = {d for s in drivers.storages.values() for d in s.list_disks()}
    return [machines, disks, drivers.network.list_ports()]


def test_a_launched_instance_is_pending_and_then_running(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    assert state(cloud, id) == "pending"
    cloud.settle()
    found = instance(cloud, id)
    assert found["State"] == {"Code": 16, "Name": "running"}
    assert found["PrivateIpAddress"].startswith("172.31.") and found["PublicIpAddress"].startswith("198.18.")
    assert found["BlockDeviceMappings"][0]["Ebs"]["Status"] == "attached"
    assert found["NetworkInterfaces"][0]["Attachment"]["Status"] == "attached"


def test_what_was_asked_is_read_back(cloud: Cloud) -> None:
    (id,) = launch(
        cloud,
        InstanceType="t3.small",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"},
        DisableApiStop=True,
        InstanceInitiatedShutdownBehavior="terminate",
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "of", "Value": "web"}]},
        ],
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5, "DeleteOnTermination": False}},
        ],
        UserData="#!/bin/sh\necho hi",
        ClientToken="abc",
    )
    found = instance(cloud, id)
    assert found["InstanceType"] == "t3.small" and found["ClientToken"] == "abc"
    assert found["MetadataOptions"]["HttpTokens"] == "required" and found["Tags"] == [{"Key": "Name", "Value": "web"}]
    assert [d["DeviceName"] for d in found["BlockDeviceMappings"]] == ["/dev/xvda", "/dev/sdf"]
    volumes = cloud.ec2.describe_volumes(Filters=[{"Name": "tag:of", "Values": ["web"]}])["Volumes"]
    assert sorted((v["Size"], v["VolumeType"]) for v in volumes) == [(5, "gp2"), (20, "gp3")]
    for attribute, value in (("disableApiStop", True), ("instanceInitiatedShutdownBehavior", "terminate"),
                             ("userData", "IyEvYmluL3NoCmVjaG8gaGk=")):  # fmt: skip
        answer = cloud.ec2.describe_instance_attribute(InstanceId=id, Attribute=attribute)
        assert answer[attribute[0].upper() + attribute[1:]]["Value"] == value


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "x9.huge"}, "InvalidInstanceType"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-00000000"]}, "InvalidGroup.NotFound"),
        ({"MinCount": 2}, "InvalidParameterValue"),
        ({"UserData": "x" * 17000}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf"}]}, "MissingParameter"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 70000}}]},
         "InvalidParameterValue"),
        ({"Placement": {"Tenancy": "dedicated"}}, "UnsupportedOperation"),
        ({"Placement": {"AvailabilityZone": "mars-1a"}}, "InvalidParameterValue"),
        ({"KernelId": "aki-1"}, "UnsupportedOperation"),
        ({"PrivateIpAddress": "10.9.9.9"}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]},
         "InvalidParameterValue"),
        ({"CpuOptions": {"CoreCount": 99, "ThreadsPerCore": 1}}, "InvalidParameterValue"),
        ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)  # fmt: skip
def test_what_ec2_refuses_is_refused_and_leaves_nothing(
    cloud: Cloud, refused: Any, extra: dict[str, Any], code: str
) -> None:
    with refused(code):
        launch(cloud, **extra)
    assert cloud.ec2.describe_instances()["Reservations"] == []
    assert cloud.ec2.describe_volumes()["Volumes"] == []
    assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_more_than_the_hosts_have_is_insufficient_capacity(cloud: Cloud, refused: Any) -> None:
    from engine.state import Host

    with cloud.database.write() as db:
        host = db.get_one(Host, "simulated-us-east-1")
        host.memory_mib = 3000
    assert len(launch(cloud, 3, InstanceType="t3.micro", MinCount=1)) == 2
    with refused("InsufficientInstanceCapacity"):
        launch(cloud, InstanceType="t3.micro")


@pytest.mark.parametrize("change", range(1, 8))
def test_a_crash_after_any_change_is_survived(cloud: Cloud, change: int) -> None:
    cloud.backend.faults.crash_after = change
    (id,) = launch(cloud)
    cloud.settle()
    assert state(cloud, id) == "running"
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert leftovers(cloud) == [set(), set(), set()]


@pytest.mark.parametrize("progress", range(len(boot_instance.STEPS) + 1))
def test_terminating_after_any_step_leaves_nothing_behind(cloud: Cloud, progress: int) -> None:
    (id,) = launch(cloud)
    cloud.run_single_steps(progress)
    cloud.ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert state(cloud, id) == "terminated" and leftovers(cloud) == [set(), set(), set()]
    assert cloud.ec2.describe_volumes()["Volumes"] == []
    assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_terminating_while_a_step_is_inside_the_driver(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    storage = cloud.drivers["us-east-1"].storages[instance(cloud, id)["Placement"]["AvailabilityZone"]]
    original = storage.ensure_disk

    def meanwhile(disk: Any) -> None:
        original(disk)
        storage.ensure_disk = original  # type: ignore[method-assign]
        cloud.ec2.terminate_instances(InstanceIds=[id])

    storage.ensure_disk = meanwhile  # type: ignore[method-assign]
    cloud.settle()
    assert state(cloud, id) == "terminated" and leftovers(cloud) == [set(), set(), set()]


def test_a_launch_that_cannot_succeed_ends_terminated_with_the_reason(cloud: Cloud) -> None:
    from engine.drivers.base import Refused

    cloud.backend.fail_next("ensure_disk", Refused("cannot"), 1)
    (id,) = launch(cloud)
    cloud.settle()
    assert state(cloud, id) == "terminated"
    assert instance(cloud, id)["StateReason"]["Code"] == "Server.InternalError"
    assert leftovers(cloud) == [set(), set(), set()]


def test_stop_and_start_keep_disk_and_private_address_and_change_the_public_one(cloud: Cloud) -> None:
    (id,) = launch(cloud)
    cloud.settle()
    before = instance(cloud, id)
    (change,) = cloud.ec2.stop_instances(InstanceIds=[id])["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
    cloud.settle()
    stopped = instance(cloud, id)
    assert stopped["State"]["Name"] == "stopped" and "PublicIpAddress" not in stopped
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    cloud.ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    after = instance(cloud, id)
    assert after["State"]["Name"] == "running" and after["PublicIpAddress"]
    for key in ("PrivateIpAddress", "BlockDeviceMappings"):
        assert after[key] == before[key]


def test_protected_instances_are_not_terminated(cloud: Cloud, refused: Any) -> None:
    one, two = launch(cloud, 2)
    cloud.settle()
    cloud.ec2.modify_instance_attribute(InstanceId=two, DisableApiTermination={"Value": True})
    with refused("OperationNotPermitted"):
        cloud.ec2.terminate_instances(InstanceIds=[one, two])
    assert state(cloud, one) == "running"


def test_the_same_client_token_launches_once(cloud: Cloud, refused: Any) -> None:
    assert launch(cloud, ClientToken="t") == launch(cloud, ClientToken="t")
    with refused("IdempotentParameterMismatch"):
        launch(cloud, ClientToken="t", InstanceType="m5.large")


def test_an_unknown_id_a_malformed_one_and_anothers_are_refused(cloud: Cloud, refused: Any) -> None:
    (id,) = launch(cloud)
    with refused("InvalidInstanceID.NotFound"):
        cloud.ec2.terminate_instances(InstanceIds=["i-00000000"])
    with refused("InvalidInstanceID.Malformed"):
        cloud.ec2.describe_instances(InstanceIds=["nonsense"])
    with refused("InvalidInstanceID.NotFound"):
        cloud.another_account().stop_instances(InstanceIds=[id])


def test_instances_are_filtered_and_paged_in_reservations(cloud: Cloud) -> None:
    ids = set(launch(cloud, 3)) | set(launch(cloud, 4))
    chosen = [{"Name": "instance-state-name", "Values": ["pend*"]}, {"Name": "hypervisor", "Values": ["xen"]}]
    pages = list(cloud.ec2.get_paginator("describe_instances").paginate(
        Filters=chosen, PaginationConfig={"PageSize": 5}))  # fmt: skip
    seen = [i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"]]
    assert len(pages) == 2 and sorted(seen) == sorted(ids)
    everything = cloud.ec2.describe_instances()["Reservations"]
    assert sorted(len(r["Instances"]) for r in everything) == [3, 4]
    assert cloud.ec2.describe_instances(Filters=[{"Name": "vpc-id", "Values": ["vpc-no"]}])["Reservations"] == []


def test_status_is_of_running_ones_unless_all_are_asked_for(cloud: Cloud) -> None:
    one, two = launch(cloud, 2)
    cloud.settle()
    cloud.ec2.stop_instances(InstanceIds=[two])
    cloud.settle()
    (status,) = cloud.ec2.describe_instance_status(InstanceIds=[one, two])["InstanceStatuses"]
    assert status["InstanceId"] == one and status["InstanceStatus"]["Status"] == "ok"
    assert len(cloud.ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]) == 2


def test_the_type_of_a_stopped_instance_can_be_changed(cloud: Cloud, refused: Any) -> None:
    (id,) = launch(cloud, InstanceType="t3.micro")
    cloud.settle()
    with refused("IncorrectInstanceState"):
        cloud.ec2.modify_instance_attribute(InstanceId=id, InstanceType={"Value": "t3.small"})
    cloud.ec2.stop_instances(InstanceIds=[id], Force=True)
    cloud.settle()
    cloud.ec2.modify_instance_attribute(InstanceId=id, InstanceType={"Value": "t3.small"})
    assert instance(cloud, id)["InstanceType"] == "t3.small"
