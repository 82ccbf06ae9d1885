"""Types of volumes: what may be asked of each, and what each promises."""

from dataclasses import dataclass

from engine.volumes import gp2_iops
from translators.errors import Ec2Error, combination, refuse


@dataclass(frozen=True)
class VolumeType:
    """What may be asked of a volume of one type: GiB, operations per second, MiB/s; None where it takes no number.

    ``needs_iops`` says that EC2 has no default for them; ``iops_per_gib`` bounds them by the size.
    """

    sizes: range
    iops: range | None = None
    throughput: range | None = None
    needs_iops: bool = False
    iops_per_gib: int = 0
    boots: bool = True


# Source: "Amazon EBS volume types", the EBS User Guide, and the parameters of CreateVolume.
VOLUME_TYPES = {
    "gp2": VolumeType(range(1, 16385)),
    "gp3": VolumeType(range(1, 65537), range(3000, 80001), range(125, 2001), iops_per_gib=500),
    "io1": VolumeType(range(4, 16385), range(100, 64001), needs_iops=True, iops_per_gib=50),
    "io2": VolumeType(range(4, 65537), range(100, 256001), needs_iops=True, iops_per_gib=1000),
    "sc1": VolumeType(range(125, 16385), boots=False),
    "st1": VolumeType(range(125, 16385), boots=False),
    "standard": VolumeType(range(1, 1025)),
}
GP3_IOPS = 3000
GP3_THROUGHPUT = 125


def volume_type(name: str) -> VolumeType:
    kind = VOLUME_TYPES.get(name)
    if kind is None:
        raise Ec2Error("UnknownVolumeType", f"Unsupported volume type '{name}' for volume creation.")
    return kind


def check_volume(name: str, size: int, iops: int | None = None, throughput: int | None = None) -> None:
    """Refuse, as EC2 does, numbers that a volume of the type ``name`` cannot have. ``size`` is in GiB."""
    kind = volume_type(name)
    if size not in kind.sizes:
        side, limit, end = _side(size, kind.sizes)
        text = f"Volume of {size}GiB is too {side} for volume type {name}; {end} is {limit}GiB."
        refuse("InvalidParameterValue", text)
    if iops is None and kind.needs_iops:
        raise combination(f"The parameter iops must be specified for {name} volumes.")
    _check_number("iops", iops, kind.iops, name)
    _check_number("throughput", throughput, kind.throughput, name)
    if iops and iops > max(kind.iops_per_gib * size, GP3_IOPS if name == "gp3" else 0):
        text = f"Iops to volume size ratio of {iops / size:f} is too high; maximum is {kind.iops_per_gib}"
        refuse("InvalidParameterValue", text)
    if throughput and throughput > max((iops or GP3_IOPS) // 4, GP3_THROUGHPUT):
        ratio = throughput / (iops or GP3_IOPS)
        text = f"Throughput (MiBps) to iops ratio of {ratio:f} is too high; maximum is 0.250000 MiBps per iops"
        refuse("InvalidParameterValue", text)


def _side(value: int, allowed: range) -> tuple[str, int, str]:
    if value < allowed.start:
        return "small", allowed.start, "minimum"
    return "large", allowed.stop - 1, "maximum"


def _check_number(name: str, value: int | None, allowed: range | None, type_name: str) -> None:
    if value is None:
        return
    if allowed is None:
        raise combination(f"The parameter {name} is not supported for {type_name} volumes.")
    if value not in allowed:
        side, limit, end = _side(value, allowed)
        size = {"small": "low", "large": "high"}[side]
        refuse("InvalidParameterValue", f"Volume {name} of {value} is too {size}; {end} is {limit}.")


def performance(name: str, size: int, iops: int | None, throughput: int | None) -> tuple[int | None, int | None]:
    """Return the operations per second and the MiB/s that EC2 shows for a volume of ``size`` GiB."""
    if name == "gp2":
        return gp2_iops(size), None
    if name == "gp3":
        return iops or GP3_IOPS, throughput or GP3_THROUGHPUT
    return iops, throughput
