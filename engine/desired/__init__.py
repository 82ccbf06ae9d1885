"""What should be, in the drivers' words: the database's rows as networks, groups, ports and machines."""

from engine.desired.groups import group
from engine.desired.machines import cards, disk, disks, interfaces, machine, machine_uuid, place
from engine.desired.networks import network, resolver_address, resolvers
from engine.desired.ports import PLUGGED, port
from engine.desired.routes import LOCAL, ROUTE_STATE
from engine.names import domain_name

__all__ = [
    "LOCAL",
    "PLUGGED",
    "ROUTE_STATE",
    "cards",
    "disk",
    "disks",
    "domain_name",
    "group",
    "interfaces",
    "machine",
    "machine_uuid",
    "network",
    "place",
    "port",
    "resolver_address",
    "resolvers",
]
