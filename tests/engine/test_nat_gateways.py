"""NAT gateways that the network refuses, tasks that were lost, and what is forgotten."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from engine.drivers.base import Refused
from engine.reconciler import reconcile
from engine.state import NatGateway, NatGatewayAddress, Route, Tag, Task, timestamp
from tests.cloud import Cloud
from tests.engine import nat_gateways as nats
from tests.translators.nats import make_gateway, make_subnet, make_vpc, see


def route_to(cloud: Cloud, gateway: str) -> None:
    """Have a route lead to a gateway."""
    found = see(cloud.ec2, gateway)
    in_vpc = [{"Name": "vpc-id", "Values": [found["VpcId"]]}]
    (table,) = cloud.ec2.describe_route_tables(Filters=in_vpc)["RouteTables"]
    eni = found["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    way = {"destination": "0.0.0.0/0", "target": gateway, "interface_id": eni, "origin": "CreateRoute"}
    with cloud.database.write() as db:
        db.add(Route(route_table_id=table["RouteTableId"], **way))


def ways(cloud: Cloud, gateway: str) -> set[str]:
    """Return where the network leads what is for everywhere."""
    networks: Any = cloud.backend.drivers().network
    network = networks._networks[see(cloud.ec2, gateway)["VpcId"]]
    return {route.via for subnet in network.subnets for route in subnet.routes}


def test_a_gateway_that_the_network_refuses_fails_and_holds_nothing(cloud: Cloud) -> None:
    subnet = nats.place(cloud)
    id = make_gateway(cloud.ec2, subnet)
    eni = see(cloud.ec2, id)["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    cloud.backend.fail_next("ensure_network", Refused("never"), 1)
    cloud.settle()
    found = see(cloud.ec2, id)
    assert nats.is_gone(cloud, id, "failed") and found["FailureCode"] == "InternalError"
    assert found["FailureMessage"].startswith(f"Network interface {eni}, created and used internally")
    assert found["NatGatewayAddresses"][0]["Status"] == "failed"


def test_a_route_to_a_gateway_leads_to_its_address(cloud: Cloud) -> None:
    id = nats.creating(cloud)
    route_to(cloud, id)
    cloud.settle()
    assert ways(cloud, id) == {see(cloud.ec2, id)["NatGatewayAddresses"][0]["PrivateIp"]}


@pytest.mark.parametrize(
    ("begin", "state", "count"),
    [(nats.creating, "available", 1), (nats.associating, "available", 2), (nats.draining, "available", 1),
     (nats.deleting, "deleted", 0)],
)  # fmt: skip
def test_a_lost_task_is_begun_again(cloud: Cloud, begin: Any, state: str, count: int) -> None:
    id = begin(cloud)
    with cloud.database.write() as db:
        db.execute(delete(Task))
    reconcile(cloud.engine)
    cloud.settle()
    assert nats.serves(cloud, id, count) if count else nats.is_gone(cloud, id, state)


def test_a_gateway_without_anything_under_way_is_left_alone(cloud: Cloud) -> None:
    id = nats.available(cloud)
    reconcile(cloud.engine)
    assert cloud.look(lambda db: db.scalar(select(Task.workflow).where(Task.resource_id == id))) is None


@pytest.mark.parametrize("way_out", [True, False], ids=["deleted", "failed"])
def test_a_gateway_that_ended_is_forgotten_after_an_hour(cloud: Cloud, refused: Any, way_out: bool) -> None:
    id = make_gateway(cloud.ec2, make_subnet(cloud.ec2, make_vpc(cloud.ec2, way_out=way_out)))
    cloud.settle()
    if way_out:
        cloud.ec2.delete_nat_gateway(NatGatewayId=id)
    cloud.ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "b"}])
    cloud.settle()
    for minutes, known in ((50, True), (11, False)):
        with cloud.database.write() as db:
            ended = datetime.fromisoformat(db.get_one(NatGateway, id).ended) - timedelta(minutes=minutes)
            db.execute(update(NatGateway).where(NatGateway.id == id).values(ended=timestamp(ended)))
        reconcile(cloud.engine)
        assert bool(cloud.ec2.describe_nat_gateways()["NatGateways"]) is known
    with refused("NatGatewayNotFound"):
        see(cloud.ec2, id)
    kinds = (NatGatewayAddress, Tag)
    assert cloud.look(lambda db: [db.scalars(select(kind)).all() for kind in kinds]) == [[], []]
