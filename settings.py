"""Settings: ``GROUNDFOG_*`` in the environment over one TOML file over these defaults, validated at start."""

import os
import re
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

_LVM = r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,48}"
_OWN = r"python:[A-Za-z_][\w.]{0,48}:[A-Za-z_]\w{0,32}(:[\w.-]{1,32})?(\?\S+)?"
_BACKEND = re.compile(rf"qcow2|rbd:[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}|lvm:{_LVM}/{_LVM}|{_OWN}")
_BACKENDS = "qcow2, rbd:POOL, lvm:VG/POOL and python:MODULE:NAME:LABEL?OPTION=VALUE"


class Settings(BaseSettings):
    """Everything an operator can set. The docstring of each field is printed by ``groundfog status --settings``."""

    model_config = SettingsConfigDict(
        env_prefix="GROUNDFOG_", extra="forbid", env_nested_delimiter="__", use_attribute_docstrings=True
    )

    engine: Literal["kvm", "simulated"] = "kvm"
    """What runs the guests: ``kvm`` (libvirt and OVN on this host) or ``simulated`` (no guests)."""
    data: Path = Path(".groundfog")
    """The one directory under which everything is kept: database, disks, images, keys, logs."""
    database: str = ""
    """SQLAlchemy URL; empty means SQLite in the data directory. Example: postgresql+psycopg://user@host/groundfog"""
    host: str = "127.0.0.1"
    """The address the API listens on."""
    port: int = Field(default=8777, ge=0, le=65535)
    """The port the API listens on."""
    regions: str = "us-east-1"
    """Comma-separated region names, or ``all`` for every AWS region (simulated engine only)."""
    seed: Path | None = None
    """A TOML or YAML file with the accounts, keys, zones and images of a new deployment."""
    allow_reset: bool = False
    """Whether ``POST /_groundfog/reset`` may bring a simulated deployment back to its seeded state."""
    secret_key: str = ""
    """Key of the secrets at rest (32 bytes, URL-safe base64); empty means the file ``secret.key`` in the data dir."""
    threads: int = Field(default=2, ge=1, le=64)
    """Threads of the API process."""
    workers: int = Field(default=2, ge=1, le=64)
    """Tasks that the worker process runs at once."""
    instance_types: Path | None = None
    """A file of instance types to offer instead of the packaged catalogue (the same format)."""
    quotas: dict[str, int] = Field(default_factory=dict)
    """Limits other than EC2's own, by the names in ``translators/quotas.py``. Example: {"subnets per VPC": 500}"""
    request_limit_kib: int = Field(default=1024, ge=16)
    """Largest request body, in KiB; a larger one is refused unread."""

    vpc_network: Literal["vlan", "overlay"] = "vlan"
    """What new VPCs are on the wire: each a ``vlan`` of the physical bridge, or an ``overlay`` (Geneve tunnels)."""
    vlan_range: tuple[int, int] = (100, 999)
    """First and last VLAN id that VPCs are given on the physical bridge."""
    external_network: IPv4Network = IPv4Network("198.18.0.0/16")
    """The external network: public and Elastic IP addresses are taken from it."""
    external_gateway: IPv4Address = IPv4Address("198.18.0.1")
    """The router of the external network; with ``external_masquerade`` this host takes that address itself."""
    external_pool: tuple[IPv4Address, IPv4Address] = (IPv4Address("198.18.1.0"), IPv4Address("198.18.255.250"))
    """First and last address of the pool."""
    external_network6: IPv6Network = IPv6Network("fd00:c612::/64")
    """The external network's IPv6 range. The deployment's edge, which leads to all of ``ipv6_pool``, is in it."""
    external_gateway6: IPv6Address = IPv6Address("fd00:c612::1")
    """The IPv6 router of the external network; with ``external_masquerade`` this host takes that address itself."""
    ipv6_pool: IPv6Network = IPv6Network("fd6f:6700::/32")
    """What VPCs are given ranges of IPv6 from, a /56 each: private addresses, unless you name some of your own."""
    external_interface: str = ""
    """A network card to put into the external bridge; empty means none: guests go out through this host."""
    external_masquerade: bool = True
    """Whether this host routes and masquerades what guests send to the outside."""
    physical_interface: str = ""
    """A network card (a VLAN trunk) to put into the physical bridge br-phys; empty means none."""
    guest_dns: str = ""
    """Comma-separated resolvers for names that are not a VPC's own, each an address or ``address:port``; empty means
    those of this host, or 1.1.1.1 if it has none. Guests ask their VPC's resolver, and that asks these."""
    guest_mtu: int = Field(default=1442, ge=576, le=9000)
    """The MTU that guests are given."""

    flow_log_store: str = ""
    """The S3-compatible store that flow logs may go to, and whose buckets ``import_sources`` and ``export_targets``
    may name: its URL, or file:///DIRECTORY; empty means there is none."""
    flow_log_store_key: str = ""
    """The access key id for that store."""
    flow_log_store_secret: str = ""
    """The secret of that key."""

    storage: dict[str, str] = Field(default_factory=dict)
    """What keeps the disks of a zone: ``qcow2`` (files in the data directory), where nothing else is said,
    ``rbd:POOL`` (Ceph), ``lvm:VG/POOL`` (an LVM thin pool of this host), or ``python:MODULE:NAME:LABEL?OPTION=VALUE``
    (a driver of your own). Example: {"us-east-1b": "rbd:guests", "us-east-1c": "lvm:ssd/guests"}"""
    ceph_conf: Path = Path("/etc/ceph/ceph.conf")
    """The configuration of the Ceph cluster, which names its monitors and the keyring of ``ceph_user``."""
    ceph_user: str = Field(default="groundfog", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The user of the cluster, without ``client.`` before it."""
    import_sources: list[str] = Field(default_factory=list)
    """Where disk images may be imported from, beside the files in the data directory's ``uploads``, which are
    file:///NAME: beginnings of URLs, file:///DIRECTORY, s3://BUCKET/PREFIX. {account} in one stands for who asks."""
    import_limit_gib: int = Field(default=1024, ge=1, le=65536)
    """GiB of the largest image that can be imported or exported, as a file and as a disk."""
    export_targets: list[str] = Field(default_factory=list)
    """Where disk images may be exported to: buckets of the store as s3://BUCKET/PREFIX. {account} in one stands for
    who asks. Without any, nothing can be exported or stored."""

    libvirt_uri: str = "qemu:///system"
    """The local libvirt daemon."""
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    """``auto`` boots a tiny probe guest to learn whether KVM works, and uses software emulation (TCG) where not."""
    cpu_overcommit: float = Field(default=8.0, ge=1)
    """Virtual CPUs that may be promised for each CPU of the host."""
    memory_reserved_mib: int = Field(default=1024, ge=0)
    """Memory of the host that guests are never given."""
    disk_overcommit: float = Field(default=4.0, ge=1)
    """GiB that a new volume may have for each GiB that is free where it is kept: it takes room as it is written."""
    disk_reserved_gib: int = Field(default=2, ge=0)
    """GiB that are kept free where volumes are kept: with less, no volume is made and none grows."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = Path(os.environ.get("GROUNDFOG_CONFIG", "groundfog.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml)

    @field_validator("import_sources")
    @classmethod
    def _are_places(cls, sources: list[str]) -> list[str]:
        for source in sources:
            if not source.startswith(("http://", "https://", "file:///", "s3://")):
                raise ValueError(f"import_sources: {source} must begin with http://, https://, file:/// or s3://")
        return sources

    @field_validator("export_targets")
    @classmethod
    def _are_buckets(cls, targets: list[str]) -> list[str]:
        for target in targets:
            if not target.startswith("s3://"):
                raise ValueError(f"export_targets: {target} must begin with s3://")
        return targets

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        low, high = self.vlan_range
        if not 1 <= low <= high <= 4094:
            raise ValueError("vlan_range must lie within 1-4094, lowest first")
        if self.regions == "all" and self.engine != "simulated":
            raise ValueError("regions = all needs engine = simulated")
        if self.allow_reset and self.engine != "simulated":
            raise ValueError("allow_reset needs engine = simulated")
        self._check_external()
        self._check_storage()
        if self.flow_log_store and not self.flow_log_store.startswith(("http://", "https://", "file:///")):
            raise ValueError("flow_log_store must begin with http://, https:// or file:///")
        for resolver in filter(None, (part.strip() for part in self.guest_dns.split(","))):
            if not _is_server(resolver):
                raise ValueError(f"guest_dns: {resolver} is neither an address nor address:port")
        self.data, self.ceph_conf = self.data.absolute(), self.ceph_conf.absolute()
        return self

    def _check_external(self) -> None:
        for address in (self.external_gateway, *self.external_pool):
            if address not in self.external_network:
                raise ValueError(f"{address} is not in external_network {self.external_network}")
        if self.external_gateway6 not in self.external_network6:
            raise ValueError(f"{self.external_gateway6} is not in external_network6 {self.external_network6}")
        if self.external_network6.prefixlen > 64 or not 16 <= self.ipv6_pool.prefixlen <= 56:
            raise ValueError("external_network6 must be a /64 or larger, ipv6_pool a /16 to /56")
        if self.ipv6_pool.overlaps(self.external_network6):
            raise ValueError("ipv6_pool and external_network6 must not overlap")

    def _check_storage(self) -> None:
        if self.storage and self.engine != "kvm":
            raise ValueError("storage needs engine = kvm")
        for zone, backend in self.storage.items():
            if not _BACKEND.fullmatch(backend):
                raise ValueError(f"storage: {backend} of {zone} is none of {_BACKENDS}")
        own: dict[str, str] = {}
        for driver in self.own_drivers:
            place, _, options = driver.partition("?")
            if own.setdefault(place, options) != options:
                raise ValueError(f"storage: {place} has other options elsewhere; give it another label: {place}:LABEL")

    def storage_of(self, zone: str) -> str:
        """Return what keeps the disks of a zone: one of qcow2, rbd:POOL, lvm:VG/POOL and python:...."""
        return self.storage.get(zone, "qcow2")

    @property
    def ceph_pools(self) -> list[str]:
        """The pools of the Ceph cluster that zones have their disks in."""
        return sorted({each.removeprefix("rbd:") for each in self.storage.values() if each.startswith("rbd:")})

    @property
    def lvm_pools(self) -> list[str]:
        """The thin pools, as VG/POOL, that zones have their disks in."""
        return sorted({each.removeprefix("lvm:") for each in self.storage.values() if each.startswith("lvm:")})

    @property
    def own_drivers(self) -> list[str]:
        """The drivers of the operator's own that keep the disks of zones."""
        return sorted({each for each in self.storage.values() if each.startswith("python:")})

    @cached_property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data}/groundfog.db"


def _is_server(text: str) -> bool:
    """Say whether it is an address, with a port or without: 192.0.2.1, 192.0.2.1:5353, [2001:db8::1]:5353."""
    found = re.fullmatch(r"\[(.+)\]:\d{1,5}|([^:]+):\d{1,5}|(.+)", text)
    try:
        return found is not None and bool(ip_address(next(filter(None, found.groups()))))
    except ValueError:
        return False
