"""Fixtures: OVN's driver on a northbound database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.drivers.ovn import Ovn
from tests.engine.drivers import northbound
from tests.engine.drivers.networks import EXTERNAL
from tests.engine.drivers.northbound import NorthboundServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NorthboundServer]:
    if reason := northbound.missing():
        pytest.skip(reason)
    with northbound.serving(tmp_path) as server:
        yield server


@pytest.fixture
def ovn(server: NorthboundServer) -> Iterator[Ovn]:
    driver = Ovn(server.remote, EXTERNAL)
    yield driver
    driver.close()
