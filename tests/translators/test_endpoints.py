"""VPC endpoints through a real client."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from engine.endpoints import Unusable, add_gateway_service, add_interface_service, remove_service
from engine.state import EndpointService, NetworkInterface, PrivateAddress, Vpc
from tests.cloud import OPERATOR, REGION, Cloud

S3, REGISTRY, NAME = f"com.amazonaws.{REGION}.s3", "com.example.registry", "registry.example"


@pytest.fixture
def services(cloud: Cloud) -> dict[str, str]:
    with cloud.database.write() as db:
        s3 = add_gateway_service(db, REGION, S3, ["192.0.2.20/32", "192.0.2.32/28"])
        registry = add_interface_service(db, REGION, REGISTRY, ["192.0.2.30:5000"], [443, 80], NAME)
        return {S3: s3.prefix_list_id, REGISTRY: registry.id}


@pytest.fixture
def vpc(ec2: Any) -> str:
    id = str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    ec2.modify_vpc_attribute(VpcId=id, EnableDnsHostnames={"Value": True})
    return id


@pytest.fixture
def table(ec2: Any, vpc: str) -> str:
    return str(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])


def subnet(ec2: Any, vpc: str, number: int, zone: str = "a") -> str:
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
    return str(made["Subnet"]["SubnetId"])


def described(ec2: Any, id: str) -> dict[str, Any]:
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"]
    return dict(found)


def wanted(cloud: Cloud, vpc: str) -> Any:
    from engine import desired

    return cloud.look(lambda db: desired.network(db, cloud.settings, vpc))


# -- services ----------------------------------------------------------------------


def test_services_are_listed_as_the_operator_registered_them(ec2: Any, services: dict[str, str]) -> None:
    found = ec2.describe_vpc_endpoint_services()
    assert found["ServiceNames"] == [S3, REGISTRY]
    gateway, interface = found["ServiceDetails"]
    assert gateway["ServiceType"] == [{"ServiceType": "Gateway"}] and gateway["Owner"] == "amazon"
    assert interface["PrivateDnsName"] == NAME
    assert interface["BaseEndpointDnsNames"] == [f"{services[REGISTRY]}.{REGION}.vpce.amazonaws.com"]
    assert len(interface["AvailabilityZones"]) == 3


def test_services_are_found_by_name_and_filter_and_page(ec2: Any, services: dict[str, str], refused: Any) -> None:
    assert ec2.describe_vpc_endpoint_services(ServiceNames=[S3])["ServiceNames"] == [S3]
    kind = [{"Name": "service-type", "Values": ["Inter*"]}]
    assert ec2.describe_vpc_endpoint_services(Filters=kind)["ServiceNames"] == [REGISTRY]
    tagged = [{"Name": "tag:a", "Values": ["b"]}]
    assert ec2.describe_vpc_endpoint_services(Filters=tagged)["ServiceNames"] == []
    page = ec2.describe_vpc_endpoint_services(MaxResults=1)
    assert page["ServiceNames"] == [S3]
    rest = ec2.describe_vpc_endpoint_services(MaxResults=1, NextToken=page["NextToken"])
    assert rest["ServiceNames"] == [REGISTRY] and "NextToken" not in rest
    with refused("InvalidServiceName"):
        ec2.describe_vpc_endpoint_services(ServiceNames=["com.example.none"])


@pytest.mark.parametrize("targets", [[], ["nowhere"], ["10.0.0.1/8"], ["::/0"], ["10.0.0.0/8", "10.0.0.0/8"]])
def test_a_gateway_service_needs_ranges(cloud: Cloud, targets: list[str]) -> None:
    with cloud.database.write() as db, pytest.raises(Unusable):
        add_gateway_service(db, REGION, "x", targets)


@pytest.mark.parametrize(("targets", "ports"), [([], [1]), (["host"], [1]), (["host:0"], [1]), (["host:1"], [0])])
def test_an_interface_service_needs_servers_and_ports(cloud: Cloud, targets: list[str], ports: list[int]) -> None:
    with cloud.database.write() as db, pytest.raises(Unusable):
        add_interface_service(db, REGION, "x", targets, ports)


def test_a_service_in_use_is_not_withdrawn(
    cloud: Cloud, ec2: Any, services: dict[str, str], vpc: str, table: str
) -> None:
    def withdraw() -> None:
        with cloud.database.write() as db:
            remove_service(db, db.scalars(select(EndpointService).filter_by(name=S3)).one())

    id = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
    with pytest.raises(Unusable, match=id):
        withdraw()
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    withdraw()
    assert ec2.describe_vpc_endpoint_services()["ServiceNames"] == [REGISTRY]


# -- gateways ----------------------------------------------------------------------


def test_a_gateway_endpoint_has_routes_and_needs_no_internet_gateway(
    cloud: Cloud, ec2: Any, services: dict[str, str], vpc: str, table: str
) -> None:
    own = subnet(ec2, vpc, 1)
    ec2.associate_route_table(RouteTableId=table, SubnetId=own)
    tags = [{"Key": "Name", "Value": "store"}]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=S3,
        RouteTableIds=[table],
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}],
    )["VpcEndpoint"]
    assert (made["State"], made["VpcEndpointType"], made["RouteTableIds"]) == ("available", "Gateway", [table])
    assert made["Tags"] == tags and made["OwnerId"] == OPERATOR and made["DnsEntries"] == []
    assert json.loads(made["PolicyDocument"])["Statement"][0]["Effect"] == "Allow"
    assert described(ec2, made["VpcEndpointId"]) == made
    network = wanted(cloud, vpc)
    (routes,) = [s.routes for s in network.subnets]
    assert {(r.destination, r.via) for r in routes} == {("192.0.2.20/32", "outlet"), ("192.0.2.32/28", "outlet")}
    assert network.uplink is not None
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert wanted(cloud, vpc).uplink is None
    assert [r for s in wanted(cloud, vpc).subnets for r in s.routes] == []
    cloud.settle()


def test_the_uplink_stays_for_as_long_as_anybody_needs_it(
    cloud: Cloud, ec2: Any, services: dict[str, str], vpc: str, table: str
) -> None:
    def address() -> str | None:
        return cloud.look(lambda db: db.get_one(Vpc, vpc).uplink_address)

    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    first = address()
    id = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert address() == first is not None
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    assert address() == first
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert address() is None


def test_route_tables_are_added_and_removed(ec2: Any, services: dict[str, str], vpc: str, table: str) -> None:
    other = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    id = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddRouteTableIds=[other], RemoveRouteTableIds=[table])
    assert described(ec2, id)["RouteTableIds"] == [other]


def test_what_a_gateway_endpoint_cannot_have_is_refused(
    ec2: Any, services: dict[str, str], vpc: str, table: str, refused: Any
) -> None:
    asked = {"VpcId": vpc, "ServiceName": S3, "RouteTableIds": [table]}
    with refused("InvalidParameter"):
        ec2.create_vpc_endpoint(**asked, SubnetIds=[subnet(ec2, vpc, 1)])
    with refused("InvalidParameter", "private"):
        ec2.create_vpc_endpoint(**asked, PrivateDnsEnabled=True)
    with refused("InvalidParameter", "type"):
        ec2.create_vpc_endpoint(**asked, VpcEndpointType="Interface")
    with refused("InvalidServiceName"):
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.example.none")
    with refused("InvalidVpcID.NotFound"):
        ec2.create_vpc_endpoint(**asked | {"VpcId": "vpc-00000000000000000"})
    with refused("InvalidRouteTableID.NotFound"):
        ec2.create_vpc_endpoint(**asked | {"RouteTableIds": ["rtb-00000000000000000"]})
    with refused("UnsupportedOperation", "IpAddressType"):
        ec2.create_vpc_endpoint(**asked, IpAddressType="dualstack")
    ec2.create_vpc_endpoint(**asked)
    with refused("RouteAlreadyExists"):
        ec2.create_vpc_endpoint(**asked)


def test_only_the_policy_that_can_be_true_is_accepted(
    ec2: Any, services: dict[str, str], vpc: str, refused: Any
) -> None:
    everything = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, PolicyDocument=text)["VpcEndpoint"]
    assert made["PolicyDocument"] == text
    ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"], ResetPolicy=True)
    assert json.loads(described(ec2, made["VpcEndpointId"])["PolicyDocument"])["Statement"] == [everything]
    with refused("UnsupportedOperation", "PolicyDocument"):
        ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=S3, PolicyDocument=text.replace('"Action": "*"', '"Action": "s3:Get*"')
        )
    with refused("InvalidPolicyDocument"):
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, PolicyDocument="[]")


def test_a_vpc_with_an_endpoint_is_not_deleted(ec2: Any, services: dict[str, str], vpc: str, refused: Any) -> None:
    id = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3)["VpcEndpoint"]["VpcEndpointId"]
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    ec2.delete_vpc(VpcId=vpc)


# -- interfaces --------------------------------------------------------------------


@pytest.fixture
def endpoint(ec2: Any, services: dict[str, str], vpc: str) -> dict[str, Any]:
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=REGISTRY, VpcEndpointType="Interface", SubnetIds=[subnet(ec2, vpc, 1)]
    )
    return dict(made["VpcEndpoint"])


def test_an_interface_endpoint_has_an_address_in_each_subnet(
    cloud: Cloud, ec2: Any, services: dict[str, str], vpc: str, endpoint: dict[str, Any]
) -> None:
    id = endpoint["VpcEndpointId"]
    assert endpoint["State"] == "pending" and endpoint["PrivateDnsEnabled"]
    (card,) = endpoint["NetworkInterfaceIds"]
    assert [group["GroupName"] for group in endpoint["Groups"]] == ["default"]
    domain = f"{services[REGISTRY]}.{REGION}.vpce.amazonaws.com"
    names = [entry["DnsName"] for entry in endpoint["DnsEntries"]]
    assert names == [f"{id}.{domain}", f"{id}-{REGION}a.{domain}", NAME]
    cloud.settle()
    assert described(ec2, id)["State"] == "available"
    assert card in cloud.backend.drivers().network.list_ports()
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    assert described(ec2, id)["State"] == "deleting"
    cloud.settle()
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert card not in cloud.backend.drivers().network.list_ports()
    with cloud.database.read() as db:
        assert db.get(NetworkInterface, card) is None
        assert db.scalars(select(PrivateAddress).filter_by(interface_id=card)).all() == []


def test_subnets_groups_and_the_private_name_can_change(
    cloud: Cloud, ec2: Any, vpc: str, endpoint: dict[str, Any], refused: Any
) -> None:
    id, first = endpoint["VpcEndpointId"], endpoint["SubnetIds"][0]
    second = subnet(ec2, vpc, 2, "b")
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    with refused("DuplicateSubnetsInSameZone"):
        ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSubnetIds=[subnet(ec2, vpc, 3)])
    old = endpoint["Groups"][0]["GroupId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSecurityGroupIds=[group], RemoveSecurityGroupIds=[old])
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSubnetIds=[second])
    ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSubnetIds=[first], PrivateDnsEnabled=False)
    cloud.settle()
    found = described(ec2, id)
    assert (found["SubnetIds"], found["State"], found["PrivateDnsEnabled"]) == ([second], "available", False)
    assert [group["GroupId"] for group in found["Groups"]] == [group]
    assert cloud.backend.drivers().network.list_ports() == set(found["NetworkInterfaceIds"])
    with refused("InvalidParameter"):
        ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSecurityGroupIds=[group])


def test_groups_are_kept_while_there_is_no_interface_to_be_in_them(
    cloud: Cloud, ec2: Any, services: dict[str, str], vpc: str, refused: Any
) -> None:
    first, second = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("one", "two")
    )
    asked = {"VpcId": vpc, "ServiceName": REGISTRY, "VpcEndpointType": "Interface"}
    default = ec2.create_vpc_endpoint(**asked, PrivateDnsEnabled=False)["VpcEndpoint"]
    assert [group["GroupName"] for group in default["Groups"]] == ["default"]
    id = ec2.create_vpc_endpoint(**asked, SecurityGroupIds=[second, first])["VpcEndpoint"]["VpcEndpointId"]
    assert [group["GroupId"] for group in described(ec2, id)["Groups"]] == [second, first]
    ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSecurityGroupIds=[second])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=first)
    ec2.delete_security_group(GroupId=second)
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSubnetIds=[subnet(ec2, vpc, 1)])
    cloud.settle()
    (card,) = described(ec2, id)["NetworkInterfaceIds"]
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[card])["NetworkInterfaces"]
    assert [group["GroupId"] for group in found["Groups"]] == [first]
    ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSubnetIds=found["SubnetId"].split())
    assert [group["GroupId"] for group in described(ec2, id)["Groups"]] == [first]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    cloud.settle()
    ec2.delete_security_group(GroupId=first)


def test_two_endpoints_do_not_answer_to_one_private_name(
    ec2: Any, vpc: str, endpoint: dict[str, Any], refused: Any
) -> None:
    asked = {"VpcId": vpc, "ServiceName": REGISTRY, "VpcEndpointType": "Interface"}
    with refused("InvalidParameter", "conflicting DNS domain"):
        ec2.create_vpc_endpoint(**asked, PrivateDnsEnabled=True)
    assert not ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]["PrivateDnsEnabled"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    with refused("InvalidParameter", "enableDnsHostnames"):
        ec2.create_vpc_endpoint(**asked, PrivateDnsEnabled=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service-name", REGISTRY),
        ("vpc-endpoint-type", "Interface"),
        ("vpc-endpoint-state", "pending"),
        ("ip-address-type", "ipv4"),
        ("service-region", REGION),
    ],
)
def test_filters_find_endpoints(ec2: Any, endpoint: dict[str, Any], name: str, value: str) -> None:
    found = ec2.describe_vpc_endpoints(Filters=[{"Name": name, "Values": [value]}])["VpcEndpoints"]
    assert [each["VpcEndpointId"] for each in found] == [endpoint["VpcEndpointId"]]
    assert ec2.describe_vpc_endpoints(Filters=[{"Name": name, "Values": ["none"]}])["VpcEndpoints"] == []


def test_another_accounts_endpoint_is_not_there(cloud: Cloud, ec2: Any, endpoint: dict[str, Any], refused: Any) -> None:
    id, other = endpoint["VpcEndpointId"], cloud.another_account()
    assert other.describe_vpc_endpoints()["VpcEndpoints"] == []
    with refused("InvalidVpcEndpointId.NotFound"):
        other.describe_vpc_endpoints(VpcEndpointIds=[id])
    (failed,) = other.delete_vpc_endpoints(VpcEndpointIds=[id])["Unsuccessful"]
    assert (failed["ResourceId"], failed["Error"]["Code"]) == (id, "InvalidVpcEndpointId.NotFound")
    cloud.client()
    assert described(ec2, id)["State"] == "pending"


def test_the_same_request_again_makes_one_endpoint(ec2: Any, services: dict[str, str], vpc: str) -> None:
    asked = {"VpcId": vpc, "ServiceName": S3, "ClientToken": "once"}
    ids = {ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]["VpcEndpointId"] for _ in range(2)}
    assert len(ids) == 1
    assert len(ec2.describe_vpc_endpoints()["VpcEndpoints"]) == 1
