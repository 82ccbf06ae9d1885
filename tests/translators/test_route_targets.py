"""What routes lead to, through a real client: each kind of target, its state, and what the network is told."""

from collections.abc import Callable
from typing import Any

import pytest

from engine import desired
from engine.state import Endpoint, EndpointService, NatGateway, Peering, PrefixList, PrefixListEntry, Route
from tests.cloud import IMAGE, OPERATOR, REGION, Cloud

ANYWHERE, ANYWHERE_6 = "0.0.0.0/0", "::/0"
BLOCK, INNER = "10.0.0.0/16", "10.0.1.0/24"
OWNER = {"account": OPERATOR, "region": REGION}
NAT, PCX, LIST, VPCE = (
    "nat-00000000000000001",
    "pcx-00000000000000001",
    "pl-00000000000000001",
    "vpce-00000000000000001",
)


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock=BLOCK)["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock=INNER)["Subnet"]["SubnetId"])


@pytest.fixture
def table(ec2: Any, vpc: str, subnet: str) -> str:
    """A table that the subnet uses."""
    id = str(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])
    ec2.associate_route_table(RouteTableId=id, SubnetId=subnet)
    return id


@pytest.fixture
def card(ec2: Any, subnet: str) -> Any:
    return ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]


@pytest.fixture
def rows(cloud: Cloud) -> Callable[..., None]:
    """Return a function that adds rows to the database."""

    def add(*rows: Any) -> None:
        with cloud.database.write() as db:
            for row in rows:
                db.add(row)
                db.flush()

    return add


def change(cloud: Cloud, kind: Any, id: str, **values: Any) -> None:
    with cloud.database.write() as db:
        for name, value in values.items():
            setattr(db.get_one(kind, id), name, value)


def route_to(ec2: Any, table: str, destination: str = ANYWHERE) -> dict[str, Any]:
    """Return the route to a destination, without it."""
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    names = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
    (route,) = (r for r in found["Routes"] if destination in [r.get(name) for name in names])
    return {name: value for name, value in route.items() if name not in names}


def told(cloud: Cloud, vpc: str) -> set[tuple[str, str]]:
    """Return what the network is told of the routes of the VPC's only subnet."""
    network = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    assert network is not None
    return {(route.destination, route.via) for route in network.subnets[0].routes}


def found_by(ec2: Any, name: str, value: str) -> list[str]:
    found = ec2.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])["RouteTables"]
    return [each["RouteTableId"] for each in found]


# -- gateways ------------------------------------------------------------------


def test_an_egress_only_gateway_is_for_ipv6(cloud: Cloud, ec2: Any, vpc: str, table: str, refused: Any) -> None:
    made = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    target = {"EgressOnlyInternetGatewayId": made["EgressOnlyInternetGatewayId"]}
    with refused("InvalidParameterValue", "IPv6 traffic only"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, **target)
    ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE_6, **target)
    assert route_to(ec2, table, ANYWHERE_6) == target | {"Origin": "CreateRoute", "State": "active"}
    assert told(cloud, vpc) == {(ANYWHERE_6, "outbound")}
    assert found_by(ec2, "route.destination-ipv6-cidr-block", "::/0") == [table]
    assert found_by(ec2, "route.egress-only-internet-gateway-id", "eigw-*") == [table]
    assert found_by(ec2, "route.gateway-id", "eigw-*") == []
    ec2.delete_egress_only_internet_gateway(**target)
    assert route_to(ec2, table, ANYWHERE_6)["State"] == "blackhole" and told(cloud, vpc) == {(ANYWHERE_6, "blackhole")}
    assert found_by(ec2, "route.state", "blackhole") == [table]
    with refused("InvalidGatewayID.NotFound"):
        ec2.replace_route(RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE_6, **target)
    ec2.delete_route(RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE_6)
    with refused("InvalidRoute.NotFound", "destination-ipv6-cidr-block"):
        ec2.delete_route(RouteTableId=table, DestinationIpv6CidrBlock=ANYWHERE_6)


