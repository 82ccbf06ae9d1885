"""``groundfog images``: the operator's images."""

from pathlib import Path
from typing import Any, cast

import pytest

from cli.images import _local
from cli.terminal import Failure
from settings import Settings
from tests.cloud import IMAGE, Cloud
from tests.engine.imports import image, web_server
from tests.test_cli_networks import Groundfog, groundfog

__all__ = ["groundfog"]


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


def test_an_image_is_put_into_a_family_and_back(cloud: Cloud, groundfog: Groundfog) -> None:
    name = "/aws/service/debian/release/12/latest/amd64"
    assert f"{IMAGE} is of the family debian-12" in groundfog("images", "set-family", IMAGE, "debian-12")
    assert cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] == IMAGE
    assert "debian-12" in groundfog("images", "list")
    assert f"{IMAGE} is of the family groundfog-demo" in groundfog("images", "set-family", IMAGE, "")
    assert "debian-12" not in groundfog("images", "list")
    assert "cannot find the image ami-1" in groundfog("images", "set-family", "ami-1", "x", code=1)


@pytest.mark.parametrize("family", ["a b", "/a", "a//b", "a/", "é"])
def test_a_family_that_no_parameter_can_name_is_refused(groundfog: Groundfog, family: str) -> None:
    assert "cannot call a family" in groundfog("images", "set-family", IMAGE, family, code=1)
    imported = groundfog("images", "import", "disk.raw", "--name", "x", "--family", family, code=1)
    assert "cannot call a family" in imported
