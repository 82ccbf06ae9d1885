"""Attributes of images through a real client."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cloud import IMAGE, OPERATOR, Cloud
from tests.translators.test_images import MINE, ids, register

THIRD = "333333333333"


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator; a third account is there too."""
    cloud.another_account(THIRD)
    return cloud.another_account(MINE)


def permissions(client: Any, id: str) -> list[dict[str, str]]:
    answer = client.describe_image_attribute(ImageId=id, Attribute="launchPermission")
    return list(answer["LaunchPermissions"])


def test_each_attribute_is_described_by_itself(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine, Description="d", BootMode="legacy-bios", ImdsSupport="v2.0", SriovNetSupport="simple")

    def shown(attribute: str) -> Any:
        answer = mine.describe_image_attribute(ImageId=id, Attribute=attribute)
        return {k: v for k, v in answer.items() if k not in ("ImageId", "ResponseMetadata")}

    assert shown("description") == {"Description": {"Value": "d"}}
    assert shown("bootMode") == {"BootMode": {"Value": "legacy-bios"}}
    assert shown("imdsSupport") == {"ImdsSupport": {"Value": "v2.0"}}
    assert shown("sriovNetSupport") == {"SriovNetSupport": {"Value": "simple"}}
    assert shown("deregistrationProtection") == {"DeregistrationProtection": {"Value": "disabled"}}
    assert shown("kernel") == {"KernelId": {}} and shown("tpmSupport") == {"TpmSupport": {}}
    assert shown("productCodes") == {"ProductCodes": []}
    assert shown("launchPermission") == {"LaunchPermissions": []}
    with refused("AuthFailure"):
        shown("blockDeviceMapping")
    with refused("UnsupportedOperation"):
        shown("lastLaunchedTime")
    with refused("InvalidParameterValue"):
        shown("nonsense")


def test_a_description_is_changed_in_the_old_way_and_the_new_one(cloud: Cloud, mine: Any) -> None:
    id = register(cloud, mine)
    mine.modify_image_attribute(ImageId=id, Description={"Value": "new"})
    assert mine.describe_images(ImageIds=[id])["Images"][0]["Description"] == "new"
    mine.modify_image_attribute(ImageId=id, Attribute="description", Value="old")
    assert mine.describe_images(ImageIds=[id])["Images"][0]["Description"] == "old"
    mine.modify_image_attribute(ImageId=id, Attribute="imdsSupport", Value="v2.0")
    assert mine.describe_images(ImageIds=[id])["Images"][0]["ImdsSupport"] == "v2.0"


def test_launch_permissions_are_given_and_taken_in_both_ways(cloud: Cloud, mine: Any) -> None:
    id = register(cloud, mine)
    mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": THIRD}, {"Group": "all"}]})
    assert permissions(mine, id) == [{"Group": "all"}, {"UserId": THIRD}]
    assert id in ids(cloud.ec2, ExecutableUsers=["all"])
    mine.modify_image_attribute(ImageId=id, Attribute="launchPermission", OperationType="remove", UserGroups=["all"])
    assert permissions(mine, id) == [{"UserId": THIRD}]
    mine.modify_image_attribute(
        ImageId=id, Attribute="launchPermission", OperationType="add", UserIds=[OPERATOR, THIRD]
    )
    assert permissions(mine, id) == [{"UserId": OPERATOR}, {"UserId": THIRD}]
    mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"Group": "all"}], "Remove": [{"UserId": THIRD}]})
    assert permissions(mine, id) == [{"Group": "all"}, {"UserId": OPERATOR}]
    mine.reset_image_attribute(ImageId=id, Attribute="launchPermission")
    assert permissions(mine, id) == [] and id not in ids(cloud.ec2)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "MissingParameter"),
        ({"Value": "x"}, "MissingParameter"),
        ({"Attribute": "kernel", "Value": "x"}, "InvalidParameterValue"),
        ({"Attribute": "description", "Value": "x", "UserIds": [THIRD]}, "InvalidParameterCombination"),
        ({"Attribute": "launchPermission", "UserIds": [THIRD]}, "MissingParameter"),
        ({"Attribute": "launchPermission", "OperationType": "add"}, "MissingParameter"),
        ({"Attribute": "launchPermission", "Value": "x"}, "InvalidParameterCombination"),
        ({"Attribute": "description", "ImdsSupport": {"Value": "v2.0"}}, "InvalidParameterCombination"),
        ({"Description": {"Value": "x"}, "ImdsSupport": {"Value": "v2.0"}}, "InvalidParameterCombination"),
        ({"Description": {"Value": "x" * 256}}, "InvalidParameterValue"),
        ({"ImdsSupport": {"Value": "v1.0"}}, "InvalidParameterValue"),
        ({"Attribute": "imdsSupport"}, "MissingParameter"),
        ({"LaunchPermission": {"Add": [{"UserId": "12"}]}}, "InvalidAMIAttributeItemValue"),
        ({"LaunchPermission": {"Add": [{"UserId": "999999999999"}]}}, "InvalidAMIAttributeItemValue"),
        ({"LaunchPermission": {"Add": [{"UserId": THIRD, "Group": "all"}]}}, "InvalidParameterCombination"),
        ({"LaunchPermission": {"Add": [{"OrganizationArn": "arn"}]}}, "UnsupportedOperation"),
        (
            {"Attribute": "launchPermission", "OperationType": "add", "UserGroups": ["some"]},
            "InvalidAMIAttributeItemValue",
        ),
        ({"ProductCodes": ["x"]}, "UnsupportedOperation"),
    ],
)
def test_a_change_that_ec2_refuses_is_refused(
    cloud: Cloud, mine: Any, refused: Any, asked: dict[str, Any], code: str
) -> None:
    id = register(cloud, mine)
    before = mine.describe_images(ImageIds=[id])["Images"]
    with refused(code):
        mine.modify_image_attribute(ImageId=id, **asked)
    assert mine.describe_images(ImageIds=[id])["Images"] == before and permissions(mine, id) == []


def test_only_its_owner_asks_for_an_images_attributes_or_changes_them(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    third = cloud.another_account(THIRD)
    for client, image, code in ((mine, IMAGE, "AuthFailure"), (third, id, "InvalidAMIID.NotFound")):
        with refused(code):
            client.describe_image_attribute(ImageId=image, Attribute="description")
        with refused(code):
            client.modify_image_attribute(ImageId=image, Description={"Value": "x"})
        with refused(code):
            client.reset_image_attribute(ImageId=image, Attribute="launchPermission")
        with refused(code):
            client.disable_image_deprecation(ImageId=image)


def test_a_dry_run_changes_no_attribute(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    with refused("DryRunOperation"):
        mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"Group": "all"}]}, DryRun=True)
    assert permissions(mine, id) == []


def test_deprecation_is_set_to_the_minute_and_cancelled(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    year = datetime.now(UTC).year + 1
    assert mine.enable_image_deprecation(ImageId=id, DeprecateAt=f"{year}-06-01T12:00:31Z")["Return"] is True
    (image,) = mine.describe_images(ImageIds=[id])["Images"]
    assert image["DeprecationTime"] == f"{year}-06-01T12:01:00.000Z"
    for moment in (datetime.now(UTC) - timedelta(minutes=2), datetime.now(UTC) + timedelta(days=3700)):
        with refused("InvalidParameterValue"):
            mine.enable_image_deprecation(ImageId=id, DeprecateAt=moment)
    assert mine.disable_image_deprecation(ImageId=id)["Return"] is True
    assert "DeprecationTime" not in mine.describe_images(ImageIds=[id])["Images"][0]
