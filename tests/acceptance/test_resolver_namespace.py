"""Names on this host's own OVN: guests of two subnets, and of two VPCs with the same addresses, ask at each address."""

import socket
from collections.abc import Iterator
from functools import partial

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from engine.drivers.netns import MetadataListeners
from engine.state import Vpc
from engine.state.database import Database
from settings import Settings
from tests.acceptance.served import HERE, populated
from tests.acceptance.two_networks import APP, RESOLVER, WEB, Guests, TwoNetworks
from tests.acceptance.wire import Host, eventually
from tests.engine.dns import OUTSIDE, Fake, knows, texts, truncated
from tests.engine.imds import Running

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

WELL_KNOWN = "169.254.169.253"


@pytest.fixture(scope="module")
def database(cloud: TwoNetworks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    yield from populated(cloud, tmp_path_factory.mktemp("state") / "state.db")


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def service(
    cloud: TwoNetworks, guests: Guests, database: Database, fake: Fake, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MetadataListeners]:
    listeners = MetadataListeners("br-int", cloud.datapath, cloud.word)
    settings = Settings(data=tmp_path_factory.mktemp("data"), guest_dns=f"127.0.0.1:{fake.port}")
    running = Running(settings, database, listeners, HERE)
    try:
        assert eventually(lambda: ask(guests.web, name(WEB)) and ask(guests.twin, name(WEB)))
        yield listeners
    finally:
        running.stop()
        for id in listeners.list_namespaces():
            listeners.remove_namespace(id)


def name(address: str) -> str:
    return f"ip-{address.replace('.', '-')}.ec2.internal"


def ask(guest: Host, name: str, server: str = WELL_KNOWN, kind: str = "A", how: str = "udp") -> list[str]:
    """Return what a guest is told of a name, or nothing; a name that is not there has none."""

    def work() -> list[str]:
        query = dns.message.make_query(name, kind)
        try:
            reply = (dns.query.udp if how == "udp" else dns.query.tcp)(query, server, timeout=1.5)
        except (OSError, EOFError, dns.exception.DNSException):
            return []
        return texts(reply) or [dns.rcode.to_text(reply.rcode())]

    return guest.inside(work)


@pytest.mark.parametrize("how", ["udp", "tcp"])
@pytest.mark.parametrize("server", [WELL_KNOWN, RESOLVER])
def test_guests_of_every_subnet_ask_at_every_address(
    service: MetadataListeners, guests: Guests, server: str, how: str
) -> None:
    for guest in (guests.web, guests.app):
        back = f"{'.'.join(reversed(APP.split('.')))}.in-addr.arpa"
        known = {(name(APP), "A"): APP, (name(WEB), "A"): WEB, (back, "PTR"): f"{name(APP)}."}
        for (asked, kind), answer in (known | {("www.example.com", "A"): OUTSIDE}).items():
            told = partial(ask, guest, asked, server, kind, how)
            assert eventually(told) == [answer]


def test_a_twin_with_the_same_addresses_has_names_of_its_own(service: MetadataListeners, guests: Guests) -> None:
    assert ask(guests.twin, name(WEB)) == [WEB]
    assert ask(guests.twin, name(APP)) == ["NXDOMAIN"]


def test_a_guest_that_believes_to_be_on_link_is_answered_too(service: MetadataListeners, guests: Guests) -> None:
    for server in (WELL_KNOWN, RESOLVER):
        guests.web.ip("route", "replace", f"{server}/32", "dev", guests.web.device, "scope", "link")
        try:
            assert ask(guests.web, name(APP), server) == [APP]
        finally:
            guests.web.ip("route", "delete", f"{server}/32")


def test_a_long_answer_comes_whole(service: MetadataListeners, guests: Guests, fake: Fake) -> None:
    many = [f"192.0.2.{n}" for n in range(250)]
    before = fake.say
    fake.say = lambda query, how: knows(query, *many) if how == "tcp" else truncated(query)
    try:
        assert sorted(ask(guests.app, "many.example.com", how="tcp")) == sorted(many)
    finally:
        fake.say = before


def test_without_dns_support_nobody_answers_at_any_address(
    service: MetadataListeners, cloud: TwoNetworks, guests: Guests, database: Database
) -> None:
    def switch(on: bool) -> None:
        with database.write() as db:
            db.get_one(Vpc, cloud.network.id).dns_support = on

    assert ask(guests.web, name(WEB), RESOLVER) == [WEB]
    switch(False)
    assert eventually(lambda: not ask(guests.web, name(WEB)))
    for server in (WELL_KNOWN, RESOLVER):
        for how in ("udp", "tcp"):
            assert silent(guests.web, server, how)
    assert ask(guests.twin, name(WEB)) == [WEB]
    switch(True)
    assert eventually(lambda: ask(guests.web, name(WEB), RESOLVER)) == [WEB]


def silent(guest: Host, server: str, how: str) -> bool:
    """Say whether not even a refusal comes from an address."""

    def work() -> bool:
        kind = socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as tried:
            tried.settimeout(0.6)
            try:
                tried.connect((server, 53))
                tried.send(dns.message.make_query("example.com", "A").to_wire())
                tried.recv(512)
            except TimeoutError:
                return True
            except OSError:
                return False
        return False

    return guest.inside(work)
