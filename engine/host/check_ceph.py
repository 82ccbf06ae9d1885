"""The doctor's look at the Ceph cluster that zones have their disks in, with the key that is used for them."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.ceph.session import Ceph
from engine.host.ceph import ANSWER_LIMIT, knows_secret, read_secret
from engine.host.findings import UP, Check, Examine
from settings import Settings

LITTLE = 5 << 30
"""Bytes of room in a pool below which an image import may fail."""


def check_ceph(settings: Settings) -> Check:
    """The cluster lets the key in, and has nothing to complain of."""
    name, user = "ceph", f"client.{settings.ceph_user}"
    with _asked(settings, settings.ceph_pools[0]) as ceph:
        found = ceph.call("health", ANSWER_LIMIT)
    detail = f"{user}: {found['status']}{''.join(f'; {reason}' for reason in found['reasons'])}"
    ok = {"HEALTH_OK": True, "HEALTH_WARN": None}.get(found["status"], False)
    return Check(name, ok, detail, "" if ok else "run: ceph health detail")


def check_ceph_pools(settings: Settings) -> Check:
    """Each pool is there and has room, and the key may use it."""
    name, details, short = "ceph pools", [], False
    for pool in settings.ceph_pools:
        with _asked(settings, pool) as ceph:
            room = int(ceph.call("room", ANSWER_LIMIT))
            try:
                ceph.call("permits", ANSWER_LIMIT)
            except OSError as error:
                caps = f"mon 'profile rbd' osd 'profile rbd pool={pool}' mgr 'profile rbd pool={pool}'"
                remedy = f"run: ceph auth caps client.{settings.ceph_user} {caps}"
                return Check(name, False, f"{pool} cannot be used: {error.strerror}", remedy)
        details.append(f"{pool}: {room / 2**30:.0f} GiB free")
        short = short or room < LITTLE
    return Check(name, None if short else True, ", ".join(details), "delete volumes, or add OSDs" if short else "")


def check_ceph_secret(settings: Settings) -> Check:
    """libvirt has the key, without which no guest reaches its disks."""
    secret = read_secret(settings)
    if knows_secret(settings, secret.uuid):
        return Check("ceph secret", True, f"libvirt has the key of client.{secret.user}")
    return Check("ceph secret", False, f"libvirt lacks the key of client.{secret.user}", UP)


@contextmanager
def _asked(settings: Settings, pool: str) -> Iterator[Ceph]:
    ceph = Ceph(settings.ceph_conf, settings.ceph_user, pool)
    try:
        yield ceph
    finally:
        ceph.close()


CEPH: tuple[Examine, ...] = (check_ceph, check_ceph_pools, check_ceph_secret)
