"""Makes the data directory: closed to other users, and open just enough to the one that guests run as."""

import grp
import os
import pwd
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.host.commands import HostError, Report, attempt
from settings import Settings

QEMU_CONFIGURATION = Path("/etc/libvirt/qemu.conf")
# Guests' files are found by whoever knows their names; their owners and modes are libvirt's business.
GUESTS = ("disks", "snapshots", "images", "console")
OURS = ("logs", "run")


@dataclass(frozen=True)
class GuestUser:
    """The user that libvirt starts QEMU as."""

    name: str
    uid: int
    gid: int


def ensure_data_directory(settings: Settings, report: Report) -> None:
    """Make the directory and those in it, and let QEMU pass through to them.

    Raises HostError when it cannot be made, or when QEMU cannot be let through the directories above it.
    """
    user = guest_user()
    data = settings.data
    try:
        data.mkdir(parents=True, exist_ok=True)
        # Keys and the database lie here: other users of this machine see nothing.
        _set(data, user.gid, 0o710)
        for name in GUESTS:
            (data / name).mkdir(exist_ok=True)
            _set(data / name, user.gid, 0o710)
        for name in OURS:
            (data / name).mkdir(exist_ok=True)
            _set(data / name, None, 0o700)
    except OSError as reason:
        raise HostError(
            f"cannot make the data directory {data}: {reason.strerror}; "
            "name another one: GROUNDFOG_DATA=/var/lib/groundfog"
        ) from reason
    _open_the_way(data, user, report)


def _set(directory: Path, gid: int | None, mode: int) -> None:
    now = directory.stat()
    if gid is not None and now.st_gid != gid:
        os.chown(directory, -1, gid)
    if now.st_mode & 0o7777 != mode:
        directory.chmod(mode)


def guest_user() -> GuestUser:
    """Who QEMU runs as: libvirt's configuration, or Debian's libvirt-qemu. Raises HostError for an unknown user."""
    try:
        name = configured_user(QEMU_CONFIGURATION.read_text())
    except OSError:
        name = "libvirt-qemu"
    try:
        entry = pwd.getpwnam(name)
    except KeyError as missing:
        raise HostError(
            f"cannot find the user {name} that guests run as; install libvirt-daemon-system, "
            f"or correct `user` in {QEMU_CONFIGURATION}"
        ) from missing
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        gid = entry.pw_gid
    return GuestUser(name, entry.pw_uid, gid)


def configured_user(configuration: str) -> str:
    """``user`` of qemu.conf; a leading + marks a number or a name alike."""
    found = re.search(r'^\s*user\s*=\s*"\+?([^"]+)"', configuration, re.MULTILINE)
    return found[1] if found else "libvirt-qemu"


def closed_to(user: GuestUser, directories: Iterable[Path]) -> list[Path]:
    """Those directories that the user may not pass through; the kernel is asked, so access lists count."""
    names = [str(directory) for directory in directories]
    asked = subprocess.run(
        ["sh", "-c", r'for d; do test -x "$d" || printf "%s\0" "$d"; done', "sh", *names],
        user=user.uid, group=user.gid, extra_groups=os.getgrouplist(user.name, user.gid),
        cwd="/", capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    return [Path(name) for name in asked.stdout.split("\0") if name]


def _open_the_way(data: Path, user: GuestUser, report: Report) -> None:
    """Let the guests' user, and nobody else, pass through those parents that are closed, such as /root.

    Passing is not listing or reading. The other ways are worse: QEMU run as root, or the parent opened to everyone.
    """
    way = [*reversed(data.parents), data, *(data / name for name in GUESTS)]
    # What lies below a closed directory seems closed as well: open the topmost, and ask again.
    while closed := closed_to(user, way):
        entry = f"user:{user.name}:x"
        done = attempt(["setfacl", "--modify", entry, str(closed[0])])
        if done.returncode != 0 or closed_to(user, closed[:1]):
            raise HostError(
                f"cannot let guests (user {user.name}) through {closed[0]} to their disks: {done.stderr.strip()}; "
                f"move the data: GROUNDFOG_DATA=/var/lib/groundfog, or run: chmod o+x {closed[0]}"
            )
        report(f"letting {user.name} pass through {closed[0]} (setfacl --modify {entry})")
