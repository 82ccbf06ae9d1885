"""The two networks of the packet tests as a database has them: a VPC each, and an instance for each guest."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from types import MappingProxyType

from engine.drivers.networking import Network, Port
from engine.state import (
    Base,
    DhcpOptions,
    Instance,
    Ipv6Address,
    NetworkInterface,
    PrivateAddress,
    Subnet,
    SubnetCidrBlock,
    Vpc,
    VpcCidrBlock,
    now,
)
from engine.state.database import Database
from engine.state.schema import upgrade
from tests.acceptance.two_networks import TwoNetworks

HERE = "a-host"
OWNER = {"account": "123456789012", "region": "us-east-1"}


def ports(cloud: TwoNetworks) -> dict[str, Port]:
    return {name: getattr(cloud, f"{name}_port") for name in ("web", "app", "twin")}


def populated(
    cloud: TwoNetworks, file: Path, *networks: Network, six: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Database]:
    """Yield a database with these networks, or the two as they are, and with addresses of IPv6 for some guests."""
    database = Database(f"sqlite:///{file}", durable=False)
    upgrade(database)
    with database.write() as db:
        db.add(DhcpOptions(id="dopt-1", **OWNER, options={}))
        for network in networks or (cloud.network, cloud.twin_network):
            for row in _vpc(network):
                db.add(row)
                db.flush()
        for name, port in ports(cloud).items():
            for row in _instance(name, port, six.get(name, "")):
                db.add(row)
                db.flush()
    yield database
    database.close()


def _vpc(network: Network) -> Iterator[Base]:
    yield Vpc(id=network.id, **OWNER, cidr=network.cidrs[0], dhcp_options_id="dopt-1", dns_hostnames=True)
    for place, cidr in enumerate(network.cidrs):
        yield VpcCidrBlock(id=f"{place}-{network.id}", vpc_id=network.id, cidr=cidr)
    for subnet in network.subnets:
        tag = int(subnet.mac_prefix.replace(":", "")[2:], 16)
        yield Subnet(
            id=subnet.id, **OWNER, vpc_id=network.id, zone="us-east-1a", cidr=subnet.cidr, mac_tag=tag,
            available_addresses=9,
        )  # fmt: skip
        if subnet.cidr6:
            yield SubnetCidrBlock(id=f"6-{subnet.id}", subnet_id=subnet.id, cidr=subnet.cidr6)


def _instance(name: str, port: Port, six: str) -> Iterator[Base]:
    address = port.addresses[0]
    here = {"vpc_id": port.network_id, "subnet_id": port.subnet_id}
    yield Instance(
        id=f"i-{name}", **OWNER, **here, reservation_id="r-1", image_id="ami-1", instance_type="t3.micro",
        root_device_name="/dev/xvda", state="running", launch_time=now(), usage_time=now(), zone="us-east-1a",
        host=HERE, vcpus=1, memory_mib=1, private_ip=address,
    )  # fmt: skip
    # Guests of two networks may have the same MAC address here, and none in a database.
    mac = port.mac if name != "twin" else "06:00:00:00:00:00"
    yield NetworkInterface(
        id=port.id, **OWNER, **here, zone="us-east-1a", mac=mac, private_ip=address, instance_id=f"i-{name}",
        device_index=0,
    )  # fmt: skip
    yield PrivateAddress(
        subnet_id=port.subnet_id, number=int(IPv4Address(address)), address=address, interface_id=port.id,
        is_primary=True,
    )  # fmt: skip
    if six:
        yield Ipv6Address(subnet_id=port.subnet_id, address=six, interface_id=port.id, is_primary=True)
