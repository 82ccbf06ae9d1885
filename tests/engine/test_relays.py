"""What connects to an interface endpoint is carried on to a server of its service, and what the server says, back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from engine.endpoints import add_interface_service
from engine.relays.seats import relays_on
from engine.state import EndpointService
from tests.cloud import REGION, Cloud
from tests.engine.imds import HERE, Loopback, Running, eventually

HOST = f"simulated-{REGION}"
SERVICE = "com.example.echo"


def hear(connection: socket.socket) -> bytes:
    """Return all that the other side says."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def server(name: str) -> Iterator[str]:
    """A server that answers each connection, once the client has said all, with its name and what it heard."""
    listener = socket.create_server((HERE, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(name.encode() + b":" + hear(connection))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"{HERE}:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def make_endpoint(cloud: Cloud, servers: list[str], ports: list[int]) -> tuple[str, str]:
    """Return the ids of an endpoint and of its interface."""
    with cloud.database.write() as db:
        add_interface_service(db, REGION, SERVICE, servers, ports)
    chosen = [{"Name": "cidr-block", "Values": ["172.31.0.0/20"]}]
    (subnet,) = cloud.ec2.describe_subnets(Filters=chosen)["Subnets"]
    made = cloud.ec2.create_vpc_endpoint(
        VpcId=subnet["VpcId"], ServiceName=SERVICE, VpcEndpointType="Interface", SubnetIds=[subnet["SubnetId"]]
    )["VpcEndpoint"]
    cloud.settle()
    return str(made["VpcEndpointId"]), str(made["NetworkInterfaceIds"][0])


@pytest.fixture
def running(cloud: Cloud) -> Iterator[Running]:
    service = Running(cloud.settings, cloud.database, Loopback(), HOST)
    yield service
    service.stop()


def port_of(cloud: Cloud, running: Running, interface: str, port: int = 443) -> int:
    (card,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    return running.relays.port_of(interface, card["PrivateIpAddress"], "stream", port)


def say(port: int, words: bytes) -> bytes:
    with socket.create_connection((HERE, port), timeout=10) as connection:
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        return hear(connection)


def test_a_connection_is_carried_to_a_server_and_back(cloud: Cloud, running: Running) -> None:
    with server("one") as one:
        _, interface = make_endpoint(cloud, [one], [443, 8443])
        words = bytes(range(256)) * 8192
        assert say(port_of(cloud, running, interface), words) == b"one:" + words
        assert say(port_of(cloud, running, interface, 8443), b"") == b"one:"


def test_servers_take_turns_and_a_dead_one_is_passed_over(cloud: Cloud, running: Running) -> None:
    with closing(socket.create_server((HERE, 0))) as listener:
        dead = f"{HERE}:{listener.getsockname()[1]}"
    with server("one") as one, server("two") as two:
        _, interface = make_endpoint(cloud, [one, dead, two], [443])
        port = port_of(cloud, running, interface)
        assert {say(port, b"x") for _ in range(6)} == {b"one:x", b"two:x"}


def test_a_service_without_a_living_server_hangs_up(cloud: Cloud, running: Running) -> None:
    with closing(socket.create_server((HERE, 0))) as listener:
        dead = f"{HERE}:{listener.getsockname()[1]}"
    _, interface = make_endpoint(cloud, [dead], [443])
    with socket.create_connection((HERE, port_of(cloud, running, interface)), timeout=10) as connection:
        assert connection.recv(1) == b""


def test_new_connections_go_to_the_servers_that_there_are_now(cloud: Cloud, running: Running) -> None:
    with server("one") as one, server("two") as two:
        _, interface = make_endpoint(cloud, [one], [443])
        port = port_of(cloud, running, interface)
        assert say(port, b"") == b"one:"
        with cloud.database.write() as db:
            db.scalars(select(EndpointService).filter_by(name=SERVICE)).one().targets = [two]
        assert eventually(lambda: say(port, b"") == b"two:")


def test_a_relay_goes_with_its_endpoint(cloud: Cloud, running: Running) -> None:
    with server("one") as one:
        endpoint, interface = make_endpoint(cloud, [one], [443])
        port_of(cloud, running, interface)
        cloud.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
        cloud.settle()
        assert eventually(lambda: interface not in running.relays.namespaces)
        assert running.relays.open_places(interface) == set()


def test_a_relay_sits_where_its_interface_is_and_on_one_host_alone(cloud: Cloud) -> None:
    _, interface = make_endpoint(cloud, ["192.0.2.30:5000"], [443])
    (card,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]

    def on(host: str) -> dict[str, Any]:
        return cloud.look(lambda db: relays_on(db, {host}, 1442))

    seat = on(HOST)[interface].seat
    assert (seat.mac, seat.address, seat.mtu) == (card["MacAddress"], f"{card['PrivateIpAddress']}/20", 1442)
    assert seat.router == "172.31.0.1" and on("another host") == {}
