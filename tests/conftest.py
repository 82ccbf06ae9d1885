"""Fixtures: a cloud of one's own for every test, on SQLite, or on PostgreSQL where GROUNDFOG_TEST_DATABASE says so."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.host.prepare import prepare
from engine.state import Base
from engine.state.database import Database
from engine.state.schema import upgrade
from settings import Settings
from tests.acceptance import ceph
from tests.acceptance.deployment import why_not
from tests.cloud import Cloud
from tests.engine.drivers import targets
from tests.postgres import own_database


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with empty tables, to be copied: faster than making the tables for every test."""
    file = tmp_path_factory.mktemp("blank") / "blank.db"
    database = Database(f"sqlite:///{file}")
    upgrade(database)
    database.close()
    return file


@pytest.fixture(scope="session")
def emptied() -> str:
    """The URL of a PostgreSQL database with empty tables; every test that uses it empties them again."""
    url = own_database(os.environ["GROUNDFOG_TEST_DATABASE"])
    database = Database(url)
    upgrade(database)
    database.close()
    return url


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if not os.environ.get("GROUNDFOG_TEST_DATABASE"):
        shutil.copy(request.getfixturevalue("blank"), tmp_path / "test.db")
        database = Database(f"sqlite:///{tmp_path}/test.db", durable=False)
        yield database
        database.close()
        return
    database = Database(request.getfixturevalue("emptied"))
    yield database
    with database.write() as db:
        # A TRUNCATE makes new files for every table and index, which for tables this small takes thirty times as long.
        tables = reversed(Base.metadata.sorted_tables)
        db.connection().exec_driver_sql("; ".join(f'DELETE FROM "{table.name}"' for table in tables))
    database.close()


@pytest.fixture
def make_cloud(database: Database, tmp_path: Path) -> Callable[..., Cloud]:
    return lambda **settings: Cloud(database, tmp_path, **settings)


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    return make_cloud()


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.ec2


@pytest.fixture(scope="session")
def prepared_host() -> None:
    """This machine with its daemons and bridges, as ``groundfog up`` leaves it."""
    if reason := why_not():
        pytest.skip(reason)
    # Not pytest's own directory: a guest's files must be reached by QEMU's user.
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="groundfog-test-") as name:
        # A pool of its own: what a deployment on this machine routes to its guests stays so.
        prepare(Settings(data=Path(name) / "data", ipv6_pool="fd6f:6702::/32"), report=lambda _: None)


@pytest.fixture(scope="session")
def ceph_cluster() -> Iterator[ceph.Cluster]:
    """A Ceph cluster of one node, for the whole run."""
    if reason := ceph.why_not():
        pytest.skip(reason)
    with ceph.one_node() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def target_daemon() -> Iterator[targets.TargetDaemon]:
    """An iSCSI target daemon, for the whole run."""
    if reason := targets.why_not():
        pytest.skip(reason)
    with targets.a_target_daemon() as daemon:
        yield daemon


class Refused:
    """``with refused("InvalidVpcID.NotFound"):`` the block must raise that EC2 error."""

    def __call__(self, code: str, text: str = "") -> Any:
        return pytest.raises(ClientError, check=lambda e: e.response["Error"]["Code"] == code and text in str(e))


@pytest.fixture
def refused() -> Refused:
    return Refused()
