"""Elastic IP addresses that go from one account to another, through real clients."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from engine.reconciler import reconcile
from engine.state import AddressTransfer
from tests.cloud import Cloud
from tests.translators.nats import allocate, make_subnet, make_vpc

OTHER = "222222222222"


@pytest.fixture
def other(cloud: Cloud) -> Any:
    return cloud.another_account(OTHER)


def offer(ec2: Any, allocation: str, account: str = OTHER) -> Any:
    return ec2.enable_address_transfer(AllocationId=allocation, TransferAccountId=account)["AddressTransfer"]


def offers(ec2: Any, *ids: str) -> list[Any]:
    return list(ec2.describe_address_transfers(AllocationIds=[*ids])["AddressTransfers"])


def pass_time(cloud: Cloud, days: int) -> None:
    """Have what was offered and accepted be so many days ago."""
    with cloud.database.write() as db:
        for row in db.scalars(select(AddressTransfer)):
            row.expires, row.accepted = (_earlier(text, days) if text else "" for text in (row.expires, row.accepted))


def _earlier(text: str, days: int) -> str:
    return (datetime.fromisoformat(text) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_an_address_goes_over_with_its_id_and_without_its_tags(ec2: Any, other: Any, refused: Any) -> None:
    allocation, public = allocate(ec2)
    ec2.create_tags(Resources=[allocation], Tags=[{"Key": "Name", "Value": "mine"}])
    made = offer(ec2, allocation)
    expires = made.pop("TransferOfferExpirationTimestamp")
    assert timedelta(days=6, hours=23) < expires - datetime.now(UTC) <= timedelta(days=7)
    common = {"PublicIp": public, "AllocationId": allocation, "TransferAccountId": OTHER}
    assert made == common | {"AddressTransferStatus": "pending"}
    made["TransferOfferExpirationTimestamp"] = expires
    assert offers(ec2) == offers(ec2, allocation) == [made] and offers(other) == []
    tags = [{"Key": "Name", "Value": "ours"}]
    accepted = other.accept_address_transfer(
        Address=public, TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )["AddressTransfer"]
    assert accepted["AddressTransferStatus"] == "accepted"
    assert abs(accepted["TransferOfferAcceptedTimestamp"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert offers(ec2) == [accepted] and offers(other) == []
    (found,) = other.describe_addresses()["Addresses"]
    assert (found["AllocationId"], found["PublicIp"], found["Tags"]) == (allocation, public, tags)
    assert ec2.describe_addresses()["Addresses"] == [] and ec2.describe_tags()["Tags"] == []
    with refused("InvalidAddress.NotFound"):
        other.accept_address_transfer(Address=public)
    other.release_address(AllocationId=allocation)
    assert offers(ec2) == [accepted]


def test_an_address_can_come_back(ec2: Any, other: Any) -> None:
    allocation, public = allocate(ec2)
    owner = ec2.describe_vpcs()["Vpcs"][0]["OwnerId"]
    offer(ec2, allocation)
    other.accept_address_transfer(Address=public)
    offer(other, allocation, owner)
    ec2.accept_address_transfer(Address=public)
    assert [t["AddressTransferStatus"] for t in (*offers(ec2), *offers(other))] == ["accepted"] * 2
    assert offer(ec2, allocation)["AddressTransferStatus"] == "pending"


def test_an_offer_is_for_one_account_and_can_be_taken_back(cloud: Cloud, ec2: Any, other: Any, refused: Any) -> None:
    third = cloud.another_account("333333333333")
    allocation, public = allocate(ec2)
    offer(ec2, allocation)
    with refused("InvalidAddress.NotFound"):
        third.accept_address_transfer(Address=public)
    offer(ec2, allocation, "333333333333")
    with refused("InvalidAddress.NotFound"):
        other.accept_address_transfer(Address=public)
    disabled = ec2.disable_address_transfer(AllocationId=allocation)["AddressTransfer"]
    assert disabled == {"PublicIp": public, "AllocationId": allocation, "AddressTransferStatus": "disabled"}
    with refused("InvalidAddress.NotFound"):
        third.accept_address_transfer(Address=public)
    with refused("InvalidParameterValue", "not enabled for transfer"):
        ec2.disable_address_transfer(AllocationId=allocation)
    assert offers(ec2) == []


def test_an_address_in_use_is_offered_and_not_accepted(ec2: Any, other: Any, refused: Any) -> None:
    subnet = make_subnet(ec2, make_vpc(ec2))
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    allocation, public = allocate(ec2)
    ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)
    offer(ec2, allocation)
    with refused("InvalidTransfer.AddressAssociated"):
        other.accept_address_transfer(Address=public)
    ec2.disassociate_address(PublicIp=public)
    other.accept_address_transfer(Address=public)


def test_an_offer_ends_after_a_week_and_an_accepted_one_is_known_for_two(
    cloud: Cloud, ec2: Any, other: Any, refused: Any
) -> None:
    (first, first_public), (second, second_public) = allocate(ec2), allocate(ec2)
    offer(ec2, first)
    offer(ec2, second)
    other.accept_address_transfer(Address=second_public)
    pass_time(cloud, 6)
    assert len(offers(ec2)) == 2
    pass_time(cloud, 2)
    with refused("InvalidAddress.NotFound"):
        other.accept_address_transfer(Address=first_public)
    assert [transfer["AllocationId"] for transfer in offers(ec2)] == [second]
    pass_time(cloud, 7)
    assert offers(ec2) == []
    reconcile(cloud.engine)
    assert cloud.look(lambda db: db.scalar(select(func.count()).select_from(AddressTransfer))) == 0


def test_what_cannot_be_offered_is_refused(cloud: Cloud, ec2: Any, other: Any, refused: Any) -> None:
    allocation, public = allocate(ec2)
    owner = ec2.describe_vpcs()["Vpcs"][0]["OwnerId"]
    for code, act in (
        ("InvalidParameterValue", lambda: offer(ec2, allocation, owner)),
        ("InvalidParameterValue", lambda: offer(ec2, allocation, "999999999999")),
        ("InvalidParameterValue", lambda: offer(ec2, allocation, "somebody")),
        ("InvalidAllocationID.NotFound", lambda: offer(other, allocation, owner)),
        ("InvalidAllocationID.NotFound", lambda: other.disable_address_transfer(AllocationId=allocation)),
        ("InvalidAddress.NotFound", lambda: other.accept_address_transfer(Address=public)),
        ("InvalidAddress.NotFound", lambda: other.accept_address_transfer(Address="nowhere")),
    ):
        with refused(code):
            act()


def test_nobody_accepts_more_than_the_quota_or_what_was_released(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(quotas={"elastic IPs": 1})
    ec2, other = cloud.ec2, cloud.another_account(OTHER)
    allocation, public = allocate(ec2)
    with refused("AddressLimitExceeded", "The maximum number of addresses has been reached."):
        allocate(ec2)
    allocate(other)
    offer(ec2, allocation)
    with refused("AddressLimitExceeded"):
        other.accept_address_transfer(Address=public)
    ec2.release_address(AllocationId=allocation)
    assert offers(ec2) == []
    with refused("InvalidAddress.NotFound"):
        other.accept_address_transfer(Address=public)


def test_offers_are_paged(cloud: Cloud, ec2: Any, other: Any) -> None:
    ids = sorted(allocate(ec2)[0] for _ in range(7))
    for id in ids:
        offer(ec2, id)
    pages = ec2.get_paginator("describe_address_transfers").paginate(PaginationConfig={"PageSize": 5})
    found = [[transfer["AllocationId"] for transfer in page["AddressTransfers"]] for page in pages]
    assert found == [ids[:5], ids[5:]]
    assert [transfer["AllocationId"] for transfer in offers(ec2, ids[3])] == [ids[3]]
