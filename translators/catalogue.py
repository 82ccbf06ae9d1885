"""The catalogue of instance types: a data file that the operator may replace, read once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from translators.errors import Ec2Error
from translators.registry import Call

PACKAGED = Path(__file__).with_name("instance_types.toml")


@dataclass(frozen=True)
class EbsLimits:
    """What EC2 says of a type's way to its volumes: bandwidth in Mbps, operations per second."""

    baseline_mbps: int
    maximum_mbps: int
    baseline_iops: int
    maximum_iops: int


@dataclass(frozen=True)
class InstanceType:
    """What an instance of this type is given. ``credits`` is the default credit option; empty if not burstable."""

    name: str
    vcpus: int
    threads_per_core: int
    memory_mib: int
    max_interfaces: int
    addresses_per_interface: int
    network: str
    ebs: EbsLimits | None = None
    architectures: tuple[str, ...] = ("x86_64",)
    hypervisor: str = "nitro"
    credits: str = ""
    current_generation: bool = True
    free_tier: bool = False
    placement: tuple[str, ...] = ()
    clock_ghz: float | None = None
    manufacturer: str | None = None

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    @property
    def cores(self) -> int:
        return self.vcpus // self.threads_per_core

    @property
    def architecture(self) -> str:
        """The architecture that a guest sees: the widest one."""
        return self.architectures[-1]

    @property
    def burstable(self) -> bool:
        return bool(self.credits)

    @property
    def valid_cores(self) -> tuple[int, ...]:
        """The CPU options' core counts; none where EC2 takes no CPU options, on one thread per core."""
        return tuple(range(1, self.cores + 1)) if self.threads_per_core > 1 else ()

    @property
    def valid_threads(self) -> tuple[int, ...]:
        return (1, self.threads_per_core) if self.threads_per_core > 1 else ()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Size(_Strict):
    vcpus: int = Field(ge=1)
    memory_mib: int = Field(default=0, ge=0)
    interfaces: int = Field(ge=1)
    addresses: int = Field(ge=1)
    network: str
    ebs: tuple[int, int, int, int] | None = None
    free_tier: bool = False


class _Family(_Strict):
    memory_per_vcpu_mib: int = Field(default=0, ge=0)
    threads_per_core: Literal[1, 2] = 2
    credits: Literal["", "standard", "unlimited"] = ""
    hypervisor: Literal["nitro", "xen"] = "nitro"
    architectures: list[Literal["i386", "x86_64"]] = Field(default=["x86_64"], min_length=1)
    current_generation: bool = True
    placement: list[Literal["cluster", "partition", "spread"]] = ["cluster", "partition", "spread"]
    clock_ghz: float | None = None
    manufacturer: str | None = None
    sizes: dict[str, _Size] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "_Family":
        for name, size in self.sizes.items():
            if not (size.memory_mib or self.memory_per_vcpu_mib):
                raise ValueError(f"{name} has neither memory_mib nor its family's memory_per_vcpu_mib")
            if size.vcpus % self.threads_per_core:
                raise ValueError(f"{name} has {size.vcpus} vcpus, which {self.threads_per_core} threads do not divide")
        return self


class _File(_Strict):
    families: dict[str, _Family]


@cache
def catalogue(path: Path | None = None) -> Mapping[str, InstanceType]:
    """Return every instance type by its name, in the order of names; raise ValueError for a file that is not one."""
    file = _File.model_validate(tomllib.loads((path or PACKAGED).read_text()))
    found = [
        _instance_type(f"{family_name}.{size_name}", family, size)
        for family_name, family in file.families.items()
        for size_name, size in family.sizes.items()
    ]
    return MappingProxyType({each.name: each for each in sorted(found, key=lambda each: each.name)})


def _instance_type(name: str, family: _Family, size: _Size) -> InstanceType:
    return InstanceType(
        name=name,
        vcpus=size.vcpus,
        threads_per_core=family.threads_per_core,
        memory_mib=size.memory_mib or size.vcpus * family.memory_per_vcpu_mib,
        max_interfaces=size.interfaces,
        addresses_per_interface=size.addresses,
        network=size.network,
        ebs=EbsLimits(*size.ebs) if size.ebs else None,
        architectures=tuple(sorted(family.architectures)),
        hypervisor=family.hypervisor,
        credits=family.credits,
        current_generation=family.current_generation,
        free_tier=size.free_tier,
        placement=tuple(family.placement),
        clock_ghz=family.clock_ghz,
        manufacturer=family.manufacturer,
    )


def offered(call: Call) -> Mapping[str, InstanceType]:
    """Return the types that this deployment offers; every region offers the same."""
    return catalogue(call.settings.instance_types)


def find_type(call: Call, name: str) -> InstanceType:
    """Return the type of that name."""
    found = offered(call).get(name)
    if found is None:
        raise Ec2Error("InvalidInstanceType", f"The instance type '{name}' does not exist")
    return found
