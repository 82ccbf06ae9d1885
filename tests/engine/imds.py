"""A metadata service on loopback: each VPC is a port of 127.0.0.1, and guests have addresses of 127.0.0.0/8."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from engine.drivers.networking import Router, Subnet
from engine.metadata.service import serve
from engine.state import Instance, NetworkInterface, PrivateAddress
from engine.state.database import Database
from tests.cloud import IMAGE, Cloud

HERE, METADATA = "127.0.0.1", "169.254.169.254"
TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Accepting(socket.socket):
    """A listening socket that, with ``keep``, keeps a second hold on what it accepted."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.keep = False
        self.accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        connection, peer = super().accept()
        if self.keep:
            self.accepted.append(connection.dup())
        return connection, peer


class Loopback:
    """Listeners (see ``engine.metadata.doors``) without namespaces. ``broken`` VPCs cannot be served.

    ``sockets`` are those of metadata, by VPC; ``places`` all, by VPC, address, port and kind: each has its own port.
    """

    def __init__(self) -> None:
        self.namespaces: set[str] = set()
        self.broken: set[str] = set()
        self.sockets: dict[str, Accepting] = {}
        self.places: dict[tuple[str, str, int, str], socket.socket] = {}
        self.addresses: dict[str, set[str]] = {}
        self.ensured: list[str] = []
        self.wires: dict[str, socket.socket] = {}

    def ensure_namespace(self, network_id: str, addresses: Collection[str]) -> str:
        self.ensured.append(network_id)
        if network_id in self.broken:
            raise RuntimeError("no such luck")
        self.namespaces.add(network_id)
        self.addresses[network_id] = set(addresses)
        return network_id

    def listen(self, network_id: str, address: str, port: int, kind: str) -> socket.socket:
        listener: socket.socket
        if kind == "frames":
            # Its other end is the wire: what is sent by it is heard there, and the other way round.
            listener, self.wires[network_id] = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.places[network_id, address, port, kind] = listener
            return listener
        assert address in self.addresses[network_id]
        listener = Accepting() if kind == "stream" else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((HERE, 0))
        if isinstance(listener, Accepting):
            listener.listen()
            if (address, port) == (METADATA, 80):
                self.sockets[network_id] = listener
        self.places[network_id, address, port, kind] = listener
        return listener

    def remove_namespace(self, network_id: str) -> None:
        self.namespaces.discard(network_id)
        self.sockets.pop(network_id, None)

    def list_namespaces(self) -> set[str]:
        return set(self.namespaces)

    def router(self, subnet: Subnet) -> Router:
        return Router("f2:00:01:00:00:01", "fe80::f000:1ff:fe00:1")

    def port(self, vpc_id: str) -> int:
        assert eventually(lambda: vpc_id in self.sockets), f"{vpc_id} is not listened to"
        return int(self.sockets[vpc_id].getsockname()[1])

    def port_of(self, vpc_id: str, address: str, kind: str, port: int = 53) -> int:
        place = (vpc_id, address, port, kind)
        assert eventually(lambda: place in self.places), f"{place} is not listened at"
        return int(self.places[place].getsockname()[1])

    def open_places(self, vpc_id: str) -> set[tuple[str, int, str]]:
        """Return where a VPC's guests are listened to at this moment."""
        return {place[1:] for place, each in self.places.items() if place[0] == vpc_id and each.fileno() >= 0}


class Running:
    """The service on a thread of its own, until ``stop``."""

    def __init__(self, settings: Any, database: Database, listeners: Any, host: str) -> None:
        self.listeners = listeners
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.relays = Loopback()
        work = serve(settings, database, listeners, lambda _seats: self.relays, self._stop, {host})
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(work,))
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def ask(self, vpc_id: str, path: str, method: str = "GET", guest: str = HERE, **headers: str) -> Reply:
        """Ask as a guest with this address in that VPC."""
        connection = http.client.HTTPConnection(HERE, self.listeners.port(vpc_id), timeout=5, source_address=(guest, 0))
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def get(self, vpc_id: str, path: str, guest: str = HERE) -> str:
        """Return the text at a path of ``latest``, which must be there."""
        reply = self.ask(vpc_id, f"/latest/{path}", guest=guest)
        assert reply.status == 200, (path, reply)
        return reply.text


def eventually(seek: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Ask again until the answer is true or time is up; return the last answer."""
    deadline = time.monotonic() + seconds
    while not (found := seek()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def run_instance(cloud: Cloud, address: str = "", **parameters: Any) -> dict[str, Any]:
    """Launch an instance, move it to an address, and return its description."""
    given = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, **parameters}
    id = cloud.ec2.run_instances(**given)["Instances"][0]["InstanceId"]
    cloud.settle()
    if address:
        move(cloud.database, id, address)
    return describe(cloud, id)


def describe(cloud: Cloud, id: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
    return found


def move(database: Database, instance_id: str, address: str) -> None:
    """Make an address that of an instance's first interface."""
    with database.write() as db:
        card = db.query(NetworkInterface).filter_by(instance_id=instance_id, device_index=0).one()
        card.private_ip = address
        mine = PrivateAddress.interface_id == card.id
        db.execute(update(PrivateAddress).where(mine, PrivateAddress.is_primary).values(address=address))
        db.execute(update(Instance).where(Instance.id == instance_id).values(private_ip=address))
