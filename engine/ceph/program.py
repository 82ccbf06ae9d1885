"""A program that asks a Ceph cluster what it reads on its input: `python3 program.py CEPH_CONF USER POOL`.

Ceph's bindings are packages of the distribution, made for the Python that the distribution has, and a call to a cluster
that is away may never return, or end the process. So they are in a process of their own, run by the system's Python,
that is ended when it takes too long. Each line in is ``{"id", "call", "arguments"}``, each line out ``{"id", "value"}``
or ``{"id", "error", "errno"}``, in whatever order calls end. It dies with its input, and what it was doing with it: who
asked is gone, and asks again by another one.
"""

import configparser
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

try:
    import rados
    import rbd
except ImportError:
    rados = rbd = None

CALLS_AT_ONCE = 16
PAGE = 1000
"""Keys of an index that are read at once: OSDs give no more than 1024."""
OPTIONS = {
    "client_mount_timeout": "10",
    "rados_mon_op_timeout": "20",
    "log_to_stderr": "false",
    "err_to_stderr": "false",
    "log_file": "",
    "admin_socket": "",
    "rbd_default_clone_format": "2",
}
"""Clones of format 2 are those whose snapshot may be removed before them."""


class Pool:
    """One pool of a cluster, as one user."""

    def __init__(self, conf: str, user: str, pool: str) -> None:
        self.name = pool
        self._cluster_of = (conf, user)
        self._connecting = Lock()
        self._cluster: Any = None
        self._io: Any = None
        self._output = Lock()

    # -- requests ----------------------------------------------------------------

    def serve(self) -> None:
        with ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
            for line in sys.stdin:
                threads.submit(self._answer, json.loads(line))
            os._exit(0)

    def _answer(self, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            if rbd is None:
                raise OSError(errno.ENOPKG, "the package python3-rbd is not installed")
            answer["value"] = CALLS[request["call"]](self, **request["arguments"])
        except Exception as error:
            answer.update(error=str(error), errno=abs(getattr(error, "errno", 0) or errno.EIO))
        with self._output:
            print(json.dumps(answer), flush=True)

    @property
    def cluster(self) -> Any:
        with self._connecting:
            if self._cluster is None:
                conf, user = self._cluster_of
                cluster = rados.Rados(conffile=conf, rados_id=user, conf=OPTIONS)
                cluster.connect()
                self._cluster = cluster
            return self._cluster

    @property
    def io(self) -> Any:
        cluster = self.cluster
        with self._connecting:
            if self._io is None:
                self._io = cluster.open_ioctx(self.name)
            return self._io

    def command(self, prefix: str, **arguments: str) -> Any:
        """Ask the monitors, and read their JSON."""
        asked = json.dumps({"prefix": prefix, "format": "json", **arguments})
        return json.loads(_told(self.cluster.mon_command(asked, b"")))

    def manage(self, prefix: str, **arguments: str) -> str:
        """Ask the manager."""
        return _told(self.cluster.mgr_command(json.dumps({"prefix": prefix, **arguments}), b""))

    def image(self, name: str, snap: str | None = None, read_only: bool = False) -> Any:
        return rbd.Image(self.io, name, snapshot=snap, read_only=read_only)


def _told(answer: tuple[int, bytes, str]) -> str:
    code, out, said = answer
    if code != 0:
        raise OSError(abs(code), said or os.strerror(abs(code)))
    return out.decode()


CALLS: dict[str, Callable[..., Any]] = {}


def call(function: Callable[..., Any]) -> Callable[..., Any]:
    CALLS[function.__name__] = function
    return function


@contextmanager
def ignoring(*codes: int) -> Iterator[None]:
    """Take these errors for success: what is asked for was done before."""
    try:
        yield
    except (rbd.Error, rados.Error) as error:
        if abs(error.errno or 0) not in codes:
            raise


# -- images --------------------------------------------------------------------------


@call
def create(pool: Pool, name: str, size: int) -> None:
    """Make an image of ``size`` bytes, all of them zeros."""
    rbd.RBD().create(pool.io, name, size, old_format=False, features=_features())


@call
def clone(pool: Pool, parent: str, snap: str, name: str, size: int) -> None:
    """Make an image of ``size`` bytes that begins with what a snapshot holds, without copying any of it."""
    rbd.RBD().clone(pool.io, parent, snap, pool.io, name, features=_features())
    with pool.image(name) as image:
        if image.size() != size:
            image.resize(size)


@call
def describe(pool: Pool, name: str, snap: str | None = None) -> dict[str, Any]:
    """Return the size in bytes, and whether somebody has the image open to write to it."""
    with pool.image(name, snap, read_only=True) as image:  # one that only reads is no watcher itself
        return {"size": image.size(), "watched": any(True for _ in image.watchers_list())}


@call
def resize(pool: Pool, name: str, size: int) -> None:
    with pool.image(name) as image:
        image.resize(size)


@call
def take_snapshot(pool: Pool, name: str, snap: str) -> None:
    """Snapshot an image; where somebody writes to it, that client does it between two of its writes."""
    with pool.image(name) as image, ignoring(errno.EEXIST):
        image.create_snap(snap)


@call
def drop_snapshot(pool: Pool, name: str, snap: str) -> None:
    """Remove a snapshot; Ceph keeps what its clones need until they are gone."""
    with ignoring(errno.ENOENT), pool.image(name) as image:
        image.remove_snap(snap)


@call
def written(pool: Pool, name: str, snap: str) -> int:
    """Return the bytes of those objects in a snapshot that were written since the snapshot before it."""
    total = 0

    def count(offset: int, length: int, exists: bool) -> None:
        nonlocal total
        total += length if exists else 0

    with pool.image(name, snap, read_only=True) as image:
        snaps = [each for each in image.list_snaps() if each["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER]
        (this,) = (each["id"] for each in snaps if each["name"] == snap)
        earlier = max((each for each in snaps if each["id"] < this), key=lambda each: each["id"], default=None)
        since = earlier["name"] if earlier else None
        image.diff_iterate(0, image.size(), since, count, include_parent=False, whole_object=True)
    return total


@call
def discard(pool: Pool, name: str) -> None:
    """Remove an image and its snapshots, or what a crash left of it; raise EBUSY while somebody has it open.

    The cluster's manager does it, for as long as it takes, and goes on trying while the image has clones. That is in
    the trash meanwhile.
    """
    try:
        with pool.image(name) as image:
            image_id = image.id()
            for snap in list(image.list_snaps()):
                if snap["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
                    image.remove_snap(snap["name"])
    except rbd.ImageNotFound:
        image_id = next((each["id"] for each in rbd.RBD().trash_list(pool.io) if each["name"] == name), "")
        if not image_id:
            with ignoring(errno.ENOENT):
                rbd.RBD().remove(pool.io, name)
            return
    else:
        rbd.RBD().trash_move(pool.io, name, 0)
    pool.manage("rbd task add trash remove", image_id_spec=f"{pool.name}/{image_id}")


def _features() -> int:
    """The features of Ceph's own defaults, whatever the cluster's are: snapshots and sizes are found out by them."""
    return int(
        rbd.RBD_FEATURE_LAYERING
        | rbd.RBD_FEATURE_EXCLUSIVE_LOCK
        | rbd.RBD_FEATURE_OBJECT_MAP
        | rbd.RBD_FEATURE_FAST_DIFF
        | rbd.RBD_FEATURE_DEEP_FLATTEN
    )


# -- the index: an object with keys and values ----------------------------------------


@call
def entries(pool: Pool, index: str, prefix: str) -> dict[str, str]:
    """Return the keys of an index that begin with ``prefix``, and their values."""
    found: dict[str, str] = {}
    last = ""
    while True:
        with rados.ReadOpCtx() as read:
            values, _ = pool.io.get_omap_vals(read, last, prefix, PAGE)
            try:
                pool.io.operate_read_op(read, index)
            except rados.ObjectNotFound:  # nobody has written to it yet
                return found
            page = {key: value.decode() for key, value in values}
        found.update(page)
        if len(page) < PAGE:
            return found
        last = max(page)


@call
def change(pool: Pool, index: str, expected: dict[str, str], put: dict[str, str], removed: list[str]) -> bool:
    """Change an index at one moment, unless an ``expected`` key has another value; say whether it was changed.

    A key that is not there counts as one with the value "".
    """
    with rados.WriteOpCtx() as write:
        write.new(0)
        for key, value in expected.items():
            write.omap_cmp(key, value, rados.LIBRADOS_CMPXATTR_OP_EQ)
        if put:
            pool.io.set_omap(write, tuple(put), tuple(value.encode() for value in put.values()))
        if removed:
            pool.io.remove_omap_keys(write, tuple(removed))
        try:
            pool.io.operate_write_op(write, index)
        except rados.Error as error:
            if abs(error.errno or 0) == errno.ECANCELED:
                return False
            raise
    return True


# -- the cluster ------------------------------------------------------------------------


@call
def room(pool: Pool) -> int:
    """Return how many bytes the pool can still take, each kept as often as the pool keeps it."""
    for each in pool.command("df")["pools"]:
        if each["name"] == pool.name:
            return int(each["stats"]["max_avail"])
    raise OSError(errno.ENOENT, f"there is no pool {pool.name}")


@call
def reach(pool: Pool) -> dict[str, Any]:
    """Return the cluster's id and its monitors' addresses (HOST:PORT)."""
    monitors = []
    for monitor in pool.command("mon dump")["mons"]:
        addresses = {each["type"]: each["addr"] for each in monitor["public_addrs"]["addrvec"]}
        monitors.append(addresses.get("v1") or addresses["v2"])
    return {"fsid": pool.cluster.get_fsid(), "monitors": monitors}


@call
def health(pool: Pool) -> dict[str, Any]:
    """Return what the cluster says of itself: a status, and the reasons for it."""
    told = pool.command("health")
    return {"status": told["status"], "reasons": [each["summary"]["message"] for each in told["checks"].values()]}


@call
def permits(pool: Pool) -> None:
    """Raise what the cluster answers where the key may not write to the pool, or not have the manager remove images."""
    with rados.WriteOpCtx() as write:
        write.new(0)
        write.remove()
        pool.io.operate_write_op(write, "groundfog.doctor")
    pool.manage("rbd task list")


@call
def key(pool: Pool) -> str:
    """Return the user's key, from where Ceph's configuration says that it is."""
    user = f"client.{pool._cluster_of[1]}"
    if found := str(pool.cluster.conf_get("key")):
        return found
    for file in str(pool.cluster.conf_get("keyring")).split(","):
        keyring = configparser.ConfigParser(interpolation=None)
        keyring.read(file.strip())  # of several places most have none
        if found := keyring.get(user, "key", fallback=""):
            return found
    raise OSError(errno.ENOENT, f"there is no key of {user} in the keyring")


if __name__ == "__main__":
    Pool(*sys.argv[1:4]).serve()