def test_a_nat_gateway_leads_out_until_it_is_deleted(
    cloud: Cloud, ec2: Any, vpc: str, subnet: str, table: str, card: Any, rows: Callable[..., None], refused: Any
) -> None:
    place = {"vpc_id": vpc, "subnet_id": subnet, "interface_id": card["NetworkInterfaceId"]}
    rows(NatGateway(id=NAT, **OWNER, connectivity="public", **place))
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=NAT)
    assert route_to(ec2, table) == {"NatGatewayId": NAT, "Origin": "CreateRoute", "State": "active"}
    assert told(cloud, vpc) == {(ANYWHERE, card["PrivateIpAddress"])}
    assert found_by(ec2, "route.nat-gateway-id", NAT) == [table]
    with refused("UnsupportedOperation", "NAT64"):
        ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="64:ff9b::/96", NatGatewayId=NAT)
    for state in ("deleting", "deleted", "failed"):
        change(cloud, NatGateway, NAT, state=state)
        assert route_to(ec2, table)["State"] == "blackhole" and told(cloud, vpc) == {(ANYWHERE, "blackhole")}
        with refused("InvalidNatGatewayID.NotFound"):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="1.0.0.0/8", NatGatewayId=NAT)


def test_a_peering_connection_leads_somewhere_while_it_is_active(
    cloud: Cloud, ec2: Any, vpc: str, table: str, rows: Callable[..., None], refused: Any
) -> None:
    other = cloud.another_account()
    theirs = other.describe_vpcs()["Vpcs"][0]["VpcId"]
    their_table = other.create_route_table(VpcId=theirs)["RouteTable"]["RouteTableId"]
    rows(
        Peering(
            id=PCX, **OWNER, requester_vpc_id=vpc, requester_cidrs=[BLOCK], accepter_account="222222222222",
            accepter_vpc_id=theirs, accepter_cidrs=["172.31.0.0/16"], status="pending-acceptance", expires="",
        )
    )  # fmt: skip
    route = {"DestinationCidrBlock": "172.31.0.0/16", "VpcPeeringConnectionId": PCX}
    ec2.create_route(RouteTableId=table, **route)
    target = {"VpcPeeringConnectionId": PCX, "Origin": "CreateRoute"}
    assert route_to(ec2, table, "172.31.0.0/16") == target | {"State": "blackhole"}
    assert told(cloud, vpc) == {("172.31.0.0/16", "blackhole")}
    change(cloud, Peering, PCX, status="active", link=0)
    assert route_to(ec2, table, "172.31.0.0/16") == target | {"State": "active"}
    assert told(cloud, vpc) == {("172.31.0.0/16", PCX)}
    assert found_by(ec2, "route.vpc-peering-connection-id", PCX) == [table]
    other = cloud.another_account()
    back = {"RouteTableId": their_table, "DestinationCidrBlock": BLOCK, "VpcPeeringConnectionId": PCX}
    other.create_route(**back)
    assert route_to(other, their_table, BLOCK)["State"] == "active"
    ec2 = cloud.client()
    foreign = ec2.create_route_table(VpcId=ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])["RouteTable"]
    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.create_route(RouteTableId=foreign["RouteTableId"], **route)
    change(cloud, Peering, PCX, status="deleted")
    assert route_to(ec2, table, "172.31.0.0/16")["State"] == "blackhole"
    with refused("InvalidParameterValue", "deleted"):
        ec2.replace_route(RouteTableId=table, **route)
    third = cloud.another_account("333333333333")
    own = third.create_route_table(VpcId=third.describe_vpcs()["Vpcs"][0]["VpcId"])["RouteTable"]["RouteTableId"]
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        third.create_route(RouteTableId=own, **route)


def test_routes_to_a_gateway_endpoint_are_the_endpoints_own(
    cloud: Cloud, ec2: Any, vpc: str, table: str, rows: Callable[..., None], refused: Any
) -> None:
    service = EndpointService(id="vpce-svc-1", **OWNER, name="s3", kind="Gateway", targets=[], prefix_list_id=LIST)
    rows(
        PrefixList(id=LIST, **OWNER, name="s3", family="IPv4", max_entries=5),
        PrefixListEntry(prefix_list_id=LIST, cidr="192.0.2.0/24", added=1),
        service,
        Endpoint(id=VPCE, **OWNER, vpc_id=vpc, service_id=service.id, kind="Gateway", state="available"),
        Route(route_table_id=table, destination=LIST, target=VPCE, origin="CreateRoute"),
    )
    assert route_to(ec2, table, LIST) == {"GatewayId": VPCE, "Origin": "CreateRoute", "State": "active"}
    assert told(cloud, vpc) == {("192.0.2.0/24", "outlet")}
    for act, verb in ((ec2.delete_route, "remove"), (ec2.replace_route, "replace")):
        with refused("InvalidParameterValue", f"cannot {verb} VPC endpoint route"):
            act(RouteTableId=table, DestinationPrefixListId=LIST)
    assert found_by(ec2, "route.gateway-id", VPCE) == found_by(ec2, "route.destination-prefix-list-id", LIST) == [table]


