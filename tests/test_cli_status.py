"""What ``groundfog status`` tells of volumes."""

import re

import pytest

from cli.status import _show_volumes
from tests.cloud import Cloud
from tests.engine.volumes import creating


def test_it_tells_how_much_is_promised(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.look(_show_volumes)
    assert capsys.readouterr().out == ""
    for size in (4, 10):
        creating(cloud, Size=size)
    cloud.look(_show_volumes)
    assert re.search(r"us-east-1\s+2\s+14\b", capsys.readouterr().out)
