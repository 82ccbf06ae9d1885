"""VPC peering connections through real clients of two accounts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine import desired
from engine.reconciler import reconcile
from engine.state import Peering, Tag, Task, VpcCidrBlock, timestamp
from tests.cloud import OPERATOR, Cloud
from tests.translators.peers import OTHER, Side, connect, request, side, two_accounts


@pytest.fixture
def both(cloud: Cloud) -> tuple[Side, Side]:
    return two_accounts(cloud)


def where(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]


def networks(cloud: Cloud, *vpcs: str) -> list[Any]:
    return [cloud.look(lambda db, id=vpc: desired.network(db, cloud.settings, id)) for vpc in vpcs]  # type: ignore[misc]


def due(cloud: Cloud) -> set[tuple[str, str]]:
    return cloud.look(lambda db: {(t.resource_id, t.workflow) for t in db.query(Task)})


def set_back(cloud: Cloud, id: str, **columns: timedelta) -> None:
    """Let a connection have happened longer ago."""
    with cloud.database.write() as db:
        for name, ago in columns.items():
            setattr(db.get_one(Peering, id), name, timestamp(datetime.now(UTC) - ago))


def test_a_request_waits_for_the_other_account_which_sees_it_too(both: tuple[Side, Side]) -> None:
    mine, theirs = both
    asked = {"VpcId": mine.vpc, "PeerVpcId": theirs.vpc, "PeerOwnerId": OTHER}
    made = mine.ec2.create_vpc_peering_connection(**asked)["VpcPeeringConnection"]
    assert made["Status"] == {"Code": "initiating-request", "Message": f"Initiating Request to {OTHER}"}
    assert timedelta(days=6, hours=23) < made["ExpirationTime"] - datetime.now(UTC) < timedelta(days=7)
    seen = mine.see(made["VpcPeeringConnectionId"])
    assert seen["Status"] == {"Code": "pending-acceptance", "Message": f"Pending Acceptance by {OTHER}"}
    assert seen["AccepterVpcInfo"] == {"OwnerId": OTHER, "VpcId": theirs.vpc, "Region": "us-east-1"}
    assert seen["RequesterVpcInfo"]["CidrBlock"] == "10.1.0.0/16"
    assert theirs.see(made["VpcPeeringConnectionId"]) == seen


def test_an_accepted_request_links_both_networks(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    cloud.settle()
    answer = theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)["VpcPeeringConnection"]
    assert answer["Status"] == {"Code": "provisioning", "Message": "Provisioning"}
    assert due(cloud) == {(mine.vpc, "sync_network"), (theirs.vpc, "sync_network")}
    seen = mine.see(id)
    assert seen["Status"] == {"Code": "active", "Message": "Active"} and "ExpirationTime" not in seen
    options = {
        "AllowDnsResolutionFromRemoteVpc": False, "AllowEgressFromLocalClassicLinkToRemoteVpc": False,
        "AllowEgressFromLocalVpcToRemoteClassicLink": False,
    }  # fmt: skip
    assert seen["AccepterVpcInfo"] == {
        "OwnerId": OTHER, "VpcId": theirs.vpc, "Region": "us-east-1", "CidrBlock": "10.2.0.0/16",
        "CidrBlockSet": [{"CidrBlock": "10.2.0.0/16"}], "PeeringOptions": options,
    }  # fmt: skip
    one, other = (network.peerings[0] for network in networks(cloud, mine.vpc, theirs.vpc))
    assert (one.id, one.peer_id, one.peer_cidrs) == (id, theirs.vpc, ("10.2.0.0/16",))
    assert (one.address, one.peer_address) == (other.peer_address, other.address)
    cloud.settle()


def test_a_peers_new_range_is_shown_and_known(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    with cloud.database.write() as db:
        for number, cidr in enumerate(("10.0.0.0/16", "fd6f:6700::/56")):
            db.add(VpcCidrBlock(id=f"vpc-cidr-assoc-{number}", vpc_id=theirs.vpc, cidr=cidr))
    info = mine.see(id)["AccepterVpcInfo"]
    assert info["CidrBlock"] == "10.2.0.0/16"
    assert [block["CidrBlock"] for block in info["CidrBlockSet"]] == ["10.2.0.0/16", "10.0.0.0/16"]
    assert info["Ipv6CidrBlockSet"] == [{"Ipv6CidrBlock": "fd6f:6700::/56"}]
    assert networks(cloud, mine.vpc)[0].peerings[0].peer_cidrs == ("10.0.0.0/16", "10.2.0.0/16", "fd6f:6700::/56")


def test_an_account_peers_its_own_vpcs(ec2: Any, refused: Any) -> None:
    one, other = side(ec2, "10.1.0.0/16"), side(ec2, "10.2.0.0/16")
    id = ec2.create_vpc_peering_connection(VpcId=one.vpc, PeerVpcId=other.vpc, PeerRegion="us-east-1")[
        "VpcPeeringConnection"
    ]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert one.status(id) == "active"
    with refused("InvalidVpcID.NotFound"):
        ec2.create_vpc_peering_connection(VpcId=one.vpc, PeerVpcId="vpc-00000000000000000")


def test_the_same_request_again_gives_the_connection_that_is_there(both: tuple[Side, Side]) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    assert request(mine, theirs) == id
    theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert request(mine, theirs) == id and mine.status(id) == "active"
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert request(mine, theirs) != id


def test_two_vpcs_are_peered_once(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    connect(mine, theirs)
    back = request(theirs, mine)
    with refused("VpcPeeringConnectionAlreadyExists", f"identified by {back} already exists"):
        mine.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=back)


def test_what_cannot_be_peered_fails_and_only_who_asked_sees_that(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    same = side(theirs.ec2, "10.1.128.0/20")
    unknown = {"VpcId": mine.vpc, "PeerVpcId": "vpc-00000000000000000", "PeerOwnerId": OTHER}
    nobody = unknown | {"PeerVpcId": theirs.vpc, "PeerOwnerId": "333333333333"}
    itself = {"VpcId": mine.vpc, "PeerVpcId": mine.vpc}
    ids = [request(mine, same)]
    for asked in (unknown, nobody, itself):
        made = mine.ec2.create_vpc_peering_connection(**asked)["VpcPeeringConnection"]
        ids.append(made["VpcPeeringConnectionId"])
        assert made["Status"]["Code"] == "failed"
    text = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
    assert all(mine.see(id)["Status"] == {"Code": "failed", "Message": text} for id in ids)
    assert theirs.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"] == []
    assert networks(cloud, mine.vpc)[0].peerings == ()


def test_requests_that_cannot_be_are_refused(both: tuple[Side, Side], make_cloud: Any, refused: Any) -> None:
    mine, theirs = both
    asked = {"VpcId": mine.vpc, "PeerVpcId": theirs.vpc, "PeerOwnerId": OTHER}
    for change, code in (
        ({"PeerVpcId": ""}, "MissingParameter"),
        ({"PeerOwnerId": "me"}, "InvalidParameterValue"),
        ({"PeerRegion": "us-north-9"}, "InvalidParameterValue"),
        ({"VpcId": theirs.vpc}, "InvalidVpcID.NotFound"),
        ({"RequesterPeeringConnectionOptions": {"AllowMultipathResilience": True}}, "UnsupportedOperation"),
    ):
        with refused(code):
            mine.ec2.create_vpc_peering_connection(**asked | change)
    with refused("DryRunOperation"):
        mine.ec2.create_vpc_peering_connection(**asked, DryRun=True)
    assert mine.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"] == []


def test_vpcs_of_two_regions_are_not_peered(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(regions="us-east-1,eu-west-1")
    mine, far = side(cloud.ec2, "10.1.0.0/16"), side(cloud.client(region="eu-west-1"), "10.2.0.0/16")
    with refused("UnsupportedOperation", "PeerRegion"):
        mine.ec2.create_vpc_peering_connection(VpcId=mine.vpc, PeerVpcId=far.vpc, PeerRegion="eu-west-1")


def test_only_who_was_asked_accepts_or_rejects(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    with refused("OperationNotPermitted", f"User {OPERATOR} cannot accept peering {id}"):
        mine.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    with refused("OperationNotPermitted", "cannot reject"):
        mine.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=id)
    with refused("OperationNotPermitted", f"User {OTHER} cannot delete"):
        theirs.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert theirs.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=id)["Return"] is True
    assert mine.status(id) == theirs.status(id) == "rejected"


def test_what_is_over_stays_over(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    theirs.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=id)
    for act, wanted in (
        (theirs.ec2.accept_vpc_peering_connection, "provisioning"),
        (theirs.ec2.reject_vpc_peering_connection, "rejected"),
        (mine.ec2.delete_vpc_peering_connection, "deleting"),
    ):
        text = f"Invalid state transition for {id}, attempted to transition from rejected to {wanted}"
        with refused("InvalidStateTransition", text):
            act(VpcPeeringConnectionId=id)


@pytest.mark.parametrize("deleter", [0, 1])
def test_either_side_deletes_an_active_connection(cloud: Cloud, both: tuple[Side, Side], deleter: int) -> None:
    id = connect(*both)
    cloud.settle()
    assert both[deleter].ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)["Return"] is True
    assert due(cloud) == {(one.vpc, "sync_network") for one in both}
    for one in both:
        seen = one.see(id)
        assert seen["Status"] == {"Code": "deleted", "Message": f"Deleted by {(OPERATOR, OTHER)[deleter]}"}
        assert seen["RequesterVpcInfo"]["CidrBlock"] == "10.1.0.0/16" and "CidrBlock" not in seen["AccepterVpcInfo"]
    assert [network.peerings for network in networks(cloud, *(one.vpc for one in both))] == [(), ()]
    cloud.settle()


def test_who_asked_takes_a_request_back(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert theirs.status(id) == "deleted"
    with refused("InvalidStateTransition", "from deleted to provisioning"):
        theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)


def test_links_are_given_back_and_used_again(cloud: Cloud, both: tuple[Side, Side]) -> None:
    mine, theirs = both
    third = side(mine.ec2, "10.3.0.0/16")

    def links() -> list[int | None]:
        return cloud.look(lambda db: [row.link for row in db.query(Peering).order_by(Peering.created, Peering.id)])

    first = connect(mine, theirs)
    connect(mine, third)
    assert sorted(link for link in links() if link is not None) == [0, 1]
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=first)
    connect(third, theirs)
    assert sorted(link for link in links() if link is not None) == [0, 1]


def test_a_request_runs_out_after_seven_days(cloud: Cloud, both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    set_back(cloud, id, expires=timedelta(seconds=1))
    with refused("InvalidStateTransition", "from expired to provisioning"):
        theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    assert request(mine, theirs) != id
    reconcile(cloud.engine)
    assert mine.status(id) == theirs.status(id) == "expired"


def test_what_is_over_is_forgotten_after_an_hour(cloud: Cloud, both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id, kept = connect(mine, theirs), request(theirs, mine)
    theirs.ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "b"}])
    mine.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
    reconcile(cloud.engine)
    assert mine.status(id) == "deleted"
    set_back(cloud, id, ended=timedelta(minutes=61))
    reconcile(cloud.engine)
    with refused("InvalidVpcPeeringConnectionID.NotFound", f"The vpcPeeringConnection ID '{id}' does not exist"):
        mine.see(id)
    assert mine.status(kept) == "pending-acceptance"
    assert cloud.look(lambda db: db.query(Tag).count()) == 0


def test_each_account_has_tags_of_its_own(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    specification = [{"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "Name", "Value": "out"}]}]
    id = request(mine, theirs, TagSpecifications=specification)
    theirs.ec2.create_tags(Resources=[id], Tags=[{"Key": "Name", "Value": "in"}])
    assert mine.see(id)["Tags"] == [{"Key": "Name", "Value": "out"}]
    assert theirs.see(id)["Tags"] == [{"Key": "Name", "Value": "in"}]
    found = theirs.ec2.describe_vpc_peering_connections(Filters=where("tag:Name", "in"))["VpcPeeringConnections"]
    assert [one["VpcPeeringConnectionId"] for one in found] == [id]
    (tag,) = theirs.ec2.describe_tags()["Tags"]
    assert (tag["ResourceType"], tag["Value"]) == ("vpc-peering-connection", "in")
    theirs.ec2.delete_tags(Resources=[id])
    assert mine.see(id)["Tags"] == [{"Key": "Name", "Value": "out"}]


def test_nobody_else_sees_a_connection(cloud: Cloud, both: tuple[Side, Side], refused: Any) -> None:
    id = connect(*both)
    third = cloud.another_account("333333333333")
    assert third.describe_vpc_peering_connections()["VpcPeeringConnections"] == []
    for act in (
        third.accept_vpc_peering_connection, third.reject_vpc_peering_connection, third.delete_vpc_peering_connection,
    ):  # fmt: skip
        with refused("InvalidVpcPeeringConnectionID.NotFound"):
            act(VpcPeeringConnectionId=id)
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        third.create_tags(Resources=[id], Tags=[{"Key": "a"}])
    with refused("InvalidVpcPeeringConnectionId.Malformed"):
        third.delete_vpc_peering_connection(VpcPeeringConnectionId="pcx-x")


def test_connections_are_filtered_and_paged(both: tuple[Side, Side]) -> None:
    mine, theirs = both
    active = connect(mine, theirs)
    waiting = {request(mine, side(theirs.ec2, f"10.{n}.0.0/16")) for n in range(3, 9)}

    def ids(*filters: dict[str, Any]) -> list[str]:
        pages = theirs.ec2.get_paginator("describe_vpc_peering_connections").paginate(
            Filters=list(filters), PaginationConfig={"PageSize": 5}
        )
        return [one["VpcPeeringConnectionId"] for page in pages for one in page["VpcPeeringConnections"]]

    assert ids() == sorted({active, *waiting})
    for name, value in (
        ("status-code", "active"), ("status-message", "Act*"), ("accepter-vpc-info.vpc-id", theirs.vpc),
        ("accepter-vpc-info.cidr-block", "10.2.0.0/16"), ("vpc-peering-connection-id", active),
    ):  # fmt: skip
        assert ids(*where(name, value)) == [active], name
    for name, value, count in (
        ("requester-vpc-info.vpc-id", mine.vpc, 7), ("requester-vpc-info.cidr-block", "10.1.*", 7),
        ("requester-vpc-info.owner-id", OPERATOR, 7), ("accepter-vpc-info.owner-id", OPERATOR, 0),
        ("status-code", "pending-acceptance", 6), ("expiration-time", "2*", 7),
    ):  # fmt: skip
        assert len(ids(*where(name, value))) == count, name


def test_connections_are_counted(make_cloud: Any, refused: Any) -> None:
    limits = {"active VPC peering connections per VPC": 1, "outstanding VPC peering connection requests": 2}
    cloud = make_cloud(quotas=limits)
    mine, theirs = two_accounts(cloud)
    more = [side(theirs.ec2, f"10.{n}.0.0/16") for n in range(3, 6)]
    connect(mine, theirs)
    request(mine, more[0])
    second = request(mine, more[1])
    with refused("OutstandingVpcPeeringConnectionLimitExceeded"):
        request(mine, more[2])
    with refused("ActiveVpcPeeringConnectionPerVpcLimitExceeded"):
        theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=second)


def test_a_vpc_takes_its_peerings_and_requests_with_it(cloud: Cloud, both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    third = side(theirs.ec2, "10.3.0.0/16")
    active, waiting = connect(mine, theirs), request(mine, third)
    with refused("DependencyViolation"):
        third.ec2.delete_vpc(VpcId=third.vpc)
    mine.ec2.delete_vpc(VpcId=mine.vpc)
    for id in (active, waiting):
        seen = theirs.see(id)
        assert seen["Status"] == {"Code": "deleted", "Message": f"Deleted by {OPERATOR}"}
        assert seen["RequesterVpcInfo"]["CidrBlock"] == "10.1.0.0/16"
    assert due(cloud) >= {(theirs.vpc, "sync_network"), (mine.vpc, "remove_network")}
    third.ec2.delete_vpc(VpcId=third.vpc)
    cloud.settle()


def test_a_rejected_request_no_longer_keeps_a_vpc(both: tuple[Side, Side]) -> None:
    mine, theirs = both
    theirs.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=request(mine, theirs))
    theirs.ec2.delete_vpc(VpcId=theirs.vpc)


# -- options ---------------------------------------------------------------------


def allow(one: Side, id: str, which: str, name: str = "AllowDnsResolutionFromRemoteVpc", value: bool = True) -> Any:
    asked = {f"{which}PeeringConnectionOptions": {name: value}}
    return one.ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=id, **asked)


def test_each_side_sets_its_own_option(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = connect(mine, theirs)
    with refused("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled"):
        allow(mine, id, "Requester")
    for one in both:
        one.ec2.modify_vpc_attribute(VpcId=one.vpc, EnableDnsHostnames={"Value": True})
    answer = allow(mine, id, "Requester")
    assert answer["RequesterPeeringConnectionOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
    assert "AccepterPeeringConnectionOptions" not in answer
    with refused("OperationNotPermitted", f"User {OPERATOR} does not have permission to modify the accepter side"):
        allow(mine, id, "Accepter")
    with refused("OperationNotPermitted", "requester side"):
        allow(theirs, id, "Requester")

    def shown() -> list[bool]:
        infos = (mine.see(id)[f"{which}VpcInfo"] for which in ("Requester", "Accepter"))
        return [info["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] for info in infos]

    assert shown() == [True, False]
    allow(theirs, id, "Accepter")
    allow(mine, id, "Requester", value=False)
    assert shown() == [False, True]


def test_options_of_what_is_not_here_are_refused(both: tuple[Side, Side], refused: Any) -> None:
    mine, theirs = both
    id = request(mine, theirs)
    with refused("OperationNotPermitted", f"Peering {id} is not active."):
        allow(mine, id, "Requester", value=False)
    theirs.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    for name in ("AllowEgressFromLocalClassicLinkToRemoteVpc", "AllowEgressFromLocalVpcToRemoteClassicLink"):
        allow(mine, id, "Requester", name, value=False)
        with refused("UnsupportedOperation", name):
            allow(mine, id, "Requester", name)
    with refused("UnsupportedOperation", "AllowMultipathResilience"):
        allow(mine, id, "Requester", "AllowMultipathResilience")
    with refused("MissingParameter"):
        mine.ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=id)