# -- interfaces and instances --------------------------------------------------


@pytest.fixture
def instance(cloud: Cloud, ec2: Any, subnet: str) -> Any:
    made = ec2.run_instances(ImageId=IMAGE, InstanceType="t2.nano", MinCount=1, MaxCount=1, SubnetId=subnet)
    cloud.settle()
    return made["Instances"][0]


def test_a_route_to_an_instance_is_one_to_its_card(cloud: Cloud, ec2: Any, vpc: str, table: str, instance: Any) -> None:
    id, card = instance["InstanceId"], instance["NetworkInterfaces"][0]
    target = {"NetworkInterfaceId": card["NetworkInterfaceId"], "InstanceId": id, "InstanceOwnerId": OPERATOR}
    for name, value in (("InstanceId", id), ("NetworkInterfaceId", card["NetworkInterfaceId"])):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, **{name: value})
        assert route_to(ec2, table) == target | {"Origin": "CreateRoute", "State": "active"}
    assert told(cloud, vpc) == {(ANYWHERE, card["PrivateIpAddress"])}
    assert found_by(ec2, "route.instance-id", id) == [table]
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    assert route_to(ec2, table) == target | {"Origin": "CreateRoute", "State": "blackhole"}
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    assert route_to(ec2, table)["State"] == "active"
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    gone = {"NetworkInterfaceId": card["NetworkInterfaceId"], "Origin": "CreateRoute", "State": "blackhole"}
    assert route_to(ec2, table) == gone and told(cloud, vpc) == {(ANYWHERE, "blackhole")}


def test_the_network_hears_of_the_end_of_an_interface_that_a_route_leads_to(
    cloud: Cloud, ec2: Any, vpc: str, table: str, instance: Any
) -> None:
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, InstanceId=instance["InstanceId"])
    cloud.settle()

    def ways() -> set[str]:
        (network,) = (each for each in cloud.backend.network._networks.values() if each.id == vpc)
        return {route.via for subnet in network.subnets for route in subnet.routes}

    assert ways() == {instance["PrivateIpAddress"]}
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    cloud.settle()
    assert ways() == {"blackhole"}


def test_an_interface_alone_is_a_target_that_leads_nowhere_yet(
    cloud: Cloud, ec2: Any, table: str, card: Any, refused: Any
) -> None:
    eni = card["NetworkInterfaceId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NetworkInterfaceId=eni)
    wanted = {"NetworkInterfaceId": eni, "Origin": "CreateRoute", "State": "blackhole"}
    assert route_to(ec2, table) == wanted
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert route_to(ec2, table) == wanted
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="1.0.0.0/8", NetworkInterfaceId=eni)


def test_an_instance_with_several_cards_is_no_target(
    cloud: Cloud, ec2: Any, table: str, subnet: str, refused: Any
) -> None:
    cards = [{"DeviceIndex": n, "SubnetId": subnet} for n in (0, 1)]
    made = ec2.run_instances(
        ImageId=IMAGE, InstanceType="t2.micro", MinCount=1, MaxCount=1, NetworkInterfaces=cards
    )  # fmt: skip
    cloud.settle()
    id = made["Instances"][0]["InstanceId"]
    with refused("InvalidInstanceID", "multiple interfaces"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, InstanceId=id)
    with refused("InvalidInstanceID.NotFound"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, InstanceId="i-00000000000000000")


