"""Terraform on whole VPCs: two zones, every way out, peers, filters, services; all of it comes, changes and goes."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.drivers.base import port_uuid
from tests.acceptance.deployment import Deployment, client, eventually
from tests.acceptance.terraform import terraform, why_not
from tests.acceptance.wire import run

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(bool(why_not()), reason=why_not())]

STORE, VAULT = "com.example.objects", "com.example.vault"
HOST = "198.18.0.1"
CHANGED = ("-var", "name=two", "-var", "changed=true")
ANYWHERE = "0.0.0.0/0"
CARD, INNER = "10.20.1.10", "10.21.0.241"
"""Addresses that the stack names: of a card, and of a NAT gateway."""

Things = dict[str, dict[str, Any]]
"""What Terraform made: attributes by the address in the stack."""


@pytest.fixture
def services(deployment: Deployment) -> Iterator[dict[str, str]]:
    """What the operator offers; yields the variables that name it."""
    deployment.groundfog("services", "add", STORE, "--gateway", f"{HOST}/32")
    deployment.groundfog("services", "add", VAULT, "--server", "127.0.0.1:9", "--private-name", "vault.example")
    yield {"TF_VAR_gateway_service": STORE, "TF_VAR_interface_service": VAULT}
    for name in (STORE, VAULT):
        deployment.groundfog("services", "remove", name)


def found(table: str, column: str, **columns: str) -> str:
    """Return a column of the rows of the northbound database whose other columns are these."""
    return _find(table, column, *(f'{name}="{value}"' for name, value in columns.items()))


def marked(table: str, column: str, key: str, value: str) -> str:
    return _find(table, column, f'external_ids:"groundfog:{key}"="{value}"')


def _find(*words: str) -> str:
    table, column, *conditions = words
    return run("ovn-nbctl", "--timeout=20", "--bare", f"--columns={column}", "find", table, *conditions)


def way(subnet: str, destination: str) -> str:
    """Return where a subnet's packets to a range go next."""
    return found("Logical_Router_Static_Route", "nexthop", route_table=subnet, ip_prefix=destination)


def soon(what: str, holds: Callable[[], bool]) -> None:
    eventually(holds, what, seconds=30)


def test_vpcs_are_applied_changed_and_destroyed(
    deployment: Deployment, services: dict[str, str], tmp_path: Path
) -> None:
    own, partner = (deployment.create_credentials(name) for name in ("terraform", "terraform-partner"))
    others = {
        "TF_VAR_partner_key": partner["AWS_ACCESS_KEY_ID"],
        "TF_VAR_partner_secret": partner["AWS_SECRET_ACCESS_KEY"],
    }
    before = [what_there_is(environment) for environment in (own, partner)]
    with terraform(tmp_path, {**deployment.environment, **own, **services, **others}, "vpc") as stack:
        stack.apply()
        stack.assert_nothing_to_do()
        ids, things = stack.ids(), stack.resources()
        assert_networks_are_there(client(own), things)
        assert_first_ways(things)
        assert_first_rules(things)
        stack.apply(*CHANGED)
        stack.assert_nothing_to_do(*CHANGED)
        ids, things = ids | stack.ids(), stack.resources()
        assert_networks_are_there(client(own), things)
        assert_changed_ways(things)
        assert_changed_rules(things)
        assert deployment.in_network(ids)
    assert [what_there_is(environment) for environment in (own, partner)] == before
    eventually(lambda: deployment.in_network(ids) == [], "end of everything in the network", seconds=60)


def what_there_is(environment: dict[str, str]) -> dict[str, set[str]]:
    """Return the ids of what an account has, but of what is described for a while after its end."""
    ec2 = client(environment)
    kinds = {
        "Vpc": ec2.describe_vpcs()["Vpcs"],
        "Subnet": ec2.describe_subnets()["Subnets"],
        "RouteTable": ec2.describe_route_tables()["RouteTables"],
        "NetworkAcl": ec2.describe_network_acls()["NetworkAcls"],
        "Group": ec2.describe_security_groups()["SecurityGroups"],
        "SecurityGroupRule": ec2.describe_security_group_rules()["SecurityGroupRules"],
        "InternetGateway": ec2.describe_internet_gateways()["InternetGateways"],
        "EgressOnlyInternetGateway": ec2.describe_egress_only_internet_gateways()["EgressOnlyInternetGateways"],
        "NetworkInterface": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "Allocation": ec2.describe_addresses()["Addresses"],
        "DhcpOptions": ec2.describe_dhcp_options()["DhcpOptions"],
        "PrefixList": ec2.describe_managed_prefix_lists()["PrefixLists"],
        "VpcEndpoint": ec2.describe_vpc_endpoints()["VpcEndpoints"],
        "FlowLog": ec2.describe_flow_logs()["FlowLogs"],
        "NetworkInsightsPath": ec2.describe_network_insights_paths()["NetworkInsightsPaths"],
    }
    return {kind: {thing[f"{kind}Id"] for thing in things} for kind, things in kinds.items()}


