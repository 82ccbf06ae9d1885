"""A PostgreSQL for the tests: ``python -m tests.postgres COMMAND...`` runs a command with a cluster of its own.

The cluster lives in a temporary directory, listens on a socket there and nowhere else, and writes nothing through to
the disk. GROUNDFOG_TEST_DATABASE names it to the command.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")
OPTIONS = {
    "listen_addresses": "", "max_connections": "300", "fsync": "off", "synchronous_commit": "off",
    "full_page_writes": "off", "autovacuum": "off",
}  # fmt: skip


@contextmanager
def cluster() -> Iterator[str]:
    """Start a cluster and give its SQLAlchemy URL; afterwards, nothing is left of it."""
    versions = sorted(PROGRAMS.glob("*/bin"), key=lambda path: float(path.parent.name))
    if not versions:
        raise SystemExit("cannot start PostgreSQL: it is not installed; run: apt-get install postgresql")
    programs = versions[-1]
    folder = Path(tempfile.mkdtemp(prefix="groundfog-pg-"))
    # PostgreSQL refuses to be root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    log = (folder / "log").open("w")
    initialise = [f"{programs}/initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run([*initialise, "--locale=C.UTF-8"], user=user, cwd="/", stdout=log, stderr=log, check=True)
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-k", folder, *options],
        user=user,
        cwd="/",
        stdout=log,
        stderr=log,
    )
    try:
        _wait_until_ready(programs, folder, server)
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(programs: Path, folder: Path, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"cannot start PostgreSQL:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)


@cache
def own_database(url: str) -> str:
    """Return the URL of this test process's own database in a cluster, made at its first call.

    Processes that test side by side (pytest-xdist) would empty each other's tables.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return new_database(url, f"groundfog_{worker}") if worker else url


def new_database(url: str, name: str) -> str:
    """Make an empty database in a cluster, in place of one of that name, and return its URL."""
    import psycopg
    from sqlalchemy.engine import make_url

    whole = make_url(url)
    plain = whole.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return whole.set(database=name).render_as_string(hide_password=False)


def main() -> int:
    with cluster() as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "GROUNDFOG_TEST_DATABASE": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
