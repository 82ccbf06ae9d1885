"""The process that reads an import's files and makes a plain qcow2 file of each disk in them.

It is told its work as JSON on standard input, holds a lock on its directory as long as it lives, writes how far it is
to ``state.json`` there, and last the disks or the reason why there are none.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.drivers.base import DriverError, Refused
from engine.drivers.disk_images import check_image
from engine.imports.archives import is_archive, unpack
from engine.imports.conversion import convert
from engine.imports.downloads import Readable, save, store_object, web_file
from engine.imports.places import Forbidden, allowed, local_file
from engine.imports.progress import Reporter
from engine.imports.stored_images import read_about
from engine.imports.stored_images import unpack as unpack_image
from engine.imports.work import Work, bound, hold, write_state

GIB = 1 << 30
_NAMES = {"raw": "RAW", "qcow2": "QCOW2", "vmdk": "VMDK", "vpc": "VHD", "vhdx": "VHDX", "vdi": "VDI"}


def run(work: Work, folder: Path) -> dict[str, Any]:
    """Return the state that says how it ended."""
    reporter = Reporter(folder, len(work.files), work.reserved)
    disks: list[dict[str, Any]] = []
    try:
        for number, asked in enumerate(work.files):
            reporter.number = number
            disks += _disks_of(work, number, asked, folder, reporter)
        about = read_about(folder / "0.parts") if work.files[0]["format"] == "STORED" else {}
    except (Refused, Forbidden) as error:
        return {"failed": f"ClientError: {error}"}
    return {"disks": disks, "about": about}


def _disks_of(work: Work, number: int, asked: dict[str, str], folder: Path, reporter: Reporter) -> list[dict[str, Any]]:
    file = _fetched(work, asked, folder / f"{number}.source", reporter)
    found = []
    for part, disk in enumerate(_files_of(file, asked["format"], folder / f"{number}.parts", reporter)):
        target = folder / f"{number}-{part}.qcow2"
        kind = _check(disk, asked["format"], work.largest)
        room = (work.largest, work.reserved)
        convert(
            disk, kind, target, room, lambda percent: reporter.say("converting", (50, 100), percent, 100),
            ("-O", "qcow2"), work.key,
        )  # fmt: skip
        found.append({"of": number, "file": target.name, "format": _NAMES[kind], "bytes": disk.stat().st_size})
        if disk.is_relative_to(folder):
            disk.unlink()
    return found


def _fetched(work: Work, asked: dict[str, str], target: Path, reporter: Reporter) -> Path:
    """Return the file on this host: one that is here already is read where it is."""
    url = asked["url"]
    if url.startswith("file:"):
        file = local_file(url, work.sources, Path(work.uploads), work.account)
        if file.stat().st_size > work.largest:
            raise Refused(f"The file is larger than the {work.largest} bytes that can be imported.")
        return file
    with _opened(work, asked) as (source, length):
        save(
            source, length, target, work.largest, lambda done, whole: reporter.say("downloading", (0, 50), done, whole)
        )
    return target


@contextmanager
def _opened(work: Work, asked: dict[str, str]) -> Iterator[tuple[Readable, int | None]]:
    def is_allowed(url: str) -> bool:
        return allowed(url, work.sources, work.account)

    if not is_allowed(asked["url"]):
        raise Forbidden("The file is not in a place that may be read.")
    if asked["bucket"]:
        from engine.flow_logs.stores import open_store

        with store_object(open_store(*work.store), asked["bucket"], asked["key"]) as found:
            yield found
    else:
        with web_file(asked["url"], is_allowed) as found:
            yield found


def _files_of(file: Path, asked: str, folder: Path, reporter: Reporter) -> list[Path]:
    if asked not in ("OVA", "STORED") and (asked or not is_archive(file)):
        return [file]
    folder.mkdir()
    take = unpack_image if asked == "STORED" else unpack
    found = take(file, folder, lambda done, whole: reporter.say("unpacking", (40, 50), done, whole))
    if file.is_relative_to(folder.parent):
        file.unlink()
    return found


def _check(disk: Path, asked: str, largest: int) -> str:
    """Return the format of a disk; its own words are about a file of this host, which is nobody's business."""
    try:
        kind = check_image(disk, largest).format
    except Refused as error:
        text = str(error).replace(f"cannot import {disk}: ", "")
        raise Refused(text.replace(str(disk.resolve()), "the file").replace(str(disk), "the file")) from error
    asked = "QCOW2" if asked == "STORED" else asked
    if asked not in ("", "OVA", _NAMES[kind]):
        raise Refused(f"The disk image is {_NAMES[kind]}, not {asked}.")
    return kind


def main(folder: Path) -> None:
    bound()
    work = Work(**json.load(sys.stdin))
    with hold(folder):
        try:
            state = run(work, folder)
        except DriverError as error:
            state = {"failed": f"ServerError: {error}"}
        except OSError as error:  # without the name of a file of this host
            state = {"failed": f"ServerError: {error.strerror}"}
        write_state(folder, state)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
