"""Fixtures: a cloud of one's own for every test, on SQLite, or on PostgreSQL where GROUNDFOG_TEST_DATABASE says so."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import settings as examples
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import LRUCache

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

# How long an example takes says nothing on a machine that boots guests at the same time.
examples.register_profile("beside guests", deadline=None)
examples.load_profile("beside guests")


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


class Warm(Database):
    """A database whose statements SQLAlchemy compiles once for all tests: that takes a fifth of their time."""

    _dialects: ClassVar[dict[str, Dialect]] = {}
    _compiled: ClassVar[LRUCache[Any, Any]] = LRUCache(2000)

    def __init__(self, url: str, durable: bool = True) -> None:
        super().__init__(url, durable)
        for engine in (self.writer, self.reader):
            # What was compiled is found by the dialect it was compiled for.
            engine.dialect = self._dialects.setdefault(engine.name, engine.dialect)
            engine.update_execution_options(compiled_cache=self._compiled)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    random.seed(7)  # what is given an address by chance is never, one time in two hundred, given one that a test names
    if not os.environ.get("GROUNDFOG_TEST_DATABASE"):
        shutil.copy(request.getfixturevalue("blank"), tmp_path / "test.db")
        database: Database = Warm(f"sqlite:///{tmp_path}/test.db", durable=False)
        yield database
        database.close()
        return
    database = Warm(request.getfixturevalue("emptied"))
    yield database
    with database.write() as db:
        # A TRUNCATE makes new files for every table and index, which for tables this small takes thirty times as long.
        tables = reversed(Base.metadata.sorted_tables)
        db.connection().exec_driver_sql("; ".join(f'DELETE FROM "{table.name}"' for table in tables))
    database.close()


@pytest.fixture(scope="session")
def sown(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with what a cloud of the usual settings begins with: to be copied, as that is."""
    directory = tmp_path_factory.mktemp("sown")
    file = Path(shutil.copy(blank, directory / "sown.db"))
    database = Database(f"sqlite:///{file}", durable=False)
    Cloud(database, directory)
    database.close()
    return file


@pytest.fixture
def make_cloud(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Callable[..., Cloud]:
    def make(**settings: Any) -> Cloud:
        pools = [engine.pool for engine in (database.writer, database.reader)]
        is_untouched = not any(isinstance(pool, QueuePool) and pool.checkedin() + pool.checkedout() for pool in pools)
        if database.is_sqlite and is_untouched and not settings:
            shutil.copy(request.getfixturevalue("sown"), tmp_path / "test.db")
        return Cloud(database, tmp_path, **settings)

    return make


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
