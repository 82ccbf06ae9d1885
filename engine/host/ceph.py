"""Gives libvirt the key of the Ceph cluster that zones have their disks in."""

import tempfile
from dataclasses import dataclass

from engine.ceph.session import Ceph, CephError, secret_uuid
from engine.host.commands import Report, attempt, run
from settings import Settings

ANSWER_LIMIT = 30.0
_SECRET = """<secret ephemeral="no" private="yes">
  <uuid>{uuid}</uuid>
  <usage type="ceph"><name>client.{user} of cluster {fsid}</name></usage>
</secret>
"""


@dataclass(frozen=True)
class Secret:
    """The key of a user, which libvirt keeps under a UUID and gives to QEMU; nobody else reads it there."""

    uuid: str
    user: str
    fsid: str
    key: str


def ensure_ceph(settings: Settings, report: Report) -> None:
    """Define the secret with which guests reach their disks, or give it the key that the user has now.

    A cluster that does not answer is reported, and keeps nobody from starting: zones without it can do without it.
    """
    if not settings.ceph_pools:
        return
    try:
        secret = read_secret(settings)
    except CephError as error:
        report(f"going on without Ceph, which does not let client.{settings.ceph_user} in: {error.strerror}")
        return
    if not knows_secret(settings, secret.uuid):
        report(f"giving libvirt the key of client.{secret.user}")
    _define(settings, secret)


def read_secret(settings: Settings) -> Secret:
    """Ask the cluster for its id, and the keyring for the key. Raises CephError."""
    ceph = Ceph(settings.ceph_conf, settings.ceph_user, settings.ceph_pools[0])
    try:
        fsid = str(ceph.call("reach", ANSWER_LIMIT)["fsid"])
        key = str(ceph.call("key", ANSWER_LIMIT))
    finally:
        ceph.close()
    return Secret(secret_uuid(fsid, settings.ceph_user), settings.ceph_user, fsid, key)


def knows_secret(settings: Settings, uuid: str) -> bool:
    return attempt(["virsh", "--connect", settings.libvirt_uri, "secret-dumpxml", uuid]).returncode == 0


def _define(settings: Settings, secret: Secret) -> None:
    virsh = ["virsh", "--connect", settings.libvirt_uri]
    # Through files that only root reads: a command line is everybody's.
    with tempfile.NamedTemporaryFile("w") as definition, tempfile.NamedTemporaryFile("w") as key:
        definition.write(_SECRET.format(uuid=secret.uuid, user=secret.user, fsid=secret.fsid))
        definition.flush()
        key.write(secret.key)
        key.flush()
        run([*virsh, "secret-define", definition.name])
        run([*virsh, "secret-set-value", secret.uuid, "--file", key.name])
