"""Instance types: what can be launched, where, and how burstable instances spend CPU credits.

What is said of a type is what its guests really get here.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, TypeVar

from sqlalchemy import case, select

from engine.state import Instance, Zone
from translators.catalogue import InstanceType, offered
from translators.describe import Listing, describe, make_token, open_token
from translators.errors import Ec2Error, invalid, missing
from translators.filters import select_in_memory
from translators.find import find
from translators.memo import Memo
from translators.registry import Call, Result, action

Row = TypeVar("Row")

_MOST_TYPES = 100
_MOST_OFFERINGS = 1000


@cache
def _shape(kind: InstanceType) -> dict[str, Any]:
    """Return EC2's structure, with every sub-structure that clients dereference without asking.

    Guests have virtio disks and cards and boot from BIOS, whatever the name of their type, so NVMe, ENA as a
    necessity, UEFI, NitroTPM, hibernation and dedicated hosts are not promised.
    """
    return {
        "InstanceType": kind.name,
        "CurrentGeneration": kind.current_generation,
        "FreeTierEligible": kind.free_tier,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": kind.hypervisor,
        "ProcessorInfo": {
            "SupportedArchitectures": list(kind.architectures),
            "SustainedClockSpeedInGhz": kind.clock_ghz,
            "Manufacturer": kind.manufacturer,
        },
        "VCpuInfo": {
            "DefaultVCpus": kind.vcpus,
            "DefaultCores": kind.cores,
            "DefaultThreadsPerCore": kind.threads_per_core,
            "ValidCores": list(kind.valid_cores) or None,
            "ValidThreadsPerCore": list(kind.valid_threads) or None,
        },
        "MemoryInfo": {"SizeInMiB": kind.memory_mib},
        "InstanceStorageSupported": False,
        "EbsInfo": _ebs_info(kind),
        "NetworkInfo": _network_info(kind),
        "PlacementGroupInfo": {"SupportedStrategies": list(kind.placement)},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": kind.burstable,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": False,
        "SupportedBootModes": ["legacy-bios"],
        "NitroEnclavesSupport": "unsupported",
        "NitroTpmSupport": "unsupported",
        "PhcSupport": "unsupported",
        "RebootMigrationSupport": "unsupported",
        "SupportedInRegion": True,
    }


def _ebs_info(kind: InstanceType) -> dict[str, Any]:
    limits = kind.ebs
    return {
        "EbsOptimizedSupport": "default" if limits else "unsupported",
        "EncryptionSupport": "supported",
        "NvmeSupport": "unsupported",
        "EbsOptimizedInfo": limits
        and {
            "BaselineBandwidthInMbps": limits.baseline_mbps,
            "BaselineThroughputInMBps": limits.baseline_mbps / 8,
            "BaselineIops": limits.baseline_iops,
            "MaximumBandwidthInMbps": limits.maximum_mbps,
            "MaximumThroughputInMBps": limits.maximum_mbps / 8,
            "MaximumIops": limits.maximum_iops,
        },
    }


def _network_info(kind: InstanceType) -> dict[str, Any]:
    return {
        "NetworkPerformance": kind.network,
        "MaximumNetworkInterfaces": kind.max_interfaces,
        "MaximumNetworkCards": 1,
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": [
            {
                "NetworkCardIndex": 0,
                "NetworkPerformance": kind.network,
                "MaximumNetworkInterfaces": kind.max_interfaces,
            }
        ],
        "Ipv4AddressesPerInterface": kind.addresses_per_interface,
        "Ipv6AddressesPerInterface": kind.addresses_per_interface,
        "Ipv6Supported": True,
        "EnaSupport": "supported" if kind.hypervisor == "nitro" else "unsupported",
        "EfaSupported": False,
        "EncryptionInTransitSupported": False,
        "EnaSrdSupported": False,
        "FlexibleEnaQueuesSupport": "unsupported",
    }


def _at(*path: str) -> Callable[[InstanceType], Any]:
    """Return what reads a filter's value out of a type's structure: a filter tests what the reply shows."""

    def read(kind: InstanceType) -> Any:
        found: Any = _shape(kind)
        for step in path:
            found = found.get(step) if found else None
        return found

    return read


_optimized = partial(_at, "EbsInfo", "EbsOptimizedInfo")

_FILTERS: dict[str, Callable[[InstanceType], Any]] = {
    "auto-recovery-supported": _at("AutoRecoverySupported"),
    "bare-metal": _at("BareMetal"),
    "burstable-performance-supported": _at("BurstablePerformanceSupported"),
    "current-generation": _at("CurrentGeneration"),
    "dedicated-hosts-supported": _at("DedicatedHostsSupported"),
    "ebs-info.attachment-limit-type": _at("EbsInfo", "AttachmentLimitType"),
    "ebs-info.maximum-ebs-attachments": _at("EbsInfo", "MaximumEbsAttachments"),
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps": _optimized("BaselineBandwidthInMbps"),
    "ebs-info.ebs-optimized-info.baseline-iops": _optimized("BaselineIops"),
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps": _optimized("BaselineThroughputInMBps"),
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps": _optimized("MaximumBandwidthInMbps"),
    "ebs-info.ebs-optimized-info.maximum-iops": _optimized("MaximumIops"),
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps": _optimized("MaximumThroughputInMBps"),
    "ebs-info.ebs-optimized-support": _at("EbsInfo", "EbsOptimizedSupport"),
    "ebs-info.encryption-support": _at("EbsInfo", "EncryptionSupport"),
    "ebs-info.nvme-support": _at("EbsInfo", "NvmeSupport"),
    "free-tier-eligible": _at("FreeTierEligible"),
    "hibernation-supported": _at("HibernationSupported"),
    "hypervisor": _at("Hypervisor"),
    "instance-storage-info.disk.count": _at("InstanceStorageInfo", "Disks"),
    "instance-storage-info.disk.size-in-gb": _at("InstanceStorageInfo", "Disks"),
    "instance-storage-info.disk.type": _at("InstanceStorageInfo", "Disks"),
    "instance-storage-info.encryption-support": _at("InstanceStorageInfo", "EncryptionSupport"),
    "instance-storage-info.nvme-support": _at("InstanceStorageInfo", "NvmeSupport"),
    "instance-storage-info.total-size-in-gb": _at("InstanceStorageInfo", "TotalSizeInGB"),
    "instance-storage-supported": _at("InstanceStorageSupported"),
    "instance-type": _at("InstanceType"),
    "memory-info.size-in-mib": _at("MemoryInfo", "SizeInMiB"),
    "network-info.bandwidth-weightings": _at("NetworkInfo", "BandwidthWeightings"),
    "network-info.efa-info.maximum-efa-interfaces": _at("NetworkInfo", "EfaInfo", "MaximumEfaInterfaces"),
    "network-info.efa-supported": _at("NetworkInfo", "EfaSupported"),
    "network-info.ena-support": _at("NetworkInfo", "EnaSupport"),
    "network-info.encryption-in-transit-supported": _at("NetworkInfo", "EncryptionInTransitSupported"),
    "network-info.flexible-ena-queues-support": _at("NetworkInfo", "FlexibleEnaQueuesSupport"),
    "network-info.ipv4-addresses-per-interface": _at("NetworkInfo", "Ipv4AddressesPerInterface"),
    "network-info.ipv6-addresses-per-interface": _at("NetworkInfo", "Ipv6AddressesPerInterface"),
    "network-info.ipv6-supported": _at("NetworkInfo", "Ipv6Supported"),
    "network-info.maximum-network-cards": _at("NetworkInfo", "MaximumNetworkCards"),
    "network-info.maximum-network-interfaces": _at("NetworkInfo", "MaximumNetworkInterfaces"),
    "network-info.network-performance": _at("NetworkInfo", "NetworkPerformance"),
    "nitro-enclaves-support": _at("NitroEnclavesSupport"),
    "nitro-tpm-info.supported-versions": _at("NitroTpmInfo", "SupportedVersions"),
    "nitro-tpm-support": _at("NitroTpmSupport"),
    "processor-info.supported-architecture": _at("ProcessorInfo", "SupportedArchitectures"),
    "processor-info.supported-features": _at("ProcessorInfo", "SupportedFeatures"),
    "processor-info.sustained-clock-speed-in-ghz": _at("ProcessorInfo", "SustainedClockSpeedInGhz"),
    "reboot-migration-support": _at("RebootMigrationSupport"),
    "supported-boot-mode": _at("SupportedBootModes"),
    "supported-root-device-type": _at("SupportedRootDeviceTypes"),
    "supported-usage-class": _at("SupportedUsageClasses"),
    "supported-virtualization-type": _at("SupportedVirtualizationTypes"),
    "vcpu-info.default-cores": _at("VCpuInfo", "DefaultCores"),
    "vcpu-info.default-threads-per-core": _at("VCpuInfo", "DefaultThreadsPerCore"),
    "vcpu-info.default-vcpus": _at("VCpuInfo", "DefaultVCpus"),
    "vcpu-info.valid-cores": _at("VCpuInfo", "ValidCores"),
    "vcpu-info.valid-threads-per-core": _at("VCpuInfo", "ValidThreadsPerCore"),
}


@action
def describe_instance_types(
    call: Call,
    *,
    instance_types: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
    include_unsupported_in_region: bool = False,
) -> Result:
    """Every region offers every type, so there is none to include that is not supported."""
    types = offered(call)
    lost = sorted(set(instance_types or ()) - types.keys())
    if lost:
        raise Ec2Error(
            "InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(lost)}]"
        )
    chosen = [types[name] for name in sorted(set(instance_types))] if instance_types else list(types.values())
    found = select_in_memory(chosen, _FILTERS, filters)
    size = max_results or _MOST_TYPES
    page, token = _page("instance-type", found, lambda kind: kind.name, size, next_token)
    memos = [Memo(("instance-type", kind), partial(_shape, kind)) for kind in page]
    return {"InstanceTypes": memos, "NextToken": token}


def _page(
    kind: str, rows: Sequence[Row], key: Callable[[Row], str], size: int, token: str | None
) -> tuple[Sequence[Row], str | None]:
    """Return the page after the token, of rows that are in the order of their keys, and the next page's token."""
    if token:
        (after,) = open_token(kind, token, 1)
        rows = [row for row in rows if key(row) > str(after)]
    return rows[:size], make_token(kind, (key(rows[size - 1]),)) if len(rows) > size else None


