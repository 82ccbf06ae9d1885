"""What the example of a driver of one's own does with a real tgtd beyond the contract of all stores."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.drivers.base import Disk, DriverError, Refused
from examples.iscsi_tgt import Tgt, read_targets
from tests.engine.drivers.images import write_guest
from tests.engine.drivers.kills import killed_at_every_step
from tests.engine.drivers.targets import TargetDaemon, a_target_daemon

acceptance = pytest.mark.acceptance
SHOWN = """Target 1: iqn.2024-01.org.example.groundfog:me.vol-1
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 2
            Initiator: iqn.2008-11.org.linux-kvm alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            Thin-provisioning: No
            Backing store path: None
        LUN: 1
            Type: disk
            Thin-provisioning: Yes
            Backing store type: rdwr
            Backing store path: /srv/san/me/disks/vol-1.raw
    Account information:
        guests
    ACL information:
        127.0.0.1
        192.0.2.0/24
Target 7: iqn.2024-01.org.example:other
    System information:
        Driver: iscsi
    I_T nexus information:
    LUN information:
        LUN: 0
            Backing store path: None
    Account information:
    ACL information:
"""


@pytest.fixture
def storage(target_daemon: TargetDaemon, tmp_path: Path) -> Tgt:
    return target_daemon.storage(tmp_path)


def node(storage: Tgt, id: str, **options: str) -> str:
    """Return a disk as QEMU names it."""
    where = storage.locate_disk(id)
    assert where.protocol == "iscsi" and where.portal is not None
    target, _, lun = where.name.partition("/")
    portal = f"{where.portal.host}:{where.portal.port}"
    found = {"driver": "iscsi", "transport": "tcp", "portal": portal, "target": target, "lun": lun, **options}
    return f"json:{json.dumps({'driver': 'raw', 'file': found})}"


def qemu_io(storage: Tgt, id: str, *commands: str) -> str:
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", *words, node(storage, id)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@contextmanager
def in_use(storage: Tgt, id: str) -> Iterator[None]:
    """Have the disk open, and written to, as a guest has it."""
    with subprocess.Popen(
        ["qemu-io", node(storage, id)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as guest:
        assert guest.stdin is not None and guest.stdout is not None
        guest.stdin.write("write -P 1 0 64k\n")
        guest.stdin.flush()
        while "wrote" not in guest.stdout.readline():
            pass
        yield
        guest.stdin.close()


def has_reflinks(directory: Path) -> bool:
    (directory / "one").write_bytes(b"1")
    command = ["cp", "--reflink=always", directory / "one", directory / "two"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_targets_are_read_as_tgtadm_shows_them() -> None:
    ours, other = read_targets(SHOWN).values()
    assert (ours.number, ours.path, ours.thin, ours.in_use) == (1, "/srv/san/me/disks/vol-1.raw", True, True)
    assert (ours.accounts, ours.initiators) == ({"guests"}, {"127.0.0.1", "192.0.2.0/24"})
    assert (other.number, other.path, other.in_use, other.initiators) == (7, "", False, set())
    assert read_targets("") == {}


def test_an_encrypted_disk_is_refused(tmp_path: Path) -> None:
    storage = Tgt("me", directory=str(tmp_path))
    for wrong in (
        lambda: storage.ensure_disk(Disk("vol-1", 1, key="secret")),
        lambda: storage.copy_snapshot("snap-2", "snap-1", "secret"),
    ):
        with pytest.raises(Refused, match="encrypt"):
            wrong()


@acceptance
def test_a_snapshot_keeps_what_was_written_before_it_and_a_clone_has_it(storage: Tgt) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    qemu_io(storage, "vol-1", "write -P 1 0 1M", "flush")
    storage.ensure_snapshot("snap-1", "vol-1")
    qemu_io(storage, "vol-1", "write -P 2 0 1M", "discard 1M 1M", "flush")
    storage.ensure_disk(Disk("vol-2", 2, "snap-1"))
    assert "verification failed" not in qemu_io(storage, "vol-2", "read -P 1 0 1M", "read -P 0 2047M 1M")
    assert "verification failed" not in qemu_io(storage, "vol-1", "read -P 2 0 1M")
    assert storage.snapshot_bytes("snap-1") <= 2**20 + 2**16


@acceptance
def test_a_disk_that_a_guest_uses_is_neither_grown_nor_removed_nor_copied_as_it_never_was(
    storage: Tgt, tmp_path: Path
) -> None:
    storage.ensure_disk(Disk("vol-1", 1))
    with in_use(storage, "vol-1"):
        storage.ensure_disk(Disk("vol-1", 1))
        for wrong in (lambda: storage.ensure_disk(Disk("vol-1", 2)), lambda: storage.remove_disk("vol-1")):
            with pytest.raises(DriverError, match="still active"):
                wrong()
        if not has_reflinks(tmp_path):
            with pytest.raises(Refused, match="reflinks"):
                storage.ensure_snapshot("snap-1", "vol-1")
        assert storage.list_snapshots() == set()
    storage.ensure_disk(Disk("vol-1", 2))
    assert "verification failed" not in qemu_io(storage, "vol-1", "read -P 1 0 64k", "read -P 0 2047M 1M")
    storage.remove_disk("vol-1")
    assert storage.list_disks() == set()


@acceptance
def test_targets_that_a_restart_of_tgtd_lost_are_there_again_when_a_disk_is_located(tmp_path: Path) -> None:
    with a_target_daemon() as daemon:
        storage = daemon.storage(tmp_path)
        storage.ensure_disk(Disk("vol-1", 1))
        qemu_io(storage, "vol-1", "write -P 1 0 1M", "flush")
    with pytest.raises(DriverError):
        storage.locate_disk("vol-1")
    with a_target_daemon(daemon):
        assert "verification failed" not in qemu_io(storage, "vol-1", "read -P 1 0 1M")
        assert storage.list_disks() == {"vol-1"}


@acceptance
def test_disks_that_are_made_at_once_have_targets_of_their_own(storage: Tgt) -> None:
    names = [f"vol-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(storage.ensure_disk, [Disk(name, 1) for name in [*names, *names]]))
    assert storage.list_disks() == set(names)
    assert len({target.number for target in storage._targets().values()}) >= len(names)
    for name in names:
        storage.remove_disk(name)


@acceptance
def test_only_who_knows_the_password_comes_in(target_daemon: TargetDaemon, tmp_path: Path) -> None:
    account: Any = ("--op", "new", "--mode", "account", "--user", "guests", "--password", "by-the-river")
    target_daemon.tgtadm(*account)
    storage = target_daemon.storage(tmp_path, user="guests", secret="0f1d2f6c-7d2b-5b4e-9c57-1f1f4dc2a001")
    storage.ensure_disk(Disk("vol-1", 1))
    where = storage.locate_disk("vol-1")
    assert where.portal is not None and (where.portal.user, where.portal.secret[:8]) == ("guests", "0f1d2f6c")

    def opens(password: str) -> bool:
        secret = ["--object", f"secret,id=password,data={password}"]
        file = node(storage, "vol-1", user="guests", **{"password-secret": "password"})
        done = subprocess.run(["qemu-io", *secret, "-c", "read 0 512", file], capture_output=True, check=False)
        return done.returncode == 0

    assert opens("by-the-river") and not opens("another-river")
    assert "read 512" not in qemu_io(storage, "vol-1", "read 0 512")
    storage.remove_disk("vol-1")


@acceptance
def test_what_a_process_left_that_died_goes_with_its_disk(storage: Tgt, tmp_path: Path) -> None:
    storage.ensure_disk(Disk("vol-0", 1))
    (room,) = tmp_path.glob("*/disks")
    (room / "vol-1.0123abcd.partial").touch()
    assert storage.list_disks() == {"vol-0", "vol-1"}
    storage.ensure_disk(Disk("vol-1", 1))
    for id in ("vol-0", "vol-1"):
        storage.remove_disk(id)
    assert list(room.iterdir()) == []


@acceptance
def test_a_clone_is_whole_or_is_made_again_whenever_its_maker_is_killed(storage: Tgt, tmp_path: Path) -> None:
    storage.import_snapshot("snap-1", write_guest(tmp_path / "guest.raw"))
    clone = Disk("vol-1", 1, "snap-1")
    for _ in killed_at_every_step(lambda: storage.remove_disk("vol-1"), lambda: storage.ensure_disk(clone)):
        for disk in tmp_path.glob("*/disks/vol-1.raw"):
            assert disk.stat().st_size == 2**30, "it has its name and is not whole"
        storage.ensure_disk(clone)
        assert storage.list_disks() == {"vol-1"} and storage.locate_disk("vol-1").protocol == "iscsi"
    storage.remove_disk("vol-1")
    assert list(tmp_path.glob("*/disks/*")) == []
