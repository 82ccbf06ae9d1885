"""Convert disk images by qemu-img, with progress, in bounded memory, time and room."""

import contextlib
import os
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, cast

from engine.drivers.base import DriverError, Refused
from engine.drivers.qcow2_encryption import SECRET, TRIES, UNMEASURED, encrypted
from engine.lifelines import die_with

_MEMORY = 2 << 30
_PROGRESS = re.compile(rb"\((\d+)\.\d+/100%\)")


def convert(
    file: Path,
    kind: str,
    target: Path,
    room: tuple[int, int],
    report: Callable[[int], None],
    to: tuple[str, ...],
    key: str | None = None,
) -> None:
    """Make ``target`` of an image of format ``kind``; ``to`` are qemu-img's words for what it shall be.

    With a ``key`` it is encrypted with that, which a qcow2 file can be. ``room`` is the largest size of the new file,
    and how much must stay free on its disk, in bytes. ``report`` is told percents. Raise Refused when it would take
    more, or the image cannot be read.
    """
    largest, reserved = room
    # A compressed image of a few MB can be one of many GiB: the new file is bounded, not only the old one.
    limits = ("prlimit", f"--as={_MEMORY}", f"--fsize={largest}")
    secret = ("--object", SECRET, *encrypted(key)) if key else ()
    command = (*limits, "qemu-img", "convert", "-p", *secret, "-f", kind, *to, str(file), str(target))
    for _ in range(TRIES):
        code, said = _run(command, key, target.parent, reserved, report)
        if code == 0:
            return
        if UNMEASURED not in said:
            break
    said = said.replace(str(file), "the file").replace(str(target), "the disk").strip()
    raise Refused(f"The disk image could not be converted: {said or 'it takes too much room'}")


def _run(
    command: tuple[str, ...], key: str | None, folder: Path, reserved: int, report: Callable[[int], None]
) -> tuple[int, str]:
    """Run qemu-img, which reads the key from its standard input; return what it ended with and said."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=partial(die_with, os.getpid())
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DriverError(f"cannot run qemu-img: {error}") from error
    with process:
        with contextlib.suppress(BrokenPipeError), cast(IO[bytes], process.stdin) as told:
            told.write((key or "").encode())
        _follow(process, folder, reserved, report)
        said = process.stderr.read(4096).decode(errors="replace") if process.stderr else ""
    return process.returncode, said


def _follow(process: "subprocess.Popen[bytes]", folder: Path, reserved: int, report: Callable[[int], None]) -> None:
    out = process.stdout
    if out is None:
        raise AssertionError("its output is a pipe")
    while line := out.read1(256):  # type: ignore[attr-defined]
        for percent in _PROGRESS.findall(line):
            report(int(percent))
        try:
            check_room(folder, reserved)
        except Refused:
            process.kill()
            raise


def check_room(folder: Path, reserved: int) -> None:
    """Refuse to go on with less than ``reserved`` bytes free."""
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < reserved:
        raise Refused("There is not enough room for the disk image.")