_OFFERING_FILTERS: dict[str, Callable[[tuple[str, str]], str]] = {
    "instance-type": lambda offering: offering[0],
    "location": lambda offering: offering[1],
}


@action
def describe_instance_type_offerings(
    call: Call,
    *,
    location_type: str = "region",
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    places = _locations(call, location_type)
    every = sorted(((name, place) for name in offered(call) for place in places), key=" ".join)
    found = select_in_memory(every, _OFFERING_FILTERS, filters)
    size = max_results or _MOST_OFFERINGS
    page, token = _page("instance-type-offering", found, " ".join, size, next_token)
    offerings = [{"InstanceType": name, "LocationType": location_type, "Location": place} for name, place in page]
    return {"InstanceTypeOfferings": offerings, "NextToken": token}


def _locations(call: Call, location_type: str) -> list[str]:
    """There are no outposts, so nothing is offered in one."""
    zones = {"availability-zone": Zone.name, "availability-zone-id": Zone.zone_id}
    if location_type in zones:
        return list(call.db.scalars(select(zones[location_type]).where(Zone.region == call.region)))
    return [call.region] if location_type == "region" else []


def _credit(row: Any) -> dict[str, Any]:
    return {"InstanceId": row.id, "CpuCredits": row.credits}


@cache
def _credit_listing(unlimited: frozenset[str], only_unlimited: bool) -> Listing:
    """Return how credit options are listed; ``unlimited`` are the types whose default that is."""
    default = case((Instance.instance_type.in_(sorted(unlimited)), "unlimited"), else_="standard")
    option = case((Instance.cpu_credits != "", Instance.cpu_credits), else_=default)
    return Listing(
        kind=Instance,
        columns=(Instance.id, option.label("credits")),
        shape=_credit,
        filters={"instance-id": Instance.id},
        also=(option == "unlimited",) if only_unlimited else (),
        ids_forbid_pages="instancesSet",
    )


@action
def describe_instance_credit_specifications(
    call: Call,
    *,
    instance_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Without ids EC2 returns the instances whose option is unlimited; an instance that cannot burst is standard."""
    unlimited = frozenset(name for name, kind in offered(call).items() if kind.credits == "unlimited")
    listing = _credit_listing(unlimited, not instance_ids and not filters)
    found, token = describe(call, listing, instance_ids, filters, max_results, next_token)
    return {"InstanceCreditSpecifications": found, "NextToken": token}


@action
def modify_instance_credit_specification(call: Call, *, instance_credit_specifications: list[dict[str, Any]]) -> Result:
    """Change what can be changed; EC2 answers for each instance by itself."""
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for asked in instance_credit_specifications:
        id, credits = _asked(asked)
        try:
            _set_credits(call, id, credits)
            done.append({"InstanceId": id})
        except Ec2Error as error:
            failed.append({"InstanceId": id, "Error": {"Code": error.code, "Message": str(error)}})
    return {
        "SuccessfulInstanceCreditSpecifications": done,
        "UnsuccessfulInstanceCreditSpecifications": failed,
    }


def _asked(item: Mapping[str, Any]) -> tuple[str, str]:
    id, credits = item.get("InstanceId"), item.get("CpuCredits")
    if not id:
        raise missing("InstanceCreditSpecification.InstanceId")
    if not credits:
        raise missing("InstanceCreditSpecification.CpuCredits")
    if credits not in ("standard", "unlimited"):
        raise invalid("CpuCredits", credits, "Valid values: standard, unlimited.")
    return id, credits


def _set_credits(call: Call, id: str, credits: str) -> None:
    instance = find(call, Instance, id)
    if instance.state in ("shutting-down", "terminated"):
        raise Ec2Error("IncorrectInstanceState", f"The instance '{id}' is not in a state in which this can be changed.")
    kind = offered(call).get(instance.instance_type)
    if kind is None or not kind.burstable:
        raise Ec2Error(
            "InstanceCreditSpecification.NotSupported",
            f"The instance '{id}' is not of a burstable performance type: it does not use CPU credits.",
        )
    instance.cpu_credits = credits
