"""What can be asked of the cluster itself."""

import configparser
import errno
from typing import Any

from engine.ceph.pool import Pool, call, rados


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
    user = f"client.{pool.user}"
    if found := str(pool.cluster.conf_get("key")):
        return found
    for file in str(pool.cluster.conf_get("keyring")).split(","):
        keyring = configparser.ConfigParser(interpolation=None)
        keyring.read(file.strip())  # of several places most have none
        if found := keyring.get(user, "key", fallback=""):
            return found
    raise OSError(errno.ENOENT, f"there is no key of {user} in the keyring")
