"""A stored image: a tar archive with what an image is (``image.json``), its disks, and the checksums of all of these.

``SHA256SUMS`` has the format of sha256sum(1). The archive may be a stranger's: nothing of it is believed unchecked.
"""

import hashlib
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from engine.drivers.base import Refused

ABOUT, SUMS = "image.json", "SHA256SUMS"
_MOST_DISKS = 24
_LARGEST_TEXT = 1 << 20
_PIECE = 1 << 20
_DISK = re.compile(r"disk-\d{1,2}\.qcow2")
_Device = Annotated[str, Field(pattern=r"^[A-Za-z0-9/._-]{1,32}$")]


class StoredDisk(BaseModel):
    device: _Device
    file: str = ""
    """Empty: the disk is empty, or only said."""
    size: int = Field(ge=0, le=65536)
    """GiB; 0 only for one that is only said."""
    volume_type: Literal["standard", "io1", "io2", "gp2", "gp3", "sc1", "st1"] = "gp2"
    iops: int | None = Field(default=None, ge=100, le=256_000)
    throughput: int | None = Field(default=None, ge=125, le=2_000)
    delete_on_termination: bool = True
    virtual_name: str = Field(default="", pattern=r"^(ephemeral([0-9]|1[0-9]|2[0-3]))?$")


class StoredImage(BaseModel):
    """What is kept of an image, and what one may be that is made of it."""

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9()\[\] ./'@_-]{3,128}$")
    description: str = Field(default="", max_length=255)
    architecture: Literal["i386", "x86_64"]
    platform: Literal["", "windows"] = ""
    boot_mode: Literal["", "legacy-bios", "uefi", "uefi-preferred"] = ""
    root_device_name: _Device
    virtualization_type: Literal["hvm"] = "hvm"
    ena_support: bool = True
    sriov_net_support: Literal["", "simple"] = ""
    imds_support: Literal["", "v2.0"] = ""
    disks: list[StoredDisk] = Field(min_length=1, max_length=_MOST_DISKS)

    @model_validator(mode="after")
    def _is_possible(self) -> "StoredImage":
        names = [disk.device for disk in self.disks]
        if len(set(names)) < len(names):
            raise ValueError("a device is there twice")
        if not any(disk.device == self.root_device_name and disk.file for disk in self.disks):
            raise ValueError("it has no root disk")
        if self.files() != [f"disk-{number}.qcow2" for number in range(len(self.files()))]:
            raise ValueError("its files are not disk-0.qcow2 and on")
        if any(disk.size == 0 and not disk.virtual_name for disk in self.disks):
            raise ValueError("a disk has no size")
        return self

    def files(self) -> list[str]:
        return [disk.file for disk in self.disks if disk.file]


def unpack(file: Path, folder: Path, report: Callable[[int, int], None]) -> list[Path]:
    """Write the disks of a stored image into the folder; return them in the order in which the image names them.

    ``read_about`` tells then what the image is. Raise Refused for anything that is not as it was stored.
    """
    whole = file.stat().st_size
    sums: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:") as archive:
            for count, member in enumerate(archive, 1):
                if count > _MOST_DISKS + 2 or not _is_known(member.name) or member.name in sums:
                    raise Refused("The object is not a stored image: it has other files.")
                sums[member.name] = _write(
                    archive, member, folder / member.name, lambda done: report(done, whole)
                )  # fmt: skip
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Refused(f"The stored image cannot be read: {error}") from error
    _compare(sums, folder)
    about = StoredImage(**read_about(folder))
    if set(about.files()) != sums.keys() - {ABOUT}:
        raise Refused("The stored image has other disks than it says.")
    return [folder / name for name in about.files()]


def read_about(folder: Path) -> dict[str, Any]:
    """Return what an unpacked image is, as StoredImage has it."""
    try:
        return StoredImage.model_validate_json((folder / ABOUT).read_bytes()).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Refused(f"The stored image cannot be restored: {place} {first['msg']}".replace(" : ", " ")) from error


def _is_known(name: str) -> bool:
    return name in (ABOUT, SUMS) or _DISK.fullmatch(name) is not None


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, report: Callable[[int], None]) -> str:
    """Write a member to a new file; return its checksum."""
    source = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None:
        raise Refused("The stored image has something that is not a plain file.")
    if member.size > _LARGEST_TEXT and not target.name.endswith(".qcow2"):
        raise Refused(f"The stored image's {target.name} is too large.")
    found = hashlib.sha256()
    with target.open("xb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)
            found.update(piece)
            report(member.offset_data + file.tell())
    if target.stat().st_size != member.size:
        raise Refused("The stored image was cut short.")
    return found.hexdigest()


def _compare(sums: dict[str, str], folder: Path) -> None:
    """Raise Refused unless just these files have these checksums; the list itself is taken out."""
    if ABOUT not in sums or sums.pop(SUMS, None) is None:
        raise Refused(f"The object is not a stored image: it has no {ABOUT} and {SUMS}.")
    lines = (line.partition("  ") for line in (folder / SUMS).read_text(errors="replace").splitlines())
    if {name: value for value, _, name in lines} != sums:
        raise Refused("The stored image is damaged: its checksums are not those of its files.")


def checksum(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_text(sums: dict[str, str]) -> bytes:
    """Return the content of SHA256SUMS for names and their checksums."""
    return "".join(f"{value}  {name}\n" for name, value in sums.items()).encode()
