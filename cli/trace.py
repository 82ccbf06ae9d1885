"""``groundfog trace``: why a packet arrives, or does not."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.configuration import Data, deployed, open_existing
from cli.terminal import Failure, colour_of, say

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engine.deployment import Deployment
    from engine.drivers.packets import Hop, Packet
    from engine.reachability import Atlas, Journey
    from engine.state import NetworkInterface

Protocol = Literal["tcp", "udp", "icmp"]


def trace(
    instance: Annotated[str, typer.Argument(help="An instance, or one of its network interfaces.", metavar="INSTANCE")],
    destination: Annotated[
        str,
        typer.Argument(
            help="Where to: an address, an instance or an interface, and a port. IPv6 addresses go in brackets. With "
            "--from-outside: where from; nothing before the colon is anybody on the internet.",
            metavar="DEST:PORT",
        ),
    ],
    protocol: Annotated[Protocol, typer.Option(help="icmp is a ping, and needs no port.")] = "tcp",
    from_outside: Annotated[
        bool, typer.Option("--from-outside", help="From outside to the instance's public address.")
    ] = False,
    data: Data = None,
) -> None:
    """Say by which rules, routes and ACLs a packet and its answer pass, or which one stops them. Nothing is sent.

    Exit status 1 means that the packet, or the answer to it, does not arrive.

    Examples:

        sudo groundfog trace i-0123456789abcdef0 10.0.2.7:5432

        sudo groundfog trace i-0123456789abcdef0 i-0fedcba9876543210:443

        sudo groundfog trace i-0123456789abcdef0 203.0.113.7 --protocol icmp

        sudo groundfog trace i-0123456789abcdef0 :22 --from-outside
    """
    from engine.drivers.base import DriverError
    from engine.fleet import drivers_of
    from engine.reachability import travel
    from engine.reachability.rehearsal import tell

    deployment = open_existing(deployed(data))
    host, port = _split(destination, protocol)
    with deployment.database.read() as db:
        interface = _interface(db, instance)
        packet = _packet(db, interface, host, port, protocol, from_outside)
        region = interface.region
    network = drivers_of(deployment.settings, deployment.database)[region].network
    if deployment.settings.engine == "simulated":
        # The simulated network is in the worker's memory, so here is another, told the same.
        with deployment.database.read() as db:
            tell(network, db, deployment.settings)
    try:
        journey = travel(network, packet)
    except DriverError as error:
        raise Failure(f"cannot trace the packet: {error}; look whether it runs: groundfog status") from error
    _show(deployment, journey)
    if not journey.is_answered:
        raise typer.Exit(1)


def _split(destination: str, protocol: Protocol) -> tuple[str, int]:
    host, colon, port = destination.rpartition(":")
    if protocol == "icmp" and (not colon or "[" in destination):
        host, port = destination, "0"
    elif protocol == "icmp":
        host, port = (destination, "0") if ":" in host else (host or "", port or "0")
    elif not colon or not port.isdecimal() or int(port) > 65535:
        raise Failure(f"cannot trace to {destination}: it names no port; write it as {destination or 'ADDRESS'}:443")
    return host.strip("[]"), int(port)


def _interface(db: "Session", id: str) -> "NetworkInterface":
    """Return an interface, or an instance's first."""
    from sqlalchemy import or_, select

    from engine.state import NetworkInterface

    own = or_(NetworkInterface.id == id, NetworkInterface.instance_id == id)
    found = db.scalar(select(NetworkInterface).where(own).order_by(NetworkInterface.device_index))
    if found is None:
        raise Failure(f"cannot find {id}: it is no instance with an interface; see: aws ec2 describe-instances")
    return found


def _packet(
    db: "Session", interface: "NetworkInterface", host: str, port: int, protocol: Protocol, from_outside: bool
) -> "Packet":
    from engine.drivers.packets import Packet
    from engine.reachability.ends import ABROAD

    if from_outside:
        return Packet("", _public(db, interface), protocol, port, source=_address(db, host or ABROAD))
    return Packet(interface.id, _address(db, host), protocol, port)


def _address(db: "Session", host: str) -> str:
    """Return the address that is meant: one itself, or an instance's or interface's private one."""
    from ipaddress import ip_address

    if host.startswith(("i-", "eni-")):
        return _interface(db, host).private_ip
    try:
        return str(ip_address(host))
    except ValueError:
        raise Failure(
            f"cannot trace to {host or 'nowhere'}: it is no address; give one, or the id of an instance: i-...:443"
        ) from None


def _public(db: "Session", interface: "NetworkInterface") -> str:
    from sqlalchemy import select

    from engine.state import Address, Ipv6Address

    found = db.scalar(select(Address.public_ip).filter_by(interface_id=interface.id))
    found = found or db.scalar(select(Ipv6Address.address).filter_by(interface_id=interface.id))
    if found is None:
        raise Failure(
            f"cannot come from outside to {interface.id}: it has no public address; give it an Elastic IP: "
            "aws ec2 associate-address"
        )
    return found


# -- what it says ------------------------------------------------------------------


def _show(deployment: "Deployment", journey: "Journey") -> None:
    from engine.reachability import Atlas

    packet = journey.packet
    port = f" port {packet.destination_port}" if packet.protocol != "icmp" else ""
    say(f"{packet.protocol} from {journey.there[0].source} to {packet.destination}{port}")
    with deployment.database.read() as db:
        atlas = Atlas(db)
        _show_way(atlas, journey, journey.there, on_the_way_back=False)
        if journey.back:
            say("and the answer")
            _show_way(atlas, journey, journey.back, on_the_way_back=True)
    if journey.is_answered:
        say(colour_of("It arrives" + (", and so does the answer." if journey.back else "."), "green"))


def _show_way(atlas: "Atlas", journey: "Journey", hops: "tuple[Hop, ...]", on_the_way_back: bool) -> None:
    from engine.reachability.words import hint, sentence

    way = atlas.waypoints(hops)
    for waypoint in way:
        dropped = waypoint.hop.outcome == "dropped"
        say(f"  {colour_of('stops ', 'red') if dropped else colour_of('passes', 'green')}  {sentence(waypoint)}")
    if way[-1].hop.outcome == "dropped":
        say(colour_of("The answer does not arrive." if on_the_way_back else "It does not arrive.", "red"))
        if told := hint(way[-1], journey, on_the_way_back):
            say(f"To change that, {told}.")
