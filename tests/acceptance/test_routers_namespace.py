"""IPv6 on this host's own OVN as guests come to it: told of their router, they reach metadata, names and each other."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from engine.advertisements import advertiser
from engine.drivers.netns import MetadataListeners
from engine.state import Instance
from engine.state.database import Database
from settings import Settings
from tests.acceptance.served import HERE, populated
from tests.acceptance.test_packets_ipv6 import APP_6, HTTP, OUT, WEB_6, dual
from tests.acceptance.test_resolver_namespace import ask, name
from tests.acceptance.two_networks import APP, Guests, TwoNetworks
from tests.acceptance.wire import Host, eventually, heard, settle
from tests.engine.imds import Running
from tests.engine.test_advertisements import solicitation

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

RESOLVER_6, METADATA_6 = "fd00:ec2::253", "fd00:ec2::254"
ADVERTISEMENT = b"\x86\x00"


@pytest.fixture(scope="module")
def six(cloud: TwoNetworks, guests: Guests) -> Iterator[Guests]:
    """The guests with an address of IPv6 each, and nothing that leads anywhere."""
    network = dual(cloud, "uplink", "outbound")
    cloud.ovn.ensure_network(network)
    for group in (cloud.web, cloud.app):
        cloud.ovn.ensure_group(replace(group, rules=(*group.rules, HTTP, OUT)))
    for host, port, address in ((guests.web, cloud.web_port, WEB_6), (guests.app, cloud.app_port, APP_6)):
        cloud.ovn.ensure_port(replace(port, addresses=(*port.addresses, address)))
        host.ip("address", "replace", f"{address}/128", "dev", host.device, "nodad")
    settle()
    return guests


@pytest.fixture(scope="module")
def database(cloud: TwoNetworks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    networks = (dual(cloud, "uplink", "outbound"), cloud.twin_network)
    six = {"web": WEB_6, "app": APP_6}
    yield from populated(cloud, tmp_path_factory.mktemp("state") / "state.db", *networks, six=six)


@pytest.fixture(scope="module")
def listeners(cloud: TwoNetworks) -> MetadataListeners:
    return MetadataListeners("br-int", cloud.datapath, cloud.word)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advertiser, "_LOOK_SECONDS", 3600.0)


@pytest.fixture
def service(six: Guests, database: Database, listeners: MetadataListeners, tmp_path: Path) -> Iterator[None]:
    running = Running(Settings(data=tmp_path), database, listeners, HERE)
    try:
        assert eventually(lambda: ask(six.web, name(APP)))
        yield
    finally:
        running.stop()
        for id in listeners.list_namespaces():
            listeners.remove_namespace(id)


def own(host: Host) -> str:
    """Return the link-local address that follows from a host's MAC address, its only one on this wire."""
    a, b, c, d, e, f = bytes.fromhex(host.mac.replace(":", ""))
    return str(IPv6Address(f"fe80::{a ^ 2:02x}{b:02x}:{c:02x}ff:fe{d:02x}:{e:02x}{f:02x}"))


def told(listener: socket.socket) -> bytes:
    """Return the router advertisement that a host hears, or nothing."""
    frames = heard(listener, ADVERTISEMENT, 0.6)
    return frames[0] if frames and frames[0][54:56] == ADVERTISEMENT else b""


def solicit(host: Host, wiretap: socket.socket) -> bytes:
    wiretap.send(solicitation(mac=host.mac, source=own(host)))
    return told(wiretap)