def assert_networks_are_there(ec2: Any, things: Things) -> None:
    for name in ("main", "other", "partner"):
        id = things[f"aws_vpc.{name}"]["id"]
        assert found("Logical_Switch", "name", name=id) == found("Logical_Router", "name", name=id) == id
    for name in ("both", "partner"):
        peering = things[f"aws_vpc_peering_connection.{name}"]["id"]
        soon(
            f"two ends of {peering}",
            lambda id=peering: len(marked("Logical_Router_Port", "name", "peering", id).split()) == 2,
        )
    for name in ("interface", "other"):
        # Not from Terraform's state: after a change that has those of before, until it looks again.
        asked = {"VpcEndpointIds": [things[f"aws_vpc_endpoint.{name}"]["id"]]}
        (endpoint,) = ec2.describe_vpc_endpoints(**asked)["VpcEndpoints"]
        for card in endpoint["NetworkInterfaceIds"]:
            up = partial(found, "Logical_Switch_Port", "up", name=port_uuid(card))
            soon(f"{card} that is plugged in", lambda up=up: up() == "true")
    logged = _find("ACL", "external_ids", "log=true", "action=drop")
    assert things["aws_vpc.main"]["id"] in logged, "a network with a flow log has logged what it drops"


# -- ways ---------------------------------------------------------------------------


def assert_first_ways(things: Things) -> None:
    gateway, first = things["aws_nat_gateway.nat"], things["aws_eip.nat[0]"]
    public, private = (things[f"aws_subnet.{name}[0]"]["id"] for name in ("public", "private"))
    there, theirs = (things[f"aws_subnet.{name}"]["id"] for name in ("other", "partner"))
    inside = gateway["private_ip"]
    assert found("NAT", "logical_ip", type="dnat_and_snat", external_ip=first["public_ip"]) == inside
    soon("way out by the NAT gateway", lambda: way(private, ANYWHERE) == inside)
    soon("way out by the internet gateway", lambda: way(public, ANYWHERE) not in ("", inside))
    soon("way out by IPv6", lambda: bool(way(public, "::/0")) and bool(way(private, "::/0")))
    soon("ways between the peers", lambda: bool(way(private, "10.30.0.0/16")) and bool(way(there, "10.20.0.0/16")))
    soon("way back from the partner", lambda: bool(way(theirs, "10.20.0.0/16")))
    soon("way to the store", lambda: bool(way(private, f"{HOST}/32")) and bool(way(there, f"{HOST}/32")))
    assert way(private, "10.40.0.0/16") == "" == way(public, f"{HOST}/32")


def assert_changed_ways(things: Things) -> None:
    second = things["aws_eip.nat[1]"]["public_ip"]
    public, private = things["aws_subnet.public[0]"]["id"], things["aws_subnet.private[0]"]["id"]
    moved = things["aws_subnet.private[1]"]["id"]
    assert found("NAT", "logical_ip", type="dnat_and_snat", external_ip=second), "the second address of the NAT gateway"
    soon("way of a subnet that moved to another table", lambda: way(moved, ANYWHERE) == way(public, ANYWHERE) != "")
    soon("way by another target", lambda: way(public, "203.0.113.0/24") == INNER)
    soon("way to the partner", lambda: bool(way(private, "10.40.0.0/16")))
    soon("way to the store from another table", lambda: bool(way(public, f"{HOST}/32")))


# -- rules --------------------------------------------------------------------------


def lets(things: Things, name: str) -> str:
    """Return the expressions of what a security group lets pass."""
    return marked("ACL", "match", "id", things[f"aws_security_group.{name}"]["id"])


def members(things: Things, name: str) -> str:
    return f"$pg_{things[f'aws_security_group.{name}']['id'].replace('-', '_')}_ip4"


def told(things: Things) -> str:
    """Return what DHCP tells in a subnet."""
    return marked("DHCP_Options", "options", "id", things["aws_subnet.private[0]"]["id"])


def line(things: Things, subnet: str, number: str) -> str:
    """Return what becomes of what a line of a network ACL names, as it enters a subnet."""
    return marked("ACL", "action", "rule", f"{things[subnet]['id']} in {number}")


def assert_first_rules(things: Things) -> None:
    soon("web's rules", lambda: "tcp.dst == 443" in lets(things, "web") and "192.0.2.0/24" in lets(things, "web"))
    assert "tcp.dst == 80" not in lets(things, "web") and "198.51.100.0/24" not in lets(things, "web")
    soon("peer's rule", lambda: members(things, "app") in lets(things, "peer"))
    soon("names", lambda: "example.com" in told(things) and "10.20.0.20" in told(things))
    for number in (0, 1):
        soon("lines of the ACL", lambda subnet=f"aws_subnet.private[{number}]": bool(line(things, subnet, "100")))


def assert_changed_rules(things: Things) -> None:
    soon("web's new rules", lambda: "tcp.dst == 80" in lets(things, "web") and "198.51.100.0/24" in lets(things, "web"))
    soon("app's rules", lambda: members(things, "web") in lets(things, "app") and "5433" in lets(things, "app"))
    soon("the third branch", lambda: "203.0.113.32/28" in lets(things, "app"))
    soon("new names", lambda: "corp.example" in told(things))
    soon("the new line", lambda: line(things, "aws_subnet.private[0]", "50") == "drop")
    soon("no lines", lambda: line(things, "aws_subnet.private[1]", "100") == "")
