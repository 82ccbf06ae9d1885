"""What real guests of a VPC can do and cannot: forge addresses, go around ACLs, meet a twin VPC, forward for others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, answers, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

RANGE = "10.70.0.0/16"
LEFT, RIGHT, MIDDLE = "10.70.1.0/24", "10.70.2.0/24", "10.70.3.0/24"
A, B, ROUTER = "10.70.1.10", "10.70.2.10", "10.70.3.10"
PORT = 8080
QUICK = 40.0
"""Seconds in which guests that run must notice a change."""


@dataclass(frozen=True)
class Site:
    """A VPC whose subnets have a route to the internet gateway; guests say a word of their own at PORT."""

    ec2: Any
    vpc: str
    group: str
    subnets: dict[str, str]
    tables: dict[str, str]

    def acl_of(self, cidr: str) -> tuple[str, str]:
        """Return a subnet's network ACL, and what associates the two."""
        asked = [{"Name": "association.subnet-id", "Values": [self.subnets[cidr]]}]
        (acl,) = self.ec2.describe_network_acls(Filters=asked)["NetworkAcls"]
        (held,) = [one for one in acl["Associations"] if one["SubnetId"] == self.subnets[cidr]]
        return acl["NetworkAclId"], held["NetworkAclAssociationId"]


def build(ec2: Any, cidrs: list[str]) -> Site:
    vpc = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnets, tables = {}, {}
    for cidr in cidrs:
        subnets[cidr] = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
        tables[cidr] = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=tables[cidr], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        ec2.associate_route_table(RouteTableId=tables[cidr], SubnetId=subnets[cidr])
    group = ec2.create_security_group(GroupName="guests", Description="guests", VpcId=vpc)["GroupId"]
    for port in (22, PORT):
        let_in(ec2, port, group)
    ping = {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "CidrIp": "0.0.0.0/0"}
    ec2.authorize_security_group_ingress(GroupId=group, **ping)
    return Site(ec2, vpc, group, subnets, tables)


def settle(site: Site, key: Any, cidr: str, address: str) -> Guest:
    card = {"DeviceIndex": 0, "SubnetId": site.subnets[cidr], "Groups": [site.group], "PrivateIpAddress": address}
    return launch(site.ec2, key, NetworkInterfaces=[{**card, "AssociatePublicIpAddress": True}])


@pytest.fixture(scope="module")
def site(deployment: Deployment) -> Site:
    return build(deployment.create_account("guests"), [LEFT, RIGHT, MIDDLE])


@pytest.fixture(scope="module")
def guests(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Guest]]:
    key = make_key(site.ec2, "guests", tmp_path_factory.mktemp("key"))
    made = {address: settle(site, key, cidr, address) for address, cidr in ((A, LEFT), (B, RIGHT), (ROUTER, MIDDLE))}
    for address, guest in made.items():
        guest.wait_until("running")
        guest.ssh(serving(f"word-of-{address}"))
    yield made
    terminate(*made.values())


def serving(word: str) -> str:
    return f"mkdir -p /srv && echo {word} > /srv/index.html && busybox httpd -p {PORT} -h /srv"


def asks(guest: Guest, address: str, *options: str) -> str:
    """Return the word of who is at an address, as another guest hears it."""
    return guest.told(f"curl -s -m 3 {' '.join(options)} http://{address}:{PORT}/ | grep ^word-of-")


def soon(what: str, holds: Callable[[], bool]) -> None:
    eventually(holds, what, seconds=QUICK)


def test_a_forged_address_gets_nowhere(guests: dict[str, Guest]) -> None:
    guest = guests[A]
    assert asks(guest, B) == f"word-of-{B}"
    guest.ssh("ip addr add 10.70.1.77/24 dev eth0")
    try:
        assert asks(guest, B, "--interface", "10.70.1.77") == ""
    finally:
        guest.ssh("ip addr del 10.70.1.77/24 dev eth0")
    assert asks(guest, B) == f"word-of-{B}"


def test_a_forged_mac_address_gets_nowhere(guests: dict[str, Guest]) -> None:
    guest = guests[A]
    mac = guest.ssh("cat /sys/class/net/eth0/address")
    gateway = "10.70.1.1"
    # Its connection is cut meanwhile, so the guest itself writes down what it found.
    steps = (
        f"ping -c 1 -W 3 {gateway} > /dev/null && echo before",
        "ip link set eth0 down",
        "ip link set eth0 address 06:13:37:00:00:01",
        f"ip link set eth0 up; ip route replace default via {gateway}",
        f"ping -c 2 -W 3 {gateway} > /dev/null || echo nothing",
        "ip link set eth0 down",
        f"ip link set eth0 address {mac}",
        f"ip link set eth0 up; ip route replace default via {gateway}",
        f"ping -c 5 -W 3 {gateway} > /dev/null && echo after",
    )
    guest.told(f"sh -c '{'; '.join(steps)}' > /tmp/found 2>/dev/null < /dev/null & sleep 0.2")
    eventually(
        lambda: guest.told("cat /tmp/found").split() == ["before", "nothing", "after"], "silence of a forged MAC"
    )