def test_a_target_is_the_vpcs_own(cloud: Cloud, ec2: Any, table: str, card: Any, refused: Any) -> None:
    subnet = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][0]
    foreign = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]["NetworkInterfaceId"]
    with refused("InvalidParameterValue", "belong to different networks"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NetworkInterfaceId=foreign)
    other = cloud.another_account()
    theirs = other.create_route_table(VpcId=other.describe_vpcs()["Vpcs"][0]["VpcId"])["RouteTable"]["RouteTableId"]
    with refused("InvalidNetworkInterfaceID.NotFound"):
        other.create_route(
            RouteTableId=theirs, DestinationCidrBlock=ANYWHERE, NetworkInterfaceId=card["NetworkInterfaceId"]
        )


# -- inside of a VPC -----------------------------------------------------------


def test_inside_of_a_vpc_whole_subnets_are_led_through_an_interface(
    cloud: Cloud, ec2: Any, vpc: str, table: str, card: Any, refused: Any
) -> None:
    eni = card["NetworkInterfaceId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=INNER, NetworkInterfaceId=eni)
    assert told(cloud, vpc) == {(INNER, card["PrivateIpAddress"])}
    for cidr in ("10.0.1.0/25", "10.0.7.0/24", "10.0.0.0/20"):
        with refused("InvalidParameterValue", "entire CIDR block of a subnet"):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=cidr, NetworkInterfaceId=eni)
    with refused("RouteAlreadyExists"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=BLOCK, NetworkInterfaceId=eni)


def test_a_vpcs_own_route_can_be_led_through_an_interface_and_back(
    cloud: Cloud, ec2: Any, vpc: str, table: str, card: Any, refused: Any
) -> None:
    own = {"RouteTableId": table, "DestinationCidrBlock": BLOCK}
    ec2.replace_route(**own, NetworkInterfaceId=card["NetworkInterfaceId"])
    through = {"NetworkInterfaceId": card["NetworkInterfaceId"], "Origin": "CreateRouteTable", "State": "blackhole"}
    assert route_to(ec2, table, BLOCK) == through and told(cloud, vpc) == {(BLOCK, card["PrivateIpAddress"])}
    with refused("InvalidParameterValue", "cannot remove local route"):
        ec2.delete_route(**own)
    ec2.replace_route(**own, LocalTarget=True)
    assert route_to(ec2, table, BLOCK) == {"GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
    assert told(cloud, vpc) == set()


# -- prefix lists --------------------------------------------------------------


def test_a_route_to_a_prefix_list_is_one_to_each_of_its_ranges(
    cloud: Cloud, ec2: Any, vpc: str, table: str, card: Any, rows: Callable[..., None], refused: Any
) -> None:
    rows(PrefixList(id=LIST, **OWNER, name="office", family="IPv4", max_entries=5))
    rows(*(PrefixListEntry(prefix_list_id=LIST, cidr=cidr, added=1) for cidr in ("192.0.2.0/24", "198.51.100.0/24")))
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationPrefixListId=LIST, GatewayId=gateway)
    assert route_to(ec2, table, LIST) == {"GatewayId": gateway, "Origin": "CreateRoute", "State": "active"}
    assert told(cloud, vpc) == {("192.0.2.0/24", "uplink"), ("198.51.100.0/24", "uplink")}
    eni = {"NetworkInterfaceId": card["NetworkInterfaceId"]}
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="192.0.2.0/24", **eni)
    assert ("192.0.2.0/24", card["PrivateIpAddress"]) in told(cloud, vpc), "a range by its name comes first"
    assert len(told(cloud, vpc)) == 2
    assert found_by(ec2, "route.destination-prefix-list-id", LIST) == [table]
    assert found_by(ec2, "route.destination-cidr-block", LIST) == []
    rows(PrefixListEntry(prefix_list_id=LIST, cidr=INNER, added=1))
    with refused("InvalidParameterValue", "more specific"):
        ec2.replace_route(RouteTableId=table, DestinationPrefixListId=LIST, GatewayId=gateway)
    change(cloud, PrefixList, LIST, state="delete-complete")
    with refused("InvalidPrefixListID.NotFound"):
        ec2.create_route(RouteTableId=table, DestinationPrefixListId=LIST, GatewayId=gateway)
    ec2.delete_route(RouteTableId=table, DestinationPrefixListId=LIST)
    with refused("InvalidRoute.NotFound", "destination-prefix-list-id"):
        ec2.delete_route(RouteTableId=table, DestinationPrefixListId=LIST)
