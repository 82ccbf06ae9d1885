"""A deployment on this machine: its data directory, database, secrets and hosts, made at first use."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from engine.drivers.base import Drivers
from engine.secrets import Vault, open_vault
from engine.seed import is_seeded, read_seed, sow
from engine.state import Base, Host, Region, schema
from engine.state.database import Database
from settings import Settings


@dataclass(frozen=True)
class Deployment:
    """What every process of a deployment needs."""

    settings: Settings
    database: Database
    vault: Vault

    @property
    def regions(self) -> frozenset[str]:
        with self.database.read() as db:
            return frozenset(db.scalars(select(Region.name)))


def open_deployment(settings: Settings, durable: bool = True) -> Deployment:
    """Open the deployment of these settings; fill a new one from its seed. ``durable`` is Database's."""
    settings.data.mkdir(parents=True, exist_ok=True)
    vault = open_vault(settings.secret_key, settings.data / "secret.key")
    database = Database(settings.database_url, durable)
    schema.upgrade(database)
    _fill(settings, database, vault)
    if settings.allow_reset:
        _keep_seeded(settings, database)
    return Deployment(settings, database, vault)


def _fill(settings: Settings, database: Database, vault: Vault) -> None:
    """Fill a new database from the seed, once, though several processes open it at the same time."""
    with database.read() as db:
        if is_seeded(db):
            return
    with database.write() as db:
        schema.wait_for_turn(db.connection())
        sow(db, settings, vault, read_seed(settings.seed))


def register_hosts(deployment: Deployment, drivers: dict[str, Drivers]) -> None:
    """Record what each host has, so that it can be promised. Several regions on one host share it equally."""
    settings = deployment.settings
    with deployment.database.write() as db:
        for region, driver in drivers.items():
            for name, compute in driver.computes.items():
                if settings.engine == "simulated":
                    continue
                capacity = compute.capacity()
                host = db.get(Host, name) or Host(name=name, region=region, vcpus_used=0, memory_used_mib=0)
                memory = max(capacity.memory_mib - settings.memory_reserved_mib, 0) // len(drivers)
                # What is promised already stays promised, though the host may have less now.
                host.memory_mib = max(memory, host.memory_used_mib)
                host.vcpus = max(int(capacity.vcpus * settings.cpu_overcommit) // len(drivers), host.vcpus_used)
                db.add(host)


def _seeded(settings: Settings) -> Path:
    return settings.data / "seeded.db"


def _keep_seeded(settings: Settings, database: Database) -> None:
    """Keep a copy of the database as it was seeded, once, for ``reset`` to go back to."""
    if database.is_sqlite and not _seeded(settings).exists():
        with sqlite3.connect(settings.data / "groundfog.db") as now, sqlite3.connect(_seeded(settings)) as copy:
            now.backup(copy)


def reset(deployment: Deployment) -> None:
    """Bring the database back to what it was when it was seeded."""
    database = deployment.database
    if not database.is_sqlite:
        _sow_again(deployment)
        return
    with sqlite3.connect(_seeded(deployment.settings)) as seeded, database.exclusive() as now:
        seeded.backup(now)
    # The copy may be older than this version's tables.
    schema.upgrade(database)


def _sow_again(deployment: Deployment) -> None:
    names = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
    with deployment.database.write() as db:
        db.connection().exec_driver_sql(f"TRUNCATE {names}")
        sow(db, deployment.settings, deployment.vault, read_seed(deployment.settings.seed))
