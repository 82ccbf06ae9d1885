"""A pool of a Ceph cluster as the bindings have it, and what can be asked of it by name (see ``program``)."""

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

__all__ = ["CALLS", "Pool", "call", "ignoring", "rados", "rbd"]

CALLS_AT_ONCE = 16
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
        self.user = user
        self._conf = conf
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
                cluster = rados.Rados(conffile=self._conf, rados_id=self.user, conf=OPTIONS)
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

    def image(self, name: str, snap: str | None = None, read_only: bool = False, image_id: str | None = None) -> Any:
        """Open an image by its name, or by its id, which it keeps in the trash."""
        return rbd.Image(self.io, None if image_id else name, snapshot=snap, read_only=read_only, image_id=image_id)


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
