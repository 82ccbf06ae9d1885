"""Two accounts peer their VPCs: what passes between their guests, and what no longer does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

PORT, OTHER_PORT = 8080, 8081
WORD = "wordofthepeer"


@dataclass(frozen=True)
class Site:
    """An account's VPC with a guest in a group of its own, which everybody may reach by SSH."""

    ec2: Any
    account: str
    cidr: str
    vpc: str
    subnet: str
    gateway: str
    table: str
    group: str
    guest: Guest

    @property
    def private_ip(self) -> str:
        return str(self.guest.describe()["PrivateIpAddress"])

    def hears(self, other: "Site", port: int) -> bool:
        """Say whether the other's guest is heard at a port of its private address.

        By its own words: what finds no way to it may go out to a network where somebody else answers.
        """
        ask = (
            f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {other.private_ip} {port} | grep -c -e SSH- -e {WORD}; true"
        )
        return self.guest.ssh(ask) != "0"

    def allow(self, port: int, **source: Any) -> dict[str, Any]:
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[permission])
        return permission


def build(ec2: Any, cidr: str, directory: Path) -> Site:
    vpc = ec2.create_vpc(CidrBlock=f"{cidr}/16")["Vpc"]
    id = vpc["VpcId"]
    subnet = ec2.create_subnet(VpcId=id, CidrBlock=f"{cidr}/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=id)
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [id]}])["RouteTables"]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    group = ec2.create_security_group(GroupName="guests", Description="guests", VpcId=id)["GroupId"]
    let_in(ec2, 22, group)
    card = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": True}
    guest = launch(ec2, make_key(ec2, "peer", directory), NetworkInterfaces=[card])
    return Site(
        ec2, vpc["OwnerId"], f"{cidr}/16", id, subnet, gateway, table["RouteTableId"], group, guest
    )  # fmt: skip


