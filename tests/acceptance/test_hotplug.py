"""A network interface that comes, goes and moves while guests run."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, answers, greets, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

LISTEN = "setsid nc.openbsd -l -k 8080 > /dev/null 2>&1 < /dev/null &"


@dataclass(frozen=True)
class Card:
    """A second interface with an Elastic IP address and a security group that lets in nothing but SSH."""

    ec2: Any
    id: str
    mac: str
    private_ip: str
    public_ip: str
    allocation: str
    group: str

    def describe(self) -> dict[str, Any]:
        (found,) = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.id])["NetworkInterfaces"]
        return dict(found)

    def attach(self, guest: Guest) -> str:
        answer = self.ec2.attach_network_interface(NetworkInterfaceId=self.id, InstanceId=guest.id, DeviceIndex=1)
        return str(answer["AttachmentId"])

    def detach(self) -> str:
        attachment = str(self.describe()["Attachment"]["AttachmentId"])
        self.ec2.detach_network_interface(AttachmentId=attachment)
        return attachment

    def wait_until(self, status: str) -> None:
        eventually(lambda: self.describe()["Attachment"]["Status"] == status, f"interface that is {status}", every=0.05)


@pytest.fixture(scope="module")
def guests(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Guest, Guest]]:
    """Two guests in one subnet, which run and can be logged in to."""
    ec2 = deployment.create_account("hotplug")
    key = make_key(ec2, "hotplug", tmp_path_factory.mktemp("hotplug"))
    let_in(ec2, 22)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    first, second = (launch(ec2, key, SubnetId=subnet) for _ in range(2))
    try:
        for guest in (first, second):
            guest.wait_until("running")
        yield first, second
    finally:
        terminate(first, second)


@pytest.fixture(scope="module")
def card(guests: tuple[Guest, Guest]) -> Card:
    ec2, instance = guests[0].ec2, guests[0].describe()
    group = ec2.create_security_group(VpcId=instance["VpcId"], GroupName="second", Description="SSH only")["GroupId"]
    let_in(ec2, 22, group)
    made = ec2.create_network_interface(SubnetId=instance["SubnetId"], Groups=[group])["NetworkInterface"]
    address = ec2.allocate_address()
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=made["NetworkInterfaceId"])
    return Card(
        ec2, made["NetworkInterfaceId"], made["MacAddress"], made["PrivateIpAddress"], address["PublicIp"],
        address["AllocationId"], group,
    )  # fmt: skip


def cards_of(guest: Guest) -> str:
    return guest.ssh("cat /sys/class/net/eth*/address")


def test_a_card_is_plugged_into_a_running_guest_and_answers(guests: tuple[Guest, Guest], card: Card) -> None:
    guest = guests[0]
    assert cards_of(guest).split() != [] and card.mac not in cards_of(guest)
    begun = time.monotonic()
    card.attach(guest)
    card.wait_until("attached")
    attached = time.monotonic() - begun
    eventually(lambda: greets(card.public_ip), "SSH banner through the new card", every=0.02)
    answered = time.monotonic() - begun
    print(f"\na new card: attached after {attached:.2f} s, SSH answers through it after {answered:.2f} s")
    assert attached < 10
    shown = guest.ssh("ip -4 address show dev eth1; cat /sys/class/net/eth1/address", address=card.public_ip)
    assert card.private_ip in shown and card.mac in shown
    assert guest.ssh("true") == "", "the first card works on"


def test_what_the_group_of_a_card_does_not_allow_is_dropped(guests: tuple[Guest, Guest], card: Card) -> None:
    guest = guests[0]
    let_in(card.ec2, 8080)
    guest.ssh(LISTEN)
    eventually(lambda: answers(guest.public_ip, 8080), "answer by the first card, whose group allows it")
    assert not answers(card.public_ip, 8080)
    let_in(card.ec2, 8080, card.group)
    eventually(lambda: answers(card.public_ip, 8080), "answer by the second card, whose group allows it now")


def test_a_stop_and_a_start_keep_both_cards(guests: tuple[Guest, Guest], card: Card) -> None:
    guest = guests[0]
    before = cards_of(guest)
    card.ec2.stop_instances(InstanceIds=[guest.id])
    guest.wait_until("stopped")
    assert card.describe()["Attachment"]["Status"] == "attached"
    card.ec2.start_instances(InstanceIds=[guest.id])
    guest.wait_until("running")
    assert cards_of(guest) == before and card.mac in before
    assert guest.ssh("cat /sys/class/net/eth1/address", address=card.public_ip) == card.mac


def test_a_detached_card_is_gone_in_the_guest(guests: tuple[Guest, Guest], card: Card) -> None:
    guest = guests[0]
    attachment = card.detach()
    card.wait_until("detached")
    asked = [{"Name": "attachment.attachment-id", "Values": [attachment]}]
    (found,) = card.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
    assert found["Status"] == "available"
    assert card.mac not in cards_of(guest) and "1001" not in guest.ssh("ip rule")
    assert not answers(card.public_ip, 22)


def test_the_card_of_one_guest_moves_to_another(guests: tuple[Guest, Guest], card: Card) -> None:
    first, second = guests
    card.attach(second)
    card.wait_until("attached")
    shown = second.ssh("ip -4 address show dev eth1; cat /sys/class/net/eth1/address", address=card.public_ip)
    assert card.private_ip in shown and card.mac in shown
    assert second.ssh("hostname", address=card.public_ip) == second.ssh("hostname") != first.ssh("hostname")


def test_a_card_outlives_its_guest(deployment: Deployment, guests: tuple[Guest, Guest], card: Card) -> None:
    running = [guest.describe() for guest in guests]
    card.detach()
    card.wait_until("detached")
    card.attach(guests[0])
    card.wait_until("attached")
    terminate(*guests)
    found = card.describe()
    assert found["Status"] == "available" and "Attachment" not in found
    assert found["Association"]["PublicIp"] == card.public_ip
    assert deployment.left_of(running) == []
    card.ec2.delete_network_interface(NetworkInterfaceId=card.id)
    card.ec2.release_address(AllocationId=card.allocation)
    card.ec2.delete_security_group(GroupId=card.group)
