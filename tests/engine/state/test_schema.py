"""Tables of a new database and of an old one: made once, whoever comes first, and the same either way."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from engine.deployment import open_deployment
from engine.state import Base, schema
from engine.state.database import Database
from settings import Settings
from tests.postgres import own_database

URL = os.environ.get("GROUNDFOG_TEST_DATABASE", "")
SECOND = '''"""Give zones a colour."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    with op.batch_alter_table("zone") as zone:
        zone.add_column(sa.Column("colour", sa.String(8), nullable=False, server_default="green"))
        zone.drop_constraint("zone_region_fkey", type_="foreignkey")
        zone.create_foreign_key("zone_region_fkey", "region", ["region"], ["name"])
'''


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    """A database without tables; on PostgreSQL a schema of its own."""
    if not URL:
        database = Database(f"sqlite:///{tmp_path}/groundfog.db", durable=False)
        yield database
        database.close()
        return
    url = own_database(URL)
    outside, inside = Database(url), Database(f"{url}&options=-csearch_path%3Dempty")
    _run(outside, "CREATE SCHEMA empty")
    yield inside
    inside.close()
    _run(outside, "DROP SCHEMA empty CASCADE")
    outside.close()


def _run(database: Database, sql: str) -> None:
    with database.writer.begin() as connection:
        connection.exec_driver_sql(sql)


def migrate(database: Database) -> None:
    """Lead an empty database through every migration."""
    with schema._alone(database) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        command.upgrade(config, "head")


def content(connection: Connection) -> dict[str, Any]:
    """Return all that the database knows of its tables, but for the order of columns, which means nothing."""
    looked, found = inspect(connection), {}
    for table in looked.get_table_names():
        found[table] = {
            "columns": sorted(str((c["name"], repr(c["type"]), c["nullable"], c["default"]))
                              for c in looked.get_columns(table)),
            "primary": looked.get_pk_constraint(table),
            "foreign": sorted(map(str, looked.get_foreign_keys(table))),
            "unique": sorted(map(str, looked.get_unique_constraints(table))),
            "checks": sorted(map(str, looked.get_check_constraints(table))),
            "indexes": sorted(map(_index, looked.get_indexes(table))),
        }  # fmt: skip
    return found


def _index(found: Any) -> str:
    conditions = {name: str(value) for name, value in found.get("dialect_options", {}).items()}
    return str({**found, "dialect_options": conditions})


def test_the_migrations_make_what_the_tables_say(empty: Database) -> None:
    migrate(empty)
    with empty.writer.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}),
            Base.metadata,
        )
    assert differences == [], "write a migration: python -m engine.state.migrations 'What it is for'"


def test_a_new_database_and_a_migrated_one_are_the_same(empty: Database) -> None:
    migrate(empty)
    with empty.writer.connect() as connection:
        migrated = content(connection)
    with empty.writer.begin() as connection:
        Base.metadata.drop_all(connection)
        schema.VERSION.drop(connection)
    schema.upgrade(empty)
    with empty.writer.connect() as connection:
        made = content(connection)
    made.pop(schema.VERSION.name), migrated.pop(schema.VERSION.name)
    assert made == migrated


def test_every_constraint_has_a_name_by_which_it_can_be_changed() -> None:
    for table in Base.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name


def test_the_head_is_the_last_migration_and_they_follow_one_another() -> None:
    numbers = sorted(file.name[:4] for file in (schema.MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)] and schema.head() == numbers[-1]


def test_many_processes_that_open_a_new_database_make_it_once(empty: Database) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        database = Database(str(empty.url), durable=False)
        try:
            schema.upgrade(database)
        except BaseException as error:
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with empty.reader.connect() as connection:
        assert schema._revision(connection) == schema.head()


def test_an_up_to_date_database_costs_one_look_and_no_alembic(empty: Database) -> None:
    schema.upgrade(empty)
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        schema.upgrade(empty)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.005
    program = f"""
import sys
from engine.state import schema
from engine.state.database import Database
schema.upgrade(Database({empty.url!r}))
assert "alembic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=schema.MIGRATIONS.parents[2])


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This version of the program has a second migration."""
    migrations = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, migrations)
    for file in (migrations / "versions").glob("[0-9]*.py"):
        if file.name[:4] > "0001":
            file.unlink()
    (migrations / "versions" / "0002_zones.py").write_text(SECOND)
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)


@pytest.fixture
def old(empty: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of the first version, with rows that refer to one another."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "head", lambda: "0001")
        schema.upgrade(empty)
    with empty.writer.begin() as connection:
        connection.execute(text("INSERT INTO region (name, engine) VALUES ('r', 'simulated')"))
        connection.execute(
            text("INSERT INTO zone (name, region, zone_id, storage) VALUES ('ra', 'r', 'r-az1', 'default')")
        )
    return empty


def test_an_old_database_is_migrated_and_keeps_its_rows(old: Database, newer: None) -> None:
    schema.upgrade(old)
    with old.reader.connect() as connection:
        assert schema._revision(connection) == "0002"
        assert connection.execute(text("SELECT name, region, colour FROM zone")).all() == [("ra", "r", "green")]
    with old.writer.connect() as connection:
        if old.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_many_processes_that_open_an_old_database_migrate_it_once(old: Database, newer: None) -> None:
    """Processes, not threads: alembic's environment is one a process."""
    program = f"""
import sys
from pathlib import Path
from engine.state import schema
from engine.state.database import Database
schema.MIGRATIONS = Path({str(schema.MIGRATIONS)!r})
schema.upgrade(Database({old.url!r}, durable=False))
"""
    here = Path(__file__).parents[3]
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=here) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    with old.reader.connect() as connection:
        assert schema._revision(connection) == "0002"


def test_a_migration_that_fails_leaves_the_database_as_it_was(old: Database, newer: None) -> None:
    file = schema.MIGRATIONS / "versions" / "0002_zones.py"
    file.write_text(file.read_text() + '    op.execute("SELECT 1 FROM nowhere")\n')
    with pytest.raises(Exception, match="nowhere"):
        schema.upgrade(old)
    with old.reader.connect() as connection:
        assert schema._revision(connection) == "0001"
        assert "colour" not in [column["name"] for column in inspect(connection).get_columns("zone")]


def test_a_newer_versions_database_is_refused(old: Database) -> None:
    _run(old, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(schema.SchemaError, match="newer version"):
        schema.upgrade(old)


def test_tables_of_no_known_version_are_refused(empty: Database) -> None:
    _run(empty, "CREATE TABLE instance (id INTEGER)")
    with pytest.raises(schema.SchemaError, match="no known version"):
        schema.upgrade(empty)


def test_processes_that_open_a_new_deployment_at_once_agree(tmp_path: Path) -> None:
    """The API, the worker and the metadata service, on a directory that is not there."""
    program = f"""
from pathlib import Path
from engine.deployment import open_deployment
from settings import Settings
deployment = open_deployment(Settings(engine="simulated", data=Path({str(tmp_path / "data")!r}), regions="r-1"))
assert deployment.regions == {{"r-1"}}
"""
    here = Path(__file__).parents[3]
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=here) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]


def test_a_reset_to_an_older_versions_seed_is_migrated_too(tmp_path: Path, newer: None) -> None:
    from engine.deployment import reset

    settings = Settings(engine="simulated", data=tmp_path / "data", regions="r-1", allow_reset=True)
    settings.data.mkdir()
    new = schema.MIGRATIONS
    try:
        schema.MIGRATIONS = Path(schema.__file__).with_name("migrations")
        open_deployment(settings).database.close()
    finally:
        schema.MIGRATIONS = new
    deployment = open_deployment(settings)
    reset(deployment)
    with sqlite3.connect(settings.data / "groundfog.db") as database:
        assert database.execute("SELECT DISTINCT colour FROM zone").fetchall() == [("green",)]
    deployment.database.close()
