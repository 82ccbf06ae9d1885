"""RunInstances: every row that an instance is made of, and the task that boots it, in one transaction."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from engine import tasks
from engine.default_vpc import new_id
from engine.interface_addresses import count
from engine.placement import NoCapacity, claim
from engine.state import Instance, KeyPair, Zone, now
from engine.state.prepared import put
from translators import launch_disks, tags
from translators.catalogue import InstanceType, find_type
from translators.describe import rows_of
from translators.errors import Ec2Error, combination, invalid, refuse, unsupported
from translators.image_families import resolve
from translators.images import block_devices, find_image
from translators.instance_listing import INSTANCES
from translators.interface_addresses import check_limit
from translators.launch_network import Card, cards, plug
from translators.metadata_options import checked_options
from translators.registry import Call, Result, action
from translators.stores import check_store, fitting_zone

_MOST = 1000
_USER_DATA_LIMIT = 16384
"""Bytes of user data before base64: "Work with instance user data"."""


@dataclass(frozen=True)
class _Plan:
    """What each instance of a launch is made of."""

    image: Any
    kind: InstanceType
    cards: list[Card]
    devices: list[launch_disks.Device]
    attributes: dict[str, Any]
    vcpus: int


@action
def run_instances(
    call: Call,
    *,
    min_count: int,
    max_count: int,
    image_id: str | None = None,
    instance_type: str = "m1.small",
    key_name: str | None = None,
    security_group_ids: list[str] | None = None,
    security_groups: list[str] | None = None,
    subnet_id: str | None = None,
    private_ip_address: str | None = None,
    ipv6_address_count: int | None = None,
    ipv6_addresses: list[dict[str, Any]] | None = None,
    enable_primary_ipv6: bool = False,
    network_interfaces: list[dict[str, Any]] | None = None,
    block_device_mappings: list[dict[str, Any]] | None = None,
    placement: dict[str, Any] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
    user_data: str | None = None,
    cpu_options: dict[str, Any] | None = None,
    credit_specification: dict[str, Any] | None = None,
    metadata_options: dict[str, Any] | None = None,
    private_dns_name_options: dict[str, Any] | None = None,
    disable_api_termination: bool = False,
    disable_api_stop: bool = False,
    instance_initiated_shutdown_behavior: str = "stop",
    monitoring: dict[str, Any] | None = None,
    ebs_optimized: bool = False,
    maintenance_options: dict[str, Any] | None = None,
    capacity_reservation_specification: dict[str, Any] | None = None,
    hibernation_options: dict[str, Any] | None = None,
    enclave_options: dict[str, Any] | None = None,
) -> Result:
    _check_counts(min_count, max_count)
    _refuse_unless(capacity_reservation_specification, "CapacityReservationSpecification", "open")
    _refuse_unless(hibernation_options, "HibernationOptions", False)
    _refuse_unless(enclave_options, "EnclaveOptions", False)
    if not image_id:
        raise Ec2Error("MissingParameter", "The request must contain the parameter ImageId")
    image, kind = find_image(call, resolve(call, image_id)), find_type(call, instance_type)
    disks = launch_disks.devices(call, block_devices(call, image), image.root_device_name, block_device_mappings)
    zone = _zone(call, placement)
    if not (zone or subnet_id or network_interfaces):
        zone = fitting_zone(call, launch_disks.sources(disks), launch_disks.any_encrypted(disks))
    addresses = {
        "PrivateIpAddress": private_ip_address,
        "Ipv6AddressCount": ipv6_address_count,
        "Ipv6Addresses": ipv6_addresses,
        "PrimaryIpv6": enable_primary_ipv6,
    }
    plugged = cards(call, network_interfaces, subnet_id, zone, security_group_ids, security_groups, addresses)
    if max_count > 1 and any(card.is_fixed for card in plugged):
        raise combination("A fixed address or an existing network interface can be given to one instance only.")
    _check_limits(call, kind, plugged)
    vcpus, threads = _cpu(kind, cpu_options)
    attributes = {
        **_key(call, key_name),
        **checked_options(metadata_options or {}),
        **_dns(plugged[0].subnet, private_dns_name_options),
        "user_data": checked_user_data(user_data),
        "threads_per_core": threads,
        "cpu_credits": _credits(kind, credit_specification),
        "disable_api_termination": disable_api_termination,
        "disable_api_stop": disable_api_stop,
        "shutdown_behavior": instance_initiated_shutdown_behavior,
        "monitoring": bool((monitoring or {}).get("Enabled")),
        "ebs_optimized": ebs_optimized,
        "auto_recovery": (maintenance_options or {}).get("AutoRecovery", "default"),
    }
    check_store(call, plugged[0].subnet.zone, launch_disks.sources(disks), launch_disks.any_encrypted(disks))
    plan = _Plan(image, kind, plugged, disks, attributes, vcpus)
    reservation = new_id("r")
    hosts = _hosts(call, plan, min_count, max_count)
    launch_disks.check_limits(call, kind, len(plugged), disks, len(hosts))
    launched = [_launch(call, plan, reservation, number, host) for number, host in enumerate(hosts)]
    _tag(call, tag_specifications, launched)
    instances = rows_of(call, INSTANCES, [instance for instance, _, _ in launched])
    return {"ReservationId": reservation, "OwnerId": call.account, "Groups": [], "Instances": instances}


def _check_limits(call: Call, kind: InstanceType, plugged: Sequence[Card]) -> None:
    """Refuse more interfaces than the type has, and more addresses on one of them."""
    if len(plugged) > kind.max_interfaces:
        refuse("AttachmentLimitExceeded", f"{kind.name} has at most {kind.max_interfaces} network interfaces.")
    for card in plugged:
        held = count(call.db, card.interface.id) if card.interface else (1, 0)
        check_limit(card.extras, kind.addresses_per_interface, held)


def _check_counts(least: int, most: int) -> None:
    if least < 1 or most < 1:
        raise invalid("minCount", least, "It must be at least 1.")
    if least > most:
        raise invalid("minCount", least, "It must not be greater than maxCount.")
    if most > _MOST:
        refuse("InstanceLimitExceeded", f"More than {_MOST} instances cannot be launched by one request.")


def _refuse_unless(given: Mapping[str, Any] | None, name: str, only: object) -> None:
    for key, value in (given or {}).items():
        if value not in (only, None):
            raise unsupported(f"{name}.{key}")


def _zone(call: Call, given: Mapping[str, Any] | None) -> str | None:
    """Return the zone that is asked for; refuse placements that are not made true here."""
    for name, value in (given or {}).items():
        default = "default" if name == "Tenancy" else ""
        if name not in ("AvailabilityZone", "AvailabilityZoneId") and value not in (None, "", default):
            raise unsupported(f"Placement.{name}")
    zone_id = (given or {}).get("AvailabilityZoneId")
    if zone_id:
        zone = call.db.scalar(select(Zone.name).where(Zone.zone_id == zone_id, Zone.region == call.region))
        return zone or refuse("InvalidParameterValue", f"The zone '{zone_id}' does not exist.")
    return (given or {}).get("AvailabilityZone")


def _cpu(kind: InstanceType, options: Mapping[str, Any] | None) -> tuple[int, int]:
    """Return how many vCPUs, and threads of each core, the guest gets."""
    if not options:
        return kind.vcpus, kind.threads_per_core
    if set(options) - {"CoreCount", "ThreadsPerCore"}:
        raise unsupported("CpuOptions")
    if len(options) != 2:
        raise Ec2Error("MissingParameter", "CpuOptions must have both CoreCount and ThreadsPerCore")
    cores, threads = options["CoreCount"], options["ThreadsPerCore"]
    if not 1 <= cores <= kind.cores or not 1 <= threads <= kind.threads_per_core:
        raise invalid("cpuOptions", f"{cores} x {threads}", f"The instance type {kind.name} does not offer that.")
    return cores * threads, threads


def _credits(kind: InstanceType, given: Mapping[str, Any] | None) -> str:
    if not given:
        return kind.credits
    if not kind.credits:
        raise Ec2Error("InvalidParameterCombination", f"The instance type {kind.name} does not support CPU credits.")
    if given.get("CpuCredits") not in ("standard", "unlimited"):
        raise invalid("cpuCredits", given.get("CpuCredits"), "Expecting standard or unlimited.")
    return str(given["CpuCredits"])


def _key(call: Call, name: str | None) -> dict[str, str]:
    if not name:
        return {}
    found = call.db.scalar(select(KeyPair.public_key).filter_by(**call.owner, name=name))
    if found is None:
        refuse("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
    return {"key_name": name, "public_key": found}


def _dns(subnet: Any, given: Mapping[str, Any] | None) -> dict[str, Any]:
    given = given or {}
    return {
        "hostname_type": given.get("HostnameType", subnet.hostname_type),
        "dns_a_record": given.get("EnableResourceNameDnsARecord", subnet.dns_a_record),
        "dns_aaaa_record": given.get("EnableResourceNameDnsAAAARecord", subnet.dns_aaaa_record),
    }


def checked_user_data(text: str | None) -> str:
    """Return base64 user data as it was sent; what clients read back is what they sent."""
    if not text:
        return ""
    try:
        raw = base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        refuse("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
    if len(raw) > _USER_DATA_LIMIT:
        raise Ec2Error("InvalidParameterValue", f"User data is limited to {_USER_DATA_LIMIT} bytes")
    return text


def _hosts(call: Call, plan: _Plan, least: int, most: int) -> list[str]:
    """Claim capacity for as many as there is room for, if that is at least ``least``."""
    found: list[str] = []
    try:
        while len(found) < most:
            found.append(claim(call.db, call.region, plan.vcpus, plan.kind.memory_mib))
    except NoCapacity:
        if len(found) < least:
            refuse(
                "InsufficientInstanceCapacity",
                f"There is not enough capacity for {least} instance(s) of type {plan.kind.name}: "
                "terminate others, or choose a smaller instance type.",
            )
    return found


def _launch(call: Call, plan: _Plan, reservation: str, index: int, host: str) -> tuple[str, list[str], list[str]]:
    """Add one instance; return its id and those of its volumes and interfaces."""
    subnet, moment = plan.cards[0].subnet, now()
    id = Instance.new_id()
    interfaces = [plug(call, id, card) for card in plan.cards]
    put(
        call.db, Instance, id=id, **call.owner, reservation_id=reservation, launch_index=index, image_id=plan.image.id,
        instance_type=plan.kind.name, architecture=plan.image.architecture, platform=plan.image.platform,
        boot_mode=plan.image.boot_mode, root_device_name=plan.image.root_device_name, launch_time=moment,
        usage_time=moment, zone=subnet.zone, host=host, vcpus=plan.vcpus, memory_mib=plan.kind.memory_mib,
        vpc_id=subnet.vpc_id, subnet_id=subnet.id, client_token=call.client_token,
        ena_support=plan.image.ena_support, private_ip=interfaces[0].private_ip, **plan.attributes,
    )  # fmt: skip
    volumes = launch_disks.attach_new(call, id, subnet.zone, moment, plan.devices)
    tasks.start(call.db, id, "boot_instance", call.region, new=True)
    return id, volumes, [interface.id for interface in interfaces]


def _tag(
    call: Call, specifications: Sequence[Mapping[str, Any]] | None, launched: list[tuple[str, list[str], list[str]]]
) -> None:
    tags.put_at_creation(
        call,
        specifications,
        {
            "instance": [instance for instance, _, _ in launched],
            "volume": [id for _, volumes, _ in launched for id in volumes],
            "network-interface": [id for _, _, interfaces in launched for id in interfaces],
        },
    )
