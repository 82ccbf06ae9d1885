"""``groundfog images``, on the database of a cloud in this process."""

import pytest

from tests.cloud import IMAGE, Cloud
from tests.test_cli_networks import Groundfog, groundfog

__all__ = ["groundfog"]


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
