"""Tables: what the cloud's owner asked for, and how far we got. One file per resource."""

from engine.state.account import AccessKey, Account
from engine.state.address import Address
from engine.state.base import RESOURCES, Base, Resource, now, timestamp
from engine.state.image import Image, ImageBlockDevice, LaunchPermission
from engine.state.instance import ConsoleOutput, Instance
from engine.state.internet_gateway import InternetGateway
from engine.state.json_rows import json_rows
from engine.state.key_pair import KeyPair
from engine.state.network_acl import NetworkAcl, NetworkAclAssociation, NetworkAclEntry
from engine.state.network_interface import InterfaceGroup, NetworkInterface
from engine.state.region import Host, Region, Zone
from engine.state.route_table import Route, RouteTable, RouteTableAssociation
from engine.state.security_group import SecurityGroup, SecurityGroupRule
from engine.state.subnet import PrivateAddress, Subnet
from engine.state.tag import Tag
from engine.state.task import Replay, Task
from engine.state.volume import Snapshot, Volume, VolumeAttachment
from engine.state.vpc import DhcpOptions, Vpc, VpcCidrBlock

__all__ = [
    "RESOURCES",
    "AccessKey",
    "Account",
    "Address",
    "Base",
    "ConsoleOutput",
    "DhcpOptions",
    "Host",
    "Image",
    "ImageBlockDevice",
    "Instance",
    "InterfaceGroup",
    "InternetGateway",
    "KeyPair",
    "LaunchPermission",
    "NetworkAcl",
    "NetworkAclAssociation",
    "NetworkAclEntry",
    "NetworkInterface",
    "PrivateAddress",
    "Region",
    "Replay",
    "Resource",
    "Route",
    "RouteTable",
    "RouteTableAssociation",
    "SecurityGroup",
    "SecurityGroupRule",
    "Snapshot",
    "Subnet",
    "Tag",
    "Task",
    "Volume",
    "VolumeAttachment",
    "Vpc",
    "VpcCidrBlock",
    "Zone",
    "json_rows",
    "now",
    "timestamp",
]
