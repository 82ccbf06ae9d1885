"""Stand-ins for guests and outsiders: network namespaces plugged into this host's bridges, and what they can send.

They are plugged in as guests are, only faster: an internal port of Open vSwitch that names a logical port.
"""

import ctypes
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from secrets import token_hex
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 10.0
"""Seconds in which what should pass must have passed."""
SILENCE = 0.6
"""Seconds after which what has not passed counts as dropped; on this wire a packet takes less than 10 ms."""
IP = 0x0800


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


def settle() -> None:
    """Wait until every flow that follows from the northbound database is in Open vSwitch."""
    run("ovn-nbctl", "--timeout=20", "--wait=hv", "sync")


def eventually(seek: Callable[[], Found], seconds: float = PATIENCE) -> Found:
    """Ask again until the answer is true or time is up; return the last answer."""
    deadline = time.monotonic() + seconds
    while not (found := seek()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@dataclass
class Lease:
    """What a DHCP server said: ``options`` by their number (RFC 2132)."""

    address: str
    options: dict[int, bytes]


@dataclass
class Host:
    """A namespace with one network card."""

    name: str
    device: str
    mac: str
    bridge: str
    _open: list[socket.socket] = field(default_factory=list)

    def inside(self, work: Callable[[], Found]) -> Found:
        """Run ``work`` on a thread that is in the namespace."""
        outcome: list[Found] = []
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                with open(f"/run/netns/{self.name}") as namespace:
                    assert ctypes.CDLL(None).setns(namespace.fileno(), 0x40000000) == 0
                outcome.append(work())
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return outcome[0]

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    def take(self, address: str, gateway: str = "") -> None:
        """Take an address with its prefix length, and a default route."""
        self.ip("address", "replace", address, "dev", self.device)
        if gateway:
            self.ip("route", "replace", "default", "via", gateway)

    def become(self, address: str, gateway: str) -> None:
        """Take an address in place of any other."""
        self.ip("address", "flush", "dev", self.device)
        self.take(address, gateway)

    def serve(self, port: int) -> None:
        """Answer every TCP connection with this host's name and the address it seems to come from."""

        def listen() -> socket.socket:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

        server = self._keep(self.inside(listen))

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, peer = server.accept()
                    with connection, suppress(OSError):
                        connection.sendall(f"{self.name} {peer[0].removeprefix('::ffff:')}".encode())

        threading.Thread(target=answer, daemon=True).start()

    def ask(self, address: str, port: int, seconds: float = SILENCE) -> list[str]:
        """Return the words of a server's answer; none when it cannot be reached in time."""

        def connect() -> list[str]:
            try:
                with socket.create_connection((address, port), timeout=seconds) as connection:
                    return connection.recv(1000).decode().split()
            except OSError:
                return []

        return self.inside(connect)

    def reaches(self, address: str, port: int) -> bool:
        """Say whether a TCP connection succeeds, now or soon."""
        return bool(eventually(lambda: self.ask(address, port)))

    def ping(self, address: str, seconds: float = SILENCE) -> bool:
        return self.inside(lambda: _ping(address, seconds))

    def packets(self) -> socket.socket:
        """Return a raw socket on the network card that sees and sends whole frames."""

        def make() -> socket.socket:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            raw.bind((self.device, 3))
            return raw

        return self._keep(self.inside(make))

    def send_datagram(self, to_mac: str, source: str, destination: str, text: bytes, from_mac: str = "") -> None:
        """Send a UDP datagram from and to port 4000 in a frame made by hand, so that anything can be claimed."""
        with self.packets() as raw:
            raw.send(_ethernet(to_mac, from_mac or self.mac) + _datagram(source, destination, 4000, 4000, text))

    def lease(self) -> Lease:
        """Ask for an address by DHCP, and take none."""
        with self.packets() as raw:
            offer = _dhcp(raw, self.mac, {53: b"\x01"})
            return _dhcp(raw, self.mac, {53: b"\x03", 50: IPv4Address(offer.address).packed, 54: offer.options[54]})

    def close(self) -> None:
        for each in self._open:
            # Wakes the thread that waits in accept().
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        run("ovs-vsctl", "--if-exists", "del-port", self.bridge, self.device)
        run("ip", "netns", "delete", self.name)

    def _keep(self, opened: socket.socket) -> socket.socket:
        self._open.append(opened)
        return opened


@contextmanager
def plugged(bridge: str, mac: str, iface_id: str = "", tag: int = 0) -> Iterator[Host]:
    """Plug a namespace into a bridge: as a logical port, or with ``tag`` as an access port of that VLAN."""
    word = token_hex(4)
    host = Host(f"wire-{word}", f"wire{word}", mac, bridge)
    port = ["add-port", bridge, host.device, *([f"tag={tag}"] if tag else [])]
    settings = ["type=internal", *([f"external_ids:iface-id={iface_id}"] if iface_id else [])]
    run("ip", "netns", "add", host.name)
    try:
        run("ovs-vsctl", *port, "--", "set", "Interface", host.device, *settings)
        run("ip", "link", "set", host.device, "netns", host.name)
        host.ip("link", "set", "lo", "up")
        host.ip("link", "set", host.device, "address", mac, "up")
        run("ip", "netns", "exec", host.name, "ethtool", "-K", host.device, "tx", "off")
        yield host
    finally:
        host.close()


def heard(listener: socket.socket, words: bytes, seconds: float = SILENCE) -> list[bytes]:
    """Return the frames with these words in them that arrive until time is up, or the first one."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        listener.settimeout(left)
        with suppress(TimeoutError):
            frame = listener.recv(4096)
            if words in frame:
                return [frame]
    return []


def source_of(frame: bytes) -> str:
    """Return the source address of an IPv4 packet in an untagged frame."""
    return str(IPv4Address(frame[26:30]))


def router_mac(host: Host, gateway: str) -> str:
    """Return the MAC address that a gateway answers with."""
    host.ping(gateway)
    return host.ip("neigh", "show", gateway).split("lladdr ")[1].split()[0]


# -- packets made by hand --------------------------------------------------------


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ping(address: str, seconds: float) -> bool:
    body = token_hex(8).encode()
    header = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    echo = struct.pack("!BBHHH", 8, 0, _checksum(header + body), 1, 1) + body
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(seconds)
        try:
            raw.sendto(echo, (address, 0))
            while True:
                packet, sender = raw.recvfrom(2000)
                if sender[0] == address and packet[20] == 0 and body in packet:
                    return True
        except OSError:
            return False


def _ethernet(to: str, source: str) -> bytes:
    return bytes.fromhex(to.replace(":", "") + source.replace(":", "")) + struct.pack("!H", IP)


def _datagram(source: str, destination: str, sport: int, dport: int, text: bytes) -> bytes:
    ends = IPv4Address(source).packed + IPv4Address(destination).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(text), 0, 0, 64, 17, 0)
    head = head[:10] + struct.pack("!H", _checksum(head + ends)) + ends
    return head + struct.pack("!HHHH", sport, dport, 8 + len(text), 0) + text


def _dhcp(raw: socket.socket, mac: str, options: dict[int, bytes]) -> Lease:
    """Send a DHCP message (RFC 2131) and return the answer; it is sent again until there is one."""
    transaction = os.urandom(4)
    asked = bytes([1, 3, 6, 15, 26, 51, 54, 121])
    hardware = bytes.fromhex(mac.replace(":", ""))
    body = struct.pack("!BBBB4sHH16x16s192xI", 1, 1, 6, 0, transaction, 0, 0x8000, hardware, 0x63825363)
    body += b"".join(bytes([n, len(value)]) + value for n, value in {**options, 55: asked}.items()) + b"\xff"
    frame = _ethernet("ff:ff:ff:ff:ff:ff", mac) + _datagram("0.0.0.0", "255.255.255.255", 68, 67, body)

    def exchange() -> list[bytes]:
        raw.send(frame)
        return heard(raw, b"\x02\x01\x06\x00" + transaction)

    (answer,) = eventually(exchange)
    reply = answer[42:]
    return Lease(str(IPv4Address(reply[16:20])), dict(_options(reply[240:])))


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data and data[0] != 255:
        if data[0] == 0:
            data = data[1:]
            continue
        yield data[0], data[2 : 2 + data[1]]
        data = data[2 + data[1] :]
