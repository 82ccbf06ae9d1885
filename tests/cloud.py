"""A whole cloud in one process: a real AWS client, the gateway, the worker, a simulated engine."""

import time
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from urllib3 import HTTPHeaderDict

from engine import tasks
from engine.fleet import simulate
from engine.secrets import Vault
from engine.seed import OPERATOR, Seed, SeedAccount, add_account, read_seed, sow
from engine.snapshot_blocks import SnapshotBlocks
from engine.state import Task, Zone
from engine.state.database import Database
from gateway.app import create_app
from settings import Settings

KEY = "Zm9nZm9nZm9nZm9nZm9nZm9nZm9nZm9nZm9nZm9nZm8="
IMAGE = "ami-00000000000000001"
REGION = "us-east-1"
Value = TypeVar("Value")


@cache
def _client(service: str, region: str, key: str, secret: str) -> Any:
    """Clients are dear to make and cheap to keep: each serves whatever cloud is the current one."""
    session = botocore.session.get_session()
    session.set_credentials(key, secret)
    client = session.create_client(
        service,
        region_name=region,
        endpoint_url="http://ec2.test",
        config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )
    client.meta.events.register(f"before-send.{service}", lambda request, **_: Cloud.current.send(request))
    return client


class _Raw(BytesIO):
    """A reply's body, as botocore reads it: whole or by and by."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


class Cloud:
    """``ec2`` is the first account's client in us-east-1; ``client(...)`` makes others."""

    current: ClassVar["Cloud"]

    def __init__(self, database: Database, directory: Path, seed: Seed | None = None, **settings: Any) -> None:
        self.database = database
        self.settings = Settings(engine="simulated", data=directory, **settings)
        self.vault = Vault(KEY)
        with database.write() as db:
            sow(db, self.settings, self.vault, seed or read_seed(None))
        with database.read() as db:
            zones = db.execute(select(Zone.region, Zone.name)).all()
        self.regions = frozenset(region for region, _ in zones)
        self.backend = simulate(database)
        self.drivers = dict.fromkeys(self.regions, self.backend.drivers())
        self.engine = tasks.Engine(database, self.drivers, self.settings)
        blocks = SnapshotBlocks(self.backend.storages, self.vault.sign, self.settings)
        self.app = create_app(self.settings, database, self.vault, self.regions, blocks=blocks)
        self.http = self.app.test_client()
        self.ec2 = self.client()

    def client(self, service: str = "ec2", region: str = REGION, key: str = "test", secret: str = "test") -> Any:
        """Return a botocore client whose requests are really signed, and handed to the app in this process."""
        Cloud.current = self
        return _client(service, region, key, secret)

    def send(self, request: Any) -> AWSResponse:
        headers = [(k, v.decode() if isinstance(v, bytes) else v) for k, v in request.headers.items()]
        answer = self.http.open(request.url, method=request.method, data=request.body, headers=headers)
        return AWSResponse(request.url, answer.status_code, HTTPHeaderDict(answer.headers.items()), _Raw(answer.data))

    def another_account(self, id: str = "222222222222") -> Any:
        """Return a client of a second account, made at the first call."""
        with self.database.write() as db:
            from engine.state import Account

            if db.get(Account, id) is None:
                account = SeedAccount(id=id, name=f"a{id}", access_key_id=f"AKIA{id}", secret_access_key=f"secret{id}")
                add_account(db, self.settings, self.vault, account)
        return self.client(key=f"AKIA{id}", secret=f"secret{id}")

    def run_steps(self, count: int) -> None:
        """Let the worker take that many tasks, one after the other, without letting time pass."""
        for _ in range(count):
            tasks.run_one(self.engine, time.time())

    def run_single_steps(self, count: int) -> None:
        """Let the worker do exactly that many steps of the oldest task, as if it were killed after the last."""
        now, task = time.time() + 1, None
        for _ in range(count):
            task = task or tasks._lease(self.database, now)
            if task is None:
                return
            if not tasks._run_step(self.engine, task, now):
                task = None
        if task is not None:
            tasks._release(self.database, task)

    def look(self, read: Callable[[Session], Value]) -> Value:
        with self.database.read() as db:
            return read(db)

    def settle(self) -> None:
        """Run the worker until no task is left, letting time pass as it must."""
        now = time.time()
        for _ in range(2000):
            if not tasks.run_one(self.engine, now):
                with self.database.read() as db:
                    if not db.scalar(select(func.count()).select_from(Task)):
                        return
                now += 5
        with self.database.read() as db:
            left = [(t.resource_id, t.workflow, t.step, t.error) for t in db.scalars(select(Task))]
        raise AssertionError(f"the cloud never settled: {left}")


__all__ = ["IMAGE", "KEY", "OPERATOR", "REGION", "Cloud"]
