"""Metadata on this host's own OVN: guests of two subnets, and of two VPCs with the same addresses, ask who they are."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from socket import socket

import pytest

from engine.drivers.base import port_uuid
from engine.drivers.netns import MetadataListeners
from engine.state import Instance
from engine.state.database import Database
from settings import Settings
from tests.acceptance.served import HERE, populated, ports
from tests.acceptance.two_networks import APP, WEB, TwoNetworks
from tests.acceptance.wire import Host, eventually, plugged, run, settle
from tests.engine.imds import Running

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("prepared_host")]

SERVER = "169.254.169.254"


@pytest.fixture(scope="module")
def guests(cloud: TwoNetworks) -> Iterator[dict[str, Host]]:
    """Guests with the route to the metadata service that DHCP gives them."""
    guests = {}
    with ExitStack() as stack:
        for name, port in ports(cloud).items():
            host = stack.enter_context(plugged("br-int", port.mac, port_uuid(port.id)))
            host.take(f"{port.addresses[0]}/24", port.addresses[0].rsplit(".", 1)[0] + ".1")
            host.ip("route", "replace", f"{SERVER}/32", "dev", host.device, "scope", "link")
            guests[name] = host
        for port in ports(cloud).values():
            assert eventually(lambda port=port: cloud.ovn.port_is_up(port.id))
        settle()
        yield guests


@pytest.fixture(scope="module")
def database(cloud: TwoNetworks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An instance for each guest."""
    yield from populated(cloud, tmp_path_factory.mktemp("state") / "state.db")


@pytest.fixture
def service(
    cloud: TwoNetworks, guests: dict[str, Host], database: Database, tmp_path: Path
) -> Iterator[MetadataListeners]:
    listeners = MetadataListeners("br-int", cloud.datapath, cloud.word)
    running = Running(Settings(data=tmp_path), database, listeners, HERE)
    try:
        assert eventually(lambda: ask(guests["web"]) and ask(guests["twin"]))
        yield listeners
    finally:
        running.stop()
        for id in listeners.list_namespaces():
            listeners.remove_namespace(id)


def ask(guest: Host, path: str = "meta-data/instance-id", *options: str) -> str:
    """Ask with curl, as scripts do; return nothing when there is no answer."""
    command = ("ip", "netns", "exec", guest.name, "curl", "--silent", "--fail", "--max-time", "2")
    done = subprocess.run([*command, *options, f"http://{SERVER}/latest/{path}"], capture_output=True, check=False)
    return done.stdout.decode()


def test_each_guest_is_told_who_it_is(service: MetadataListeners, guests: dict[str, Host]) -> None:
    assert {name: ask(guest) for name, guest in guests.items()} == {"web": "i-web", "app": "i-app", "twin": "i-twin"}
    assert [ask(guests[name], "meta-data/local-ipv4") for name in ("web", "app", "twin")] == [WEB, APP, WEB]


def test_a_guest_can_work_with_a_token(service: MetadataListeners, guests: dict[str, Host]) -> None:
    token = ask(guests["app"], "api/token", "-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60")
    header = ("-H", f"X-aws-ec2-metadata-token: {token}")
    assert ask(guests["app"], "meta-data/instance-id", *header) == "i-app"
    assert not ask(guests["web"], "meta-data/instance-id", *header)


def test_a_token_gets_no_further_than_the_guest(service: MetadataListeners, guests: dict[str, Host]) -> None:
    """Its packets would not survive the next router, such as a guest that forwards for containers."""
    guest = guests["app"]
    with guest.packets() as wiretap:
        assert ask(guest, "api/token", "-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60")
        assert _lives(wiretap, b"HTTP/1.1 200") == {1}
        assert ask(guest)
        assert 1 not in _lives(wiretap, b"HTTP/1.1 200")


def _lives(wiretap: socket, words: bytes) -> set[int]:
    """Return the TTLs of the packets with these words that came from the service."""
    wiretap.settimeout(0.2)
    found = set()
    with suppress(TimeoutError):
        while True:
            frame = wiretap.recv(4096)
            if words in frame and frame[26:30] == IPv4Address(SERVER).packed:
                found.add(frame[22])
    return found


def test_after_a_kill_the_next_process_takes_over(
    cloud: TwoNetworks, guests: dict[str, Host], database: Database, tmp_path: Path
) -> None:
    listeners = MetadataListeners("br-int", cloud.datapath, cloud.word)
    # What a killed process leaves: a whole namespace, and one without its device.
    listeners.ensure_namespace(cloud.network.id)
    run("ip", "netns", "add", f"gf-{cloud.word}.{cloud.twin_network.id}")
    running = Running(Settings(data=tmp_path), database, listeners, HERE)
    try:
        assert eventually(lambda: ask(guests["web"]) == "i-web" and ask(guests["twin"]) == "i-twin")
    finally:
        running.stop()
        for id in listeners.list_namespaces():
            listeners.remove_namespace(id)


def test_the_last_guest_closes_the_door(service: MetadataListeners, cloud: TwoNetworks, database: Database) -> None:
    def switch(state: str) -> None:
        with database.write() as db:
            db.get_one(Instance, "i-twin").state = state

    switch("stopped")
    assert eventually(lambda: service.list_namespaces() == {cloud.network.id})
    switch("pending")
    assert eventually(lambda: service.list_namespaces() == {cloud.network.id, cloud.twin_network.id})
