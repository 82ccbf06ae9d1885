"""Addresses, private and public, and VLAN ids: found by arithmetic, kept by a row, given once."""

import re
import threading
from ipaddress import IPv4Address

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from engine import addresses
from engine.addresses import Exhausted
from engine.default_vpc import make_subnet, make_vpc
from engine.state import Address, PrivateAddress, Subnet, Vpc
from settings import Settings
from tests.cloud import OPERATOR, REGION, Cloud

OWNER = {"account": OPERATOR, "region": REGION}
USABLE = 11


@pytest.fixture
def subnet(cloud: Cloud) -> Subnet:
    """A /28: sixteen addresses, of which EC2 keeps five."""
    with cloud.database.write() as db:
        vpc = make_vpc(db, cloud.settings, OWNER, "10.0.0.0/16")
        return make_subnet(db, OWNER, vpc, f"{REGION}a", "10.0.0.0/28")


def take(cloud: Cloud, subnet: Subnet, interface: str = "eni-1", wanted: str = "") -> str:
    with cloud.database.write() as db:
        return addresses.take_private(db, subnet, interface, wanted)


def test_ec2_keeps_the_first_four_and_the_last_address() -> None:
    first, last = addresses.usable("10.0.0.0/28")
    assert (str(IPv4Address(first)), str(IPv4Address(last))) == ("10.0.0.4", "10.0.0.14")
    assert addresses.count_usable("10.0.0.0/28") == USABLE and addresses.count_usable("10.0.0.0/16") == 65531


def test_every_address_of_a_subnet_is_given_once_and_then_none(cloud: Cloud, subnet: Subnet) -> None:
    given = {take(cloud, subnet) for _ in range(USABLE)}
    assert given == {f"10.0.0.{n}" for n in range(4, 15)}
    with pytest.raises(Exhausted):
        take(cloud, subnet)
    assert cloud.look(lambda db: db.get_one(Subnet, subnet.id).available_addresses) == 0


def test_an_address_that_is_wanted_is_given_if_it_is_free(cloud: Cloud, subnet: Subnet) -> None:
    assert take(cloud, subnet, wanted="10.0.0.9") == "10.0.0.9"
    with pytest.raises(ValueError, match="InUse"):
        take(cloud, subnet, wanted="10.0.0.9")


def test_what_an_interface_had_is_free_again(cloud: Cloud, subnet: Subnet) -> None:
    take(cloud, subnet, "eni-1"), take(cloud, subnet, "eni-1"), take(cloud, subnet, "eni-2")
    with cloud.database.write() as db:
        addresses.release_private(db, "eni-1")
    left = cloud.look(lambda db: db.scalars(select(PrivateAddress.interface_id)).all())
    assert left == ["eni-2"]
    assert cloud.look(lambda db: db.get_one(Subnet, subnet.id).available_addresses) == USABLE - 1


def test_threads_that_take_at_once_are_never_given_the_same(cloud: Cloud, subnet: Subnet) -> None:
    given: list[str] = []

    def run() -> None:
        for _ in range(5):
            try:
                given.append(take(cloud, subnet))
            except (Exhausted, IntegrityError):
                # The key of the row: the request is begun again.
                continue

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == len(set(given)) <= USABLE


def test_the_public_pool_is_given_to_its_last_address(cloud: Cloud) -> None:
    pool = (IPv4Address("198.18.9.1"), IPv4Address("198.18.9.12"))
    settings = cloud.settings.model_copy(update={"external_pool": pool})
    given = set()
    with cloud.database.write() as db:
        for _ in range(12):
            address = addresses.free_public(db, settings)
            given.add(address)
            db.add(Address(id=Address.new_id(), **OWNER, number=int(IPv4Address(address)), public_ip=address))
            db.flush()
        with pytest.raises(Exhausted):
            addresses.free_public(db, settings)
    assert given == {f"198.18.9.{n}" for n in range(1, 13)}


def test_a_vlan_id_is_the_lowest_free_one(cloud: Cloud) -> None:
    settings = Settings(engine="kvm", data=cloud.settings.data, vlan_range=(100, 102))
    with cloud.database.write() as db:
        made = [make_vpc(db, settings, OWNER, f"10.{n}.0.0/16") for n in range(3)]
        assert [vpc.vlan for vpc in made] == [100, 101, 102]
        with pytest.raises(Exhausted):
            addresses.free_vlan(db, settings)
        db.get_one(Vpc, made[1].id).vlan = None
        db.flush()
        assert addresses.free_vlan(db, settings) == 101
        assert addresses.free_vlan(db, cloud.settings) is None, "a simulated network has no wire"
        overlay = settings.model_copy(update={"vpc_network": "overlay"})
        assert addresses.free_vlan(db, overlay) is None


def test_a_vlan_id_that_the_operator_chose_is_never_given_away(cloud: Cloud) -> None:
    settings = Settings(engine="kvm", data=cloud.settings.data, vlan_range=(100, 102))
    with cloud.database.write() as db:
        vpc = make_vpc(db, cloud.settings, OWNER, "10.0.0.0/16")
        for mapped, free in ((100, 101), (101, 100), (4000, 100)):
            vpc.vlan, vpc.vlan_is_mapped = mapped, True
            db.flush()
            assert addresses.free_vlan(db, settings) == free


def test_a_mac_address_is_a_local_unicast_one() -> None:
    made = {addresses.new_mac(0x12AB) for _ in range(100)}
    assert len(made) == 100 and all(re.fullmatch("06:12:ab(:[0-9a-f]{2}){3}", mac) for mac in made)