def test_an_acl_has_no_memory_and_no_way_around(site: Site, guests: dict[str, Guest]) -> None:
    """What it lets in is not answered until it lets the answers out; what it denies, a netmask cannot undo."""
    ec2, target = site.ec2, guests[B].public_ip
    before, association = site.acl_of(RIGHT)
    acl = ec2.create_network_acl(VpcId=site.vpc)["NetworkAcl"]["NetworkAclId"]

    def entry(number: int, egress: bool, action: str, cidr: str, low: int, high: int) -> None:
        ec2.create_network_acl_entry(
            NetworkAclId=acl, RuleNumber=number, Egress=egress, RuleAction=action, Protocol="6", CidrBlock=cidr,
            PortRange={"From": low, "To": high},
        )  # fmt: skip

    entry(100, False, "allow", "0.0.0.0/0", 22, 22)
    entry(110, False, "allow", "0.0.0.0/0", PORT, PORT)
    assert answers(target, PORT)
    held = ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)["NewAssociationId"]
    try:
        soon("silence: answers do not come out", lambda: not answers(target, PORT))
        entry(100, True, "allow", "0.0.0.0/0", 1024, 65535)
        soon("answer", lambda: answers(target, PORT))
        soon("answer inside", lambda: asks(guests[A], B) == f"word-of-{B}")
        entry(90, False, "deny", LEFT, PORT, PORT)
        soon("silence for one subnet", lambda: asks(guests[A], B) == "")
        assert answers(target, PORT) and asks(guests[ROUTER], B) == f"word-of-{B}"
        guests[A].ssh(f"ip addr add {A}/16 dev eth0 && ip addr del {A}/24 dev eth0; ip route replace {RANGE} dev eth0")
        assert B in guests[A].told(f"ip route get {B}") and "via" not in guests[A].told(f"ip route get {B}")
        assert asks(guests[A], B) == "", "by a wider netmask"
    finally:
        guests[A].told(f"ip addr add {A}/24 dev eth0; ip addr del {A}/16 dev eth0; ip route del {RANGE} dev eth0; true")
        ec2.replace_network_acl_association(AssociationId=held, NetworkAclId=before)
    soon("answer as before", lambda: asks(guests[A], B) == f"word-of-{B}")
    ec2.delete_network_acl(NetworkAclId=acl)


def test_a_twin_vpc_is_another_world(
    deployment: Deployment, guests: dict[str, Guest], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ec2 = deployment.create_account("twin")
    twin = build(ec2, [LEFT, RIGHT])
    other = settle(twin, make_key(ec2, "twin", tmp_path_factory.mktemp("twin")), RIGHT, B)
    try:
        other.wait_until("running")
        other.ssh(serving("word-of-the-twin"))
        assert asks(other, B) == "word-of-the-twin"
        assert asks(guests[A], B) == f"word-of-{B}"
        assert asks(other, A) == "", "nobody has this address there"
    finally:
        terminate(other)


def test_a_guest_forwards_for_others_once_it_may(site: Site, guests: dict[str, Guest]) -> None:
    """Routes inside of the VPC lead through a guest: a firewall sees everything, or nothing passes."""
    ec2, router = site.ec2, guests[ROUTER]
    (card,) = router.describe()["NetworkInterfaces"]
    eni = card["NetworkInterfaceId"]
    router.ssh("echo 1 > /proc/sys/net/ipv4/ip_forward")
    for here, there in ((LEFT, RIGHT), (RIGHT, LEFT)):
        ec2.create_route(RouteTableId=site.tables[here], DestinationCidrBlock=there, NetworkInterfaceId=eni)
    try:
        soon("silence: it must not forward", lambda: asks(guests[A], B) == "")
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
        soon("answer through the guest", lambda: asks(guests[A], B) == f"word-of-{B}")
        router.ssh("echo 0 > /proc/sys/net/ipv4/ip_forward")
        soon("silence: it does not forward", lambda: asks(guests[A], B) == "")
    finally:
        for here, there in ((LEFT, RIGHT), (RIGHT, LEFT)):
            ec2.delete_route(RouteTableId=site.tables[here], DestinationCidrBlock=there)
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
    soon("answer by the VPC's own router", lambda: asks(guests[A], B) == f"word-of-{B}")


def test_a_guest_is_told_its_vpcs_dhcp_options(site: Site, guests: dict[str, Guest]) -> None:
    ec2 = site.ec2
    told = {"domain-name": ["groundfog.example"], "domain-name-servers": ["192.0.2.53"], "ntp-servers": ["192.0.2.123"]}
    wanted = [{"Key": key, "Values": values} for key, values in told.items()]
    (vpc,) = ec2.describe_vpcs(VpcIds=[site.vpc])["Vpcs"]
    options = ec2.create_dhcp_options(DhcpConfigurations=wanted)["DhcpOptions"]["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=site.vpc)
    renew = "kill -USR1 $(cat /run/udhcpc.eth0.pid); sleep 1; cat /etc/resolv.conf"

    def resolving() -> str:
        return guests[A].told(renew)

    soon("options", lambda: "192.0.2.53" in resolving() and "groundfog.example" in resolving())
    ec2.associate_dhcp_options(DhcpOptionsId=vpc["DhcpOptionsId"], VpcId=site.vpc)
    soon("the VPC's own resolver", lambda: "10.70.0.2" in resolving() and "192.0.2.53" not in resolving())
    ec2.delete_dhcp_options(DhcpOptionsId=options)
