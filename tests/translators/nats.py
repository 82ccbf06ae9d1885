"""What tests of NAT gateways stand on: a VPC with a way out, and a gateway in it."""

from typing import Any


def make_vpc(ec2: Any, cidr: str = "10.0.0.0/16", way_out: bool = True) -> str:
    id = str(ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"])
    if way_out:
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=id)
    return id


def make_subnet(ec2: Any, vpc: str, cidr: str = "10.0.1.0/24", **asked: Any) -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **asked)["Subnet"]["SubnetId"])


def allocate(ec2: Any) -> tuple[str, str]:
    """Return the allocation ID and the address of a new Elastic IP."""
    made = ec2.allocate_address()
    return str(made["AllocationId"]), str(made["PublicIp"])


def make_gateway(ec2: Any, subnet: str, **asked: Any) -> str:
    """Return a new gateway's id: a public one with a new Elastic IP, unless something else is asked."""
    if "AllocationId" not in asked and asked.get("ConnectivityType") != "private":
        asked["AllocationId"] = allocate(ec2)[0]
    return str(ec2.create_nat_gateway(SubnetId=subnet, **asked)["NatGateway"]["NatGatewayId"])


def see(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"]
    return found


def see_interface(ec2: Any, id: str) -> Any:
    """Return the interface of a gateway."""
    (address, *_) = see(ec2, id)["NatGatewayAddresses"]
    asked = [address["NetworkInterfaceId"]]
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=asked)["NetworkInterfaces"]
    return found


def statuses(ec2: Any, id: str) -> list[str]:
    return [address["Status"] for address in see(ec2, id)["NatGatewayAddresses"]]