@pytest.mark.usefixtures("quiet", "service")
def test_who_asks_for_routers_is_told_of_its_own_and_nobody_else_is(
    cloud: TwoNetworks, six: Guests, listeners: MetadataListeners
) -> None:
    first, second = dual(cloud, "uplink", "outbound").subnets
    with six.web.packets() as web, six.app.packets() as app, six.shut.packets() as shut:
        for host, wiretap, subnet in ((six.web, web, first), (six.app, app, second)):
            frame = eventually(lambda host=host, wiretap=wiretap: solicit(host, wiretap))
            router = listeners.router(subnet)
            assert (frame[:6].hex(":"), frame[6:12].hex(":")) == (host.mac, router.mac)
            assert str(IPv6Address(frame[22:38])) == router.address
            for other, listening in ((six.web, web), (six.app, app), (six.shut, shut)):
                # It may hear a late answer to what it asked itself.
                assert listening is wiretap or told(listening)[:6].hex(":") in ("", other.mac), "another heard it"


@pytest.mark.usefixtures("quiet", "service")
def test_what_guests_are_told_leads_everywhere(cloud: TwoNetworks, six: Guests, listeners: MetadataListeners) -> None:
    first, _ = dual(cloud, "uplink", "outbound").subnets
    router = listeners.router(first)
    for host in (six.web, six.app):
        with host.packets() as wiretap:
            assert eventually(lambda host=host, wiretap=wiretap: solicit(host, wiretap))
    routes = six.web.ip("-6", "route", "show")
    assert f"default via {router.address} dev {six.web.device}" in routes
    assert f"{first.cidr6} dev {six.web.device}" in routes
    assert not [
        line for line in six.web.ip("-6", "address", "show", "scope", "global").splitlines() if "dynamic" in line
    ]
    assert eventually(lambda: six.web.ask(APP_6, 80)) == [six.app.name, WEB_6]
    # What it learnt with the advertisement is forgotten: the router itself answers, too.
    six.web.ip("-6", "neigh", "flush", "dev", six.web.device)
    assert eventually(lambda: six.web.ask(APP_6, 80)) == [six.app.name, WEB_6]
    assert f"{router.address} lladdr {router.mac}" in six.web.ip("-6", "neigh", "show", "dev", six.web.device)


@pytest.mark.usefixtures("quiet", "service")
def test_names_are_told_by_ipv6(six: Guests) -> None:
    for guest in (six.web, six.app):
        with guest.packets() as wiretap:
            assert eventually(lambda guest=guest, wiretap=wiretap: solicit(guest, wiretap))
        for how in ("udp", "tcp"):
            assert eventually(lambda guest=guest, how=how: ask(guest, name(APP), RESOLVER_6, how=how)) == [APP]


@pytest.mark.usefixtures("quiet", "service")
def test_metadata_is_told_by_ipv6_where_an_instance_allows_it(six: Guests, database: Database) -> None:
    with six.app.packets() as wiretap:
        assert eventually(lambda: solicit(six.app, wiretap))
    assert eventually(lambda: metadata(six.app, "instance-id")).startswith("403")
    with database.write() as db:
        db.get_one(Instance, "i-app").http_ipv6 = "enabled"
    assert metadata(six.app, "instance-id") == "200 i-app"
    assert metadata(six.app, "local-ipv4") == f"200 {APP}"


def metadata(guest: Host, path: str) -> str:
    """Return the status and the words of an answer, or nothing."""
    command = ("ip", "netns", "exec", guest.name, "curl", "--silent", "--max-time", "2", "--globoff", "--write-out",
               "%{stderr}%{http_code}", f"http://[{METADATA_6}]/latest/meta-data/{path}")  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return f"{done.stderr} {done.stdout}" if done.returncode == 0 else ""


def test_guests_are_told_unasked(
    six: Guests, database: Database, listeners: MetadataListeners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advertiser, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(advertiser, "_FIRST_SECONDS", 0.4)
    with six.web.packets() as web, six.shut.packets() as shut:
        running = Running(Settings(data=tmp_path), database, listeners, HERE)
        try:
            assert eventually(lambda: told(web))[:6].hex(":") == six.web.mac
            assert not told(shut), "it has no IPv6"
        finally:
            running.stop()
            for id in listeners.list_namespaces():
                listeners.remove_namespace(id)
