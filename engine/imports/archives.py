"""The disks in an OVA: an uncompressed tar archive with an OVF descriptor and VMDK files (DMTF DSP0243)."""

import tarfile
from collections.abc import Callable
from pathlib import Path

from engine.drivers.base import Refused

_MOST_MEMBERS = 200
_MOST_DISKS = 24
_PIECE = 1 << 20


def is_archive(file: Path) -> bool:
    """Say whether a file begins as a tar archive does; a raw disk has no such mark there."""
    with file.open("rb") as stream:
        return stream.read(263)[257:262] == b"ustar"


def unpack(file: Path, folder: Path, report: Callable[[int, int], None]) -> list[Path]:
    """Write an OVA's disks to ``folder/N.vmdk`` in the archive's order, and return these files.

    Names in the archive are never used as paths, and links, devices and sparse members are refused: what is written is
    never more than the archive itself.
    """
    whole = file.stat().st_size
    disks: list[Path] = []
    try:
        with tarfile.open(file, "r:") as archive:
            for count, member in enumerate(archive, 1):
                if count > _MOST_MEMBERS or len(disks) > _MOST_DISKS:
                    raise Refused("The OVA has too many files.")
                if member.name.lower().endswith(".vmdk"):
                    disks.append(folder / f"{len(disks)}.vmdk")
                    _write(archive, member, disks[-1], lambda done: report(done, whole))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Refused(f"The OVA cannot be read: {error}") from error
    if not disks:
        raise Refused("The OVA has no VMDK file.")
    return disks


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, report: Callable[[int], None]) -> None:
    source = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None:
        raise Refused("The OVA has a disk that is not a plain file.")
    with target.open("xb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)
            report(member.offset_data + file.tell())
    if target.stat().st_size != member.size:
        raise Refused("The OVA was cut short.")
