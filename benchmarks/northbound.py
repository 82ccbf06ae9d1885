"""A northbound database of its own, for benchmarks and tests: neither needs nor disturbs the system's OVN."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")


def missing() -> str:
    """Say what this needs and does not find; empty when all is there."""
    for program in ("ovsdb-server", "ovsdb-tool", "ovsdb-client"):
        if shutil.which(program) is None:
            return f"{program} (Open vSwitch) is not installed"
    return "" if SCHEMA.exists() else f"{SCHEMA} (OVN) is not installed"


class NorthboundServer:
    """An ovsdb-server of its own, on a socket in ``folder``; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "nb.db"
        self._socket = folder / "nb.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._create()

    def _create(self) -> None:
        subprocess.run(["ovsdb-tool", "create", str(self._file), str(SCHEMA)], check=True)

    @property
    def remote(self) -> str:
        return f"unix:{self._socket}"

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        control = f"--unixctl={self._socket}.ctl"
        command = ["ovsdb-server", str(self._file), f"--remote=p{self.remote}", control, "-vconsole:off"]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + 10
        while not self._socket.exists():
            assert time.monotonic() < deadline, "ovsdb-server does not start"
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def lose(self) -> None:
        """Start again with nothing, as after the loss of a disk."""
        self.kill()
        self._file.unlink()
        self._create()
        self.start()

    def dump(self) -> dict[str, dict[str, str]]:
        """Return, for each table that has rows, each row's UUID and the version that any write to it changes."""
        tables = list(json.loads(SCHEMA.read_text())["tables"])
        select = [{"op": "select", "table": table, "where": [], "columns": ["_uuid", "_version"]} for table in tables]
        results = self._transact(select)
        rows = {
            t: {r["_uuid"][1]: r["_version"][1] for r in each["rows"]} for t, each in zip(tables, results, strict=True)
        }
        return {table: found for table, found in rows.items() if found}

    def rows(self, table: str) -> list[dict[str, Any]]:
        return list(self._transact([{"op": "select", "table": table, "where": []}])[0]["rows"])

    def _transact(self, operations: list[Any]) -> list[Any]:
        request = json.dumps(["OVN_Northbound", *operations])
        command = ["ovsdb-client", "transact", self.remote, request]
        return list(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


@contextmanager
def serving(folder: Path) -> Iterator[NorthboundServer]:
    server = NorthboundServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
