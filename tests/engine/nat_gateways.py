"""NAT gateways in every condition that a workflow may find them in."""

from typing import Any

from sqlalchemy import select

from engine import desired, tasks
from engine.state import NatGateway
from tests.cloud import REGION, Cloud
from tests.translators.nats import allocate, make_gateway, make_subnet, make_vpc, see


def place(cloud: Cloud) -> str:
    """Return a subnet of a VPC that is on the network, as after a guest was in it. Gateways made before are gone."""
    for gateway in cloud.ec2.describe_nat_gateways()["NatGateways"]:
        delete(cloud, gateway["NatGatewayId"])
    vpc = make_vpc(cloud.ec2)
    subnet = make_subnet(cloud.ec2, vpc)
    cloud.settle()
    wanted = cloud.look(lambda db: desired.network(db, cloud.settings, vpc))
    cloud.drivers[REGION].network.ensure_network(wanted)  # type: ignore[arg-type]
    return subnet


def creating(cloud: Cloud) -> str:
    return make_gateway(cloud.ec2, place(cloud))


def available(cloud: Cloud) -> str:
    id = creating(cloud)
    cloud.settle()
    return id


def associating(cloud: Cloud) -> str:
    id = available(cloud)
    cloud.ec2.associate_nat_gateway_address(NatGatewayId=id, AllocationIds=[allocate(cloud.ec2)[0]])
    return id


def draining(cloud: Cloud) -> str:
    id = associating(cloud)
    cloud.settle()
    association = see(cloud.ec2, id)["NatGatewayAddresses"][1]["AssociationId"]
    cloud.ec2.disassociate_nat_gateway_address(NatGatewayId=id, AssociationIds=[association])
    return id


def deleting(cloud: Cloud) -> str:
    id = available(cloud)
    cloud.ec2.delete_nat_gateway(NatGatewayId=id)
    return id


def delete(cloud: Cloud, id: str) -> None:
    """Ask for a gateway's deletion, unless that has come true."""
    if see(cloud.ec2, id)["State"] != "deleted":
        cloud.ec2.delete_nat_gateway(NatGatewayId=id)


def failing(cloud: Cloud) -> str:
    """A gateway that the network refuses, after the last try."""
    id = creating(cloud)
    with cloud.database.write() as db:
        tasks.start(db, id, "fail_nat_gateway", REGION)
    return id


def on_network(cloud: Cloud, id: str) -> list[str]:
    """Return a gateway's addresses on the network; none where it is not there."""
    vpc = cloud.look(lambda db: db.scalars(select(NatGateway.vpc_id).where(NatGateway.id == id)).one())
    networks: Any = cloud.backend.drivers().network
    return [a for gateway in networks._networks[vpc].nat_gateways if gateway.id == id for a in gateway.addresses]


def serves(cloud: Cloud, id: str, count: int) -> bool:
    """Say whether a gateway is available with so many addresses, here and on the network."""
    found = see(cloud.ec2, id)
    shown = [address["PrivateIp"] for address in found["NatGatewayAddresses"] if address["Status"] == "succeeded"]
    return found["State"] == "available" and len(shown) == count and on_network(cloud, id) == shown


def is_gone(cloud: Cloud, id: str, state: str) -> bool:
    """Say whether nothing is left of a gateway but its description."""
    found = see(cloud.ec2, id)
    addresses = [a for a in cloud.ec2.describe_addresses()["Addresses"] if "AssociationId" in a]
    interfaces = cloud.ec2.describe_network_interfaces(Filters=[{"Name": "interface-type", "Values": ["nat_gateway"]}])[
        "NetworkInterfaces"
    ]
    return found["State"] == state and not addresses and not interfaces and not on_network(cloud, id)