@pytest.fixture(scope="module")
def sites(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    found: list[Site] = []
    try:
        for name, cidr in (("peer-a", "10.61.0.0"), ("peer-b", "10.62.0.0")):
            found.append(build(deployment.create_account(name), cidr, tmp_path_factory.mktemp(name)))
        for site in found:
            site.guest.wait_until("running")
            serve = " && ".join(
                f"(busybox httpd -p {port} -h /tmp || httpd -p {port} -h /tmp)" for port in (PORT, OTHER_PORT)
            )
            site.guest.ssh(f"echo {WORD} > /tmp/index.html; {serve}; true")
        yield found[0], found[1]
    finally:
        for site in found:
            terminate(site.guest)


@pytest.fixture(scope="module")
def peering(sites: tuple[Site, Site]) -> str:
    mine, theirs = sites
    asked = {"VpcId": mine.vpc, "PeerVpcId": theirs.vpc, "PeerOwnerId": theirs.account}
    id = str(mine.ec2.create_vpc_peering_connection(**asked)["VpcPeeringConnection"]["VpcPeeringConnectionId"])
    theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    return id


def soon(what: str, holds: Callable[[], bool]) -> None:
    eventually(holds, what, seconds=30)


def test_without_routes_on_both_sides_nothing_passes(sites: tuple[Site, Site], peering: str) -> None:
    mine, theirs = sites
    assert not mine.hears(theirs, 22) and not theirs.hears(mine, 22)
    route = {"DestinationCidrBlock": theirs.cidr, "VpcPeeringConnectionId": peering}
    mine.ec2.create_route(RouteTableId=mine.table, **route)
    assert not mine.hears(theirs, 22)


def test_with_routes_passes_what_groups_allow(sites: tuple[Site, Site], peering: str) -> None:
    mine, theirs = sites
    route = {"DestinationCidrBlock": mine.cidr, "VpcPeeringConnectionId": peering}
    theirs.ec2.create_route(RouteTableId=theirs.table, **route)
    soon("SSH between the peers", lambda: mine.hears(theirs, 22) and theirs.hears(mine, 22))
    assert not mine.hears(theirs, PORT) and not theirs.hears(mine, PORT)


def test_a_rule_that_names_the_peers_group_lets_that_one_in(sites: tuple[Site, Site], peering: str) -> None:
    mine, theirs = sites
    mine.allow(PORT, UserIdGroupPairs=[{"GroupId": theirs.group, "UserId": theirs.account}])
    soon("answer to the peer's group", lambda: theirs.hears(mine, PORT))
    assert not theirs.hears(mine, OTHER_PORT)
    assert not mine.hears(theirs, PORT)
    others = theirs.ec2.create_security_group(GroupName="others", Description="others", VpcId=theirs.vpc)["GroupId"]
    let_in(theirs.ec2, 22, others)
    (card,) = theirs.guest.describe()["NetworkInterfaces"]
    change = {"NetworkInterfaceId": card["NetworkInterfaceId"]}
    theirs.ec2.modify_network_interface_attribute(**change, Groups=[others])
    soon("silence for another group", lambda: not theirs.hears(mine, PORT))
    theirs.ec2.modify_network_interface_attribute(**change, Groups=[theirs.group])
    soon("answer to the group again", lambda: theirs.hears(mine, PORT))
    theirs.ec2.delete_security_group(GroupId=others)


def test_a_prefix_list_opens_and_closes_with_its_entries(sites: tuple[Site, Site], peering: str) -> None:
    mine, theirs = sites
    entry = {"Cidr": f"{theirs.private_ip}/32"}
    asked = {"PrefixListName": "peers", "AddressFamily": "IPv4", "MaxEntries": 5, "Entries": [{"Cidr": mine.cidr}]}
    id = mine.ec2.create_managed_prefix_list(**asked)["PrefixList"]["PrefixListId"]
    permission = mine.allow(OTHER_PORT, PrefixListIds=[{"PrefixListId": id}])
    assert not theirs.hears(mine, OTHER_PORT)
    mine.ec2.modify_managed_prefix_list(PrefixListId=id, CurrentVersion=1, AddEntries=[entry])
    soon("answer to an entry of the list", lambda: theirs.hears(mine, OTHER_PORT))
    mine.ec2.modify_managed_prefix_list(PrefixListId=id, CurrentVersion=2, RemoveEntries=[entry])
    soon("silence without the entry", lambda: not theirs.hears(mine, OTHER_PORT))
    mine.ec2.revoke_security_group_ingress(GroupId=mine.group, IpPermissions=[permission])
    mine.ec2.delete_managed_prefix_list(PrefixListId=id)


def test_after_the_end_nothing_passes(sites: tuple[Site, Site], peering: str) -> None:
    mine, theirs = sites
    theirs.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    soon("silence between the VPCs", lambda: not mine.hears(theirs, 22) and not theirs.hears(mine, 22))
    assert not theirs.hears(mine, PORT)
    (stale,) = mine.ec2.describe_stale_security_groups(VpcId=mine.vpc)["StaleSecurityGroupSet"]
    assert stale["StaleIpPermissions"][0]["UserIdGroupPairs"][0]["VpcPeeringConnectionId"] == peering


def test_nothing_is_left_of_two_sites(deployment: Deployment, sites: tuple[Site, Site], peering: str) -> None:
    ids = [peering, *(id for site in sites for id in (site.vpc, site.subnet, site.group))]
    assert deployment.in_network(ids) != []
    for site in sites:
        terminate(site.guest)
        site.ec2.detach_internet_gateway(InternetGatewayId=site.gateway, VpcId=site.vpc)
        site.ec2.delete_internet_gateway(InternetGatewayId=site.gateway)
        site.ec2.delete_subnet(SubnetId=site.subnet)
        site.ec2.delete_security_group(GroupId=site.group)
        site.ec2.delete_vpc(VpcId=site.vpc)
    eventually(lambda: deployment.in_network(ids) == [], "end of everything in the network", seconds=60)
