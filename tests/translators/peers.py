"""Two VPCs and the way between them, as tests want them."""

from dataclasses import dataclass
from typing import Any

from tests.cloud import Cloud

OTHER = "222222222222"


@dataclass(frozen=True)
class Side:
    """An account's client and its VPC."""

    ec2: Any
    vpc: str

    def see(self, id: str) -> Any:
        (found,) = self.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[id])["VpcPeeringConnections"]
        return found

    def status(self, id: str) -> str:
        return str(self.see(id)["Status"]["Code"])


def side(ec2: Any, cidr: str) -> Side:
    return Side(ec2, ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"])


def two_accounts(cloud: Cloud) -> tuple[Side, Side]:
    return side(cloud.ec2, "10.1.0.0/16"), side(cloud.another_account(OTHER), "10.2.0.0/16")


def request(mine: Side, theirs: Side, **more: Any) -> str:
    owner = theirs.ec2.describe_vpcs(VpcIds=[theirs.vpc])["Vpcs"][0]["OwnerId"]
    asked = {"VpcId": mine.vpc, "PeerVpcId": theirs.vpc, "PeerOwnerId": owner, **more}
    return str(mine.ec2.create_vpc_peering_connection(**asked)["VpcPeeringConnection"]["VpcPeeringConnectionId"])


def connect(mine: Side, theirs: Side) -> str:
    id = request(mine, theirs)
    theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    return id
