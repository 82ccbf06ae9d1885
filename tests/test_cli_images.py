"""Images that the operator imports by ``groundfog images``."""

from pathlib import Path
from typing import Any, cast

import pytest

from cli.images import _local
from cli.terminal import Failure
from settings import Settings
from tests.engine.imports import image, web_server


class _Deployment:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings


def test_an_image_is_fetched_from_a_url_and_does_not_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = image(tmp_path / "web", "disk.raw").read_bytes()
    deployment = cast(Any, _Deployment(Settings(engine="simulated", data=tmp_path / "data", import_limit_gib=1)))
    with web_server(tmp_path / "web", {"/moved": "/disk.raw"}) as root:
        for path in ("disk.raw", "moved"):
            with _local(deployment, f"{root}/{path}") as file:
                assert file.read_bytes() == whole
            assert list((tmp_path / "data" / "images").iterdir()) == []
        assert "fetching" in capsys.readouterr().err
        with pytest.raises(Failure, match="404"), _local(deployment, f"{root}/none"):
            pass
    with _local(deployment, "disk.raw") as file:
        assert file == Path("disk.raw")
