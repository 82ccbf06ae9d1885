"""Network interfaces attached and detached through a real client."""

from typing import Any

import pytest

from engine.default_vpc import new_id
from engine.state import NetworkInterface
from tests.cloud import OPERATOR, Cloud
from tests.translators.test_instances import instance, launch, leftovers


@pytest.fixture
def holder(cloud: Cloud) -> str:
    """A running instance of a type that has three interfaces at most."""
    (id,) = launch(cloud, InstanceType="t3.small")
    cloud.settle()
    return id


def subnet_of(cloud: Cloud, instance_id: str) -> str:
    return str(instance(cloud, instance_id)["SubnetId"])


def make(ec2: Any, subnet: str, **asked: Any) -> str:
    return str(ec2.create_network_interface(SubnetId=subnet, **asked)["NetworkInterface"]["NetworkInterfaceId"])


def attach(ec2: Any, id: str, holder: str, index: int = 1, **asked: Any) -> str:
    answer = ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=holder, DeviceIndex=index, **asked)
    assert answer["NetworkCardIndex"] == 0
    return str(answer["AttachmentId"])


def see(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    return found


def found_by(ec2: Any, name: str, value: str) -> list[str]:
    asked = [{"Name": name, "Values": [value]}]
    found = ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
    return [interface["NetworkInterfaceId"] for interface in found]


def test_an_interface_is_attached_to_a_running_instance(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = make(ec2, subnet_of(cloud, holder))
    attachment = attach(ec2, id, holder, NetworkCardIndex=0)
    found = see(ec2, id)
    assert found["Status"] == "in-use" and found["Attachment"].pop("AttachTime").year > 2000
    assert found["Attachment"] == {
        "AttachmentId": attachment,
        "DeleteOnTermination": False,
        "DeviceIndex": 1,
        "NetworkCardIndex": 0,
        "InstanceId": holder,
        "InstanceOwnerId": OPERATOR,
        "Status": "attaching",
    }
    cloud.settle()
    assert see(ec2, id)["Attachment"]["Status"] == "attached"
    shown = instance(cloud, holder)["NetworkInterfaces"]
    assert [(c["NetworkInterfaceId"] == id, c["Attachment"]["DeviceIndex"]) for c in shown] == [(False, 0), (True, 1)]
    assert cloud.backend.network.port_is_up(id)


def test_an_interface_is_attached_to_a_stopped_instance_at_once(cloud: Cloud, ec2: Any, holder: str) -> None:
    ec2.stop_instances(InstanceIds=[holder])
    cloud.settle()
    id = make(ec2, subnet_of(cloud, holder))
    attachment = attach(ec2, id, holder)
    assert see(ec2, id)["Attachment"]["Status"] == "attached"
    ec2.start_instances(InstanceIds=[holder])
    cloud.settle()
    assert cloud.backend.network.port_is_up(id)
    ec2.stop_instances(InstanceIds=[holder])
    cloud.settle()
    ec2.detach_network_interface(AttachmentId=attachment)
    assert (see(ec2, id)["Status"], see(ec2, id)["Attachment"]["Status"]) == ("available", "detached")
    cloud.settle()
    assert "Attachment" not in see(ec2, id)


def test_an_interface_of_another_vpc_may_be_attached(cloud: Cloud, ec2: Any, holder: str) -> None:
    zone = instance(cloud, holder)["Placement"]["AvailabilityZone"]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    id = make(ec2, subnet)
    attach(ec2, id, holder)
    cloud.settle()
    assert cloud.backend.network.port_is_up(id) and vpc in cloud.backend.network.list_networks()


def test_a_detached_interface_shows_its_attachment_for_half_a_minute(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = make(ec2, subnet_of(cloud, holder))
    attachment = attach(ec2, id, holder)
    cloud.settle()
    ec2.detach_network_interface(AttachmentId=attachment)
    assert (see(ec2, id)["Status"], see(ec2, id)["Attachment"]["Status"]) == ("in-use", "detaching")
    cloud.run_steps(1)
    found = see(ec2, id)
    assert (found["Status"], found["Attachment"]["Status"]) == ("available", "detached")
    assert (found["Attachment"]["InstanceId"], found["Attachment"]["DeviceIndex"]) == (holder, 1)
    for name, value in (("attachment.attachment-id", attachment), ("attachment.status", "detached")):
        assert found_by(ec2, name, value) == [id]
    assert set(found_by(ec2, "attachment.instance-id", holder)) > {id}
    assert len(instance(cloud, holder)["NetworkInterfaces"]) == 1
    assert id not in cloud.backend.network.list_ports()
    cloud.settle()
    assert "Attachment" not in see(ec2, id)
    assert found_by(ec2, "attachment.attachment-id", attachment) == []


def test_a_detached_interface_can_be_deleted_or_attached_again_at_once(cloud: Cloud, ec2: Any, holder: str) -> None:
    for _ in range(2):
        id = make(ec2, subnet_of(cloud, holder))
        first = attach(ec2, id, holder)
        cloud.settle()
        ec2.detach_network_interface(AttachmentId=first, Force=True)
        cloud.run_steps(1)
        second = attach(ec2, id, holder)
        cloud.settle()
        assert second != first and see(ec2, id)["Attachment"]["AttachmentId"] == second
        ec2.detach_network_interface(AttachmentId=second)
        cloud.run_steps(1)
        ec2.delete_network_interface(NetworkInterfaceId=id)
        cloud.settle()
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_an_elastic_ip_stays_with_its_interface_and_a_lent_one_does_not(cloud: Cloud, ec2: Any, holder: str) -> None:
    id = make(ec2, subnet_of(cloud, holder))
    allocation = ec2.allocate_address()["AllocationId"]
    attachment = attach(ec2, id, holder)
    ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=id)
    (address,) = ec2.describe_addresses()["Addresses"]
    assert address["InstanceId"] == holder
    cloud.settle()
    assert [nat.public for nat in cloud.backend.network._ports[id].nats] == [address["PublicIp"]]
    ec2.detach_network_interface(AttachmentId=attachment)
    cloud.settle()
    (address,) = ec2.describe_addresses()["Addresses"]
    assert address["NetworkInterfaceId"] == id and "InstanceId" not in address
    primary = instance(cloud, holder)["NetworkInterfaces"][0]
    changes = {"AttachmentId": primary["Attachment"]["AttachmentId"], "DeleteOnTermination": False}
    ec2.modify_network_interface_attribute(NetworkInterfaceId=primary["NetworkInterfaceId"], Attachment=changes)
    ec2.terminate_instances(InstanceIds=[holder])
    cloud.settle()
    kept = see(ec2, primary["NetworkInterfaceId"])
    assert kept["Status"] == "available" and "Association" not in kept and "Attachment" not in kept
    assert leftovers(cloud) == [set(), set(), set()]


def test_an_attachment_is_modified_until_it_is_detached(cloud: Cloud, ec2: Any, holder: str, refused: Any) -> None:
    id = make(ec2, subnet_of(cloud, holder))
    attachment = attach(ec2, id, holder)
    changes = {"AttachmentId": attachment, "DeleteOnTermination": True}
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=changes)
    assert see(ec2, id)["Attachment"]["DeleteOnTermination"]
    cloud.settle()
    ec2.detach_network_interface(AttachmentId=attachment)
    cloud.run_steps(1)
    with refused("InvalidAttachmentID.NotFound"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Attachment=changes)
    attach(ec2, id, holder)
    assert not see(ec2, id)["Attachment"]["DeleteOnTermination"]


# -- refusals --------------------------------------------------------------------


def test_what_does_not_fit_is_not_attached(cloud: Cloud, ec2: Any, holder: str, refused: Any) -> None:
    subnet = subnet_of(cloud, holder)
    first, second, third = (make(ec2, subnet) for _ in range(3))
    other = next(s["SubnetId"] for s in ec2.describe_subnets()["Subnets"] if s["SubnetId"] != subnet)
    attach(ec2, first, holder)
    for code, text, asked in (
        ("InvalidNetworkInterface.InUse", f"Interface: [{first}] in use.", (first, holder, 2)),
        ("InvalidParameterValue", "already has an interface attached at device index '1'", (second, holder, 1)),
        ("InvalidParameterValue", "already has an interface attached at device index '0'", (second, holder, 0)),
        ("InvalidParameterValue", "deviceIndex", (second, holder, -1)),
        ("InvalidParameterCombination", "same availability zone", (make(ec2, other), holder, 2)),
        ("InvalidNetworkInterfaceID.NotFound", "", ("eni-00000000000000000", holder, 2)),
        ("InvalidInstanceID.NotFound", "", (second, "i-00000000000000000", 2)),
    ):
        with refused(code, text):
            attach(ec2, *asked)
    for code, more in (
        ("InvalidParameterValue", {"NetworkCardIndex": 1}),
        ("UnsupportedOperation", {"EnaSrdSpecification": {"EnaSrdEnabled": True}}),
        ("UnsupportedOperation", {"EnaQueueCount": 2}),
    ):
        with refused(code):
            attach(ec2, second, holder, 2, **more)
    with refused("DryRunOperation"):
        attach(ec2, second, holder, 2, DryRun=True)
    assert see(ec2, second)["Status"] == "available"
    attach(ec2, second, holder, 7)
    with refused("AttachmentLimitExceeded", "Interface count 4 exceeds the limit for t3.small"):
        attach(ec2, third, holder, 3)


def test_an_instance_on_its_way_takes_no_interface(cloud: Cloud, ec2: Any, refused: Any) -> None:
    (holder,) = launch(cloud)
    id = make(ec2, subnet_of(cloud, holder))

    def is_refused() -> None:
        with refused("IncorrectInstanceState"):
            attach(ec2, id, holder)

    is_refused()
    cloud.settle()
    ec2.stop_instances(InstanceIds=[holder])
    is_refused()
    cloud.settle()
    ec2.terminate_instances(InstanceIds=[holder])
    is_refused()
    cloud.settle()
    is_refused()


def test_a_place_that_is_being_left_is_taken_until_then(cloud: Cloud, ec2: Any, holder: str, refused: Any) -> None:
    first, second = (make(ec2, subnet_of(cloud, holder)) for _ in range(2))
    attachment = attach(ec2, first, holder)
    cloud.settle()
    ec2.detach_network_interface(AttachmentId=attachment)
    with refused("InvalidParameterValue", "device index '1'"):
        attach(ec2, second, holder)
    with refused("InvalidNetworkInterface.InUse"):
        attach(ec2, first, holder, 2)
    with refused("InvalidParameterValue", "in use"):
        ec2.delete_network_interface(NetworkInterfaceId=first)
    cloud.run_steps(1)
    attach(ec2, second, holder)


def test_what_cannot_be_detached_is_refused(cloud: Cloud, ec2: Any, holder: str, refused: Any) -> None:
    primary = instance(cloud, holder)["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    text = "The network interface at device index 0 and networkCard index 0 cannot be detached."
    for force in (False, True):
        with refused("OperationNotPermitted", text):
            ec2.detach_network_interface(AttachmentId=primary, Force=force)
    with refused("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId="eni-attach-00000000000000000")
    id = make(ec2, subnet_of(cloud, holder))
    attachment = attach(ec2, id, holder)
    with refused("DryRunOperation"):
        ec2.detach_network_interface(AttachmentId=attachment, DryRun=True)
    assert see(ec2, id)["Attachment"]["Status"] == "attaching"
    for _ in range(2):
        ec2.detach_network_interface(AttachmentId=attachment)
    cloud.run_steps(1)
    with refused("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId=attachment)


def test_a_part_of_something_else_is_not_the_users_to_detach(cloud: Cloud, ec2: Any, holder: str, refused: Any) -> None:
    id, attachment = make(ec2, subnet_of(cloud, holder)), new_id("ela-attach")
    with cloud.database.write() as db:
        row = db.get_one(NetworkInterface, id)
        row.managed_by, row.kind, row.status = "nat-00000000000000001", "nat_gateway", "in-use"
        row.attachment_id, row.attachment_status, row.device_index = attachment, "attached", 1
    with refused("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments."):
        ec2.detach_network_interface(AttachmentId=attachment)
    with refused("InvalidNetworkInterface.InUse"):
        attach(ec2, id, holder)


def test_another_account_attaches_and_detaches_nothing(cloud: Cloud, ec2: Any, holder: str, refused: Any) -> None:
    id = make(ec2, subnet_of(cloud, holder))
    attachment = attach(ec2, id, holder)
    other = cloud.another_account()
    with refused("InvalidInstanceID.NotFound"):
        attach(other, id, holder)
    (theirs,) = (i["InstanceId"] for i in other.run_instances(
        ImageId="ami-00000000000000001", MinCount=1, MaxCount=1)["Instances"])  # fmt: skip
    cloud.settle()
    with refused("InvalidNetworkInterfaceID.NotFound"):
        attach(other, id, theirs)
    with refused("InvalidAttachmentID.NotFound"):
        other.detach_network_interface(AttachmentId=attachment)
    assert see(ec2, id)["Attachment"]["Status"] == "attached"
