"""Fill a new deployment: regions and zones, accounts with keys and default VPCs, hosts, images.

The seed file (TOML or YAML) may name any of these; what it leaves out gets a default::

    [[accounts]]
    id = "123456789012"
    name = "ci"
    access_key_id = "AKIAEXAMPLE"
    secret_access_key = "secret"

    [[regions]]
    name = "us-east-1"
    zones = ["us-east-1a", "us-east-1b"]

    [[images]]
    id = "ami-0123456789abcdef0"
    name = "ubuntu-24.04"
    family = "ubuntu-24.04"
    root_device = "/dev/sda1"
    size = 8
"""

import secrets
import string
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.default_vpc import make_default_vpc
from engine.secrets import Vault
from engine.state import (
    FAMILY,
    AccessKey,
    Account,
    Host,
    Image,
    ImageBlockDevice,
    Region,
    Snapshot,
    Zone,
    family_of,
)
from settings import Settings

OPERATOR = "000000000000"
"""The account that owns what the operator provides: public images, shown under the alias ``amazon``."""
_DEFAULT_ZONES = "abc"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SeedAccount(_Strict):
    id: str = Field(pattern=r"^\d{12}$")
    name: str
    access_key_id: str = Field(default="", max_length=128)
    secret_access_key: str = ""


class SeedRegion(_Strict):
    name: str = Field(pattern=r"^[a-z0-9-]{1,31}$")
    zones: list[str] = Field(min_length=1)


class SeedImage(_Strict):
    id: str = Field(default="", pattern=r"^(ami-([0-9a-f]{8}|[0-9a-f]{17}))?$")
    name: str
    family: str = Field(default="", pattern=rf"^({FAMILY.pattern})?$", max_length=255)
    """What parameters call its newest build by; empty: its name up to what tells the build."""
    description: str = ""
    architecture: Literal["x86_64", "arm64", "i386"] = "x86_64"
    platform: Literal["", "windows"] = ""
    root_device: str = "/dev/xvda"
    boot_mode: Literal["", "legacy-bios", "uefi", "uefi-preferred"] = ""
    size: int = Field(default=8, ge=1)
    owner: str = Field(default=OPERATOR, pattern=r"^\d{12}$")
    regions: list[str] = []


class Seed(_Strict):
    accounts: list[SeedAccount] = []
    regions: list[SeedRegion] = []
    images: list[SeedImage] = []


def read_seed(file: Path | None) -> Seed:
    """Read and validate a seed file; None is an empty seed."""
    if file is None:
        return Seed()
    text = file.read_text()
    return Seed.model_validate(tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text) or {})


def is_seeded(db: Session) -> bool:
    return db.scalar(select(Region.name).limit(1)) is not None


def sow(db: Session, settings: Settings, vault: Vault, seed: Seed) -> None:
    """Fill an empty database. Idempotent as a whole: a deployment that has a region is left as it is."""
    if is_seeded(db):
        return
    regions = seed.regions or _default_regions(settings)
    for region in regions:
        db.add(Region(name=region.name, engine=settings.engine))
        db.flush()
        for number, zone in enumerate(region.zones, 1):
            db.add(Zone(name=zone, region=region.name, zone_id=f"{_code(region.name)}-az{number}"))
        if settings.engine == "simulated":
            db.add(Host(name=f"simulated-{region.name}", region=region.name, vcpus=10**7, memory_mib=10**9))
    db.flush()
    for account in seed.accounts or [_default_account(settings)]:
        add_account(db, settings, vault, account)
    for image in seed.images or _default_images(settings):
        _add_image(db, image, [region.name for region in regions])


def add_account(db: Session, settings: Settings, vault: Vault, account: SeedAccount) -> None:
    """Add an account with a key (made up where none is given) and a default VPC in each region."""
    db.add(Account(id=account.id, name=account.name))
    db.flush()
    add_key(db, vault, account.id, account.access_key_id, account.secret_access_key)
    for region in db.scalars(select(Region.name)).all():
        make_default_vpc(db, settings, {"account": account.id, "region": region})


def add_key(db: Session, vault: Vault, account: str, id: str = "", secret: str = "") -> tuple[str, str]:
    """Add an access key; return its id and secret."""
    id = id or "AKIA" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
    secret = secret or secrets.token_urlsafe(30)
    db.add(AccessKey(id=id, account=account, secret=vault.seal(secret)))
    return id, secret


def new_account_id(db: Session) -> str:
    while True:
        id = str(secrets.randbelow(9 * 10**11) + 10**11)
        if db.get(Account, id) is None:
            return id


def aws_regions() -> dict[str, SeedRegion]:
    """Return every AWS region with AWS's zone names."""
    return {
        name: SeedRegion(name=name, zones=[name + letter for letter in letters])
        for name, (_, letters) in _table().items()
    }


@cache
def _table() -> dict[str, list[str]]:
    return dict(tomllib.loads(Path(__file__).with_name("regions.toml").read_text())["regions"])


def _code(region: str) -> str:
    known = _table().get(region)
    return known[0] if known else region.replace("-", "")


def _default_regions(settings: Settings) -> list[SeedRegion]:
    if settings.regions == "all":
        return list(aws_regions().values())
    names = [name.strip() for name in settings.regions.split(",") if name.strip()]
    return [SeedRegion(name=n, zones=[n + letter for letter in _DEFAULT_ZONES]) for n in names]


def _default_account(settings: Settings) -> SeedAccount:
    if settings.engine == "simulated":
        return SeedAccount(id=OPERATOR, name="default", access_key_id="test", secret_access_key="test")
    return SeedAccount(id=str(secrets.randbelow(9 * 10**11) + 10**11), name="default")


def _default_images(settings: Settings) -> list[SeedImage]:
    """A simulated deployment has one image to launch; a real one gets its images from ``groundfog images``."""
    if settings.engine != "simulated":
        return []
    return [SeedImage(id="ami-00000000000000001", name="groundfog-demo", description="Groundfog demo image", size=1)]


def _add_image(db: Session, image: SeedImage, regions: list[str]) -> None:
    """Give the wanted id to the first region's image: us-east-1, where ``--regions all`` names it among others."""
    first = sorted(image.regions or regions, key=lambda region: region != "us-east-1")
    for number, region in enumerate(first):
        id = image.id if image.id and number == 0 else Image.new_id()
        add_image(db, image, region, id, Snapshot.new_id())


def add_image(db: Session, image: SeedImage, region: str, id: str, snapshot_id: str) -> Image:
    """Add a public image of the operator's, or another owner's private one, and the snapshot that it names."""
    owner: dict[str, Any] = {"account": image.owner, "region": region}
    operator = image.owner == OPERATOR
    db.add(
        Snapshot(
            id=snapshot_id, **owner, volume_size=image.size, state="completed", progress="100%",
            description=f"Created for {id}",
        )
    )  # fmt: skip
    row = Image(
        id=id, **owner, name=image.name, family=image.family or family_of(image.name),
        description=image.description, location=f"{image.owner}/{image.name}",
        owner_alias="amazon" if operator else "", architecture=image.architecture, platform=image.platform,
        root_device_name=image.root_device, boot_mode=image.boot_mode, public=operator,
    )  # fmt: skip
    db.add(row)
    db.flush()
    db.add(ImageBlockDevice(image_id=id, device=image.root_device, snapshot_id=snapshot_id, size=image.size))
    return row
