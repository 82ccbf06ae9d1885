"""Tables: what the cloud's owner asked for, and how far we got. One file per resource."""

from engine.state.account import AccessKey, Account, AccountSettings
from engine.state.address import Address, AddressTransfer
from engine.state.base import RESOURCES, Base, Resource, now, timestamp
from engine.state.egress_gateway import EgressGateway
from engine.state.endpoint import Endpoint, EndpointGroup, EndpointService
from engine.state.export_task import ExportDisk, ExportImageTask, ExportInstanceTask, ExportTask, StoreImageTask
from engine.state.flow_log import FlowLog
from engine.state.image import FAMILY, Image, ImageBlockDevice, LaunchPermission, boots_from_uefi, family_of
from engine.state.import_task import ImportDisk, ImportImageTask, ImportSnapshotTask, ImportTask, RestoreImageTask
from engine.state.instance import ConsoleOutput, Instance
from engine.state.internet_gateway import InternetGateway
from engine.state.json_rows import json_rows
from engine.state.key_pair import KeyPair
from engine.state.nat_gateway import NatGateway, NatGatewayAddress
from engine.state.network_acl import NetworkAcl, NetworkAclAssociation, NetworkAclEntry
from engine.state.network_interface import InterfaceGroup, InterfacePermission, NetworkInterface
from engine.state.peering import Peering
from engine.state.prefix_list import PrefixList, PrefixListEntry
from engine.state.reachability import InsightsAnalysis, InsightsPath
from engine.state.region import Host, Region, Zone
from engine.state.root_replacement import RootReplacement
from engine.state.route_table import Route, RouteTable, RouteTableAssociation
from engine.state.security_group import SecurityGroup, SecurityGroupRule
from engine.state.snapshot import Snapshot, SnapshotDraft, SnapshotLock, SnapshotPermission
from engine.state.subnet import CidrReservation, InterfacePrefix, Ipv6Address, PrivateAddress, Subnet, SubnetCidrBlock
from engine.state.tag import Tag
from engine.state.task import Replay, Task
from engine.state.volume import LEAVING, Volume, VolumeAttachment, VolumeModification
from engine.state.vpc import DhcpOptions, Vpc, VpcCidrBlock

__all__ = [
    "FAMILY",
    "LEAVING",
    "RESOURCES",
    "AccessKey",
    "Account",
    "AccountSettings",
    "Address",
    "AddressTransfer",
    "Base",
    "CidrReservation",
    "ConsoleOutput",
    "DhcpOptions",
    "EgressGateway",
    "Endpoint",
    "EndpointGroup",
    "EndpointService",
    "ExportDisk",
    "ExportImageTask",
    "ExportInstanceTask",
    "ExportTask",
    "FlowLog",
    "Host",
    "Image",
    "ImageBlockDevice",
    "ImportDisk",
    "ImportImageTask",
    "ImportSnapshotTask",
    "ImportTask",
    "InsightsAnalysis",
    "InsightsPath",
    "Instance",
    "InterfaceGroup",
    "InterfacePermission",
    "InterfacePrefix",
    "InternetGateway",
    "Ipv6Address",
    "KeyPair",
    "LaunchPermission",
    "NatGateway",
    "NatGatewayAddress",
    "NetworkAcl",
    "NetworkAclAssociation",
    "NetworkAclEntry",
    "NetworkInterface",
    "Peering",
    "PrefixList",
    "PrefixListEntry",
    "PrivateAddress",
    "Region",
    "Replay",
    "Resource",
    "RestoreImageTask",
    "RootReplacement",
    "Route",
    "RouteTable",
    "RouteTableAssociation",
    "SecurityGroup",
    "SecurityGroupRule",
    "Snapshot",
    "SnapshotDraft",
    "SnapshotLock",
    "SnapshotPermission",
    "StoreImageTask",
    "Subnet",
    "SubnetCidrBlock",
    "Tag",
    "Task",
    "Volume",
    "VolumeAttachment",
    "VolumeModification",
    "Vpc",
    "VpcCidrBlock",
    "Zone",
    "boots_from_uefi",
    "family_of",
    "json_rows",
    "now",
    "timestamp",
]
