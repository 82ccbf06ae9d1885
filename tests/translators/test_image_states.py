"""Images disabled, protected and kept from the public, through a real client."""

from typing import Any

import pytest

from engine.state import Image
from tests.cloud import IMAGE, Cloud
from tests.translators.test_images import MINE, ids, register

THIRD = "333333333333"


@pytest.fixture
def mine(cloud: Cloud) -> Any:
    """The client of an account that is not the operator; a third account is there too."""
    cloud.another_account(THIRD)
    return cloud.another_account(MINE)


def shown(client: Any, id: str) -> dict[str, Any]:
    (image,) = client.describe_images(ImageIds=[id], IncludeDisabled=True)["Images"]
    return dict(image)


def launch(client: Any, id: str) -> None:
    client.run_instances(ImageId=id, MinCount=1, MaxCount=1)


def test_a_disabled_image_launches_nothing_and_whom_it_was_shared_with_has_lost_it(
    cloud: Cloud, mine: Any, refused: Any
) -> None:
    id, third = register(cloud, mine), cloud.another_account(THIRD)
    mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": THIRD}, {"Group": "all"}]})
    assert mine.disable_image(ImageId=id)["Return"] is True
    assert mine.disable_image(ImageId=id)["Return"] is True
    assert (shown(mine, id)["State"], shown(mine, id)["Public"]) == ("disabled", False)
    assert id not in ids(mine) and id in ids(mine, IncludeDisabled=True)
    for client, code in ((mine, "InvalidAMIID.Unavailable"), (third, "InvalidAMIID.NotFound")):
        with refused(code):
            launch(client, id)
    with refused("IncorrectState", "cannot be shared"):
        mine.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": THIRD}]})
    assert mine.enable_image(ImageId=id)["Return"] is True
    assert mine.enable_image(ImageId=id)["Return"] is True
    assert shown(mine, id)["State"] == "available" and id not in ids(third)
    assert mine.describe_image_attribute(ImageId=id, Attribute="launchPermission")["LaunchPermissions"] == []
    launch(mine, id)


def test_only_an_available_image_is_disabled(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    with cloud.database.write() as db:
        db.get_one(Image, id).state = "pending"
    for call in (mine.disable_image, mine.enable_image):
        with refused("IncorrectState"):
            call(ImageId=id)
        with refused("AuthFailure"):
            call(ImageId=IMAGE)
        with refused("InvalidAMIID.NotFound"):
            call(ImageId="ami-0123456789abcdef9")


def test_a_protected_image_is_not_deregistered(cloud: Cloud, mine: Any, refused: Any) -> None:
    id = register(cloud, mine)
    assert mine.enable_image_deregistration_protection(ImageId=id)["Return"] == "enabled-without-cooldown"
    assert shown(mine, id)["DeregistrationProtection"] == "enabled-without-cooldown"
    attribute = mine.describe_image_attribute(ImageId=id, Attribute="deregistrationProtection")
    assert attribute["DeregistrationProtection"]["Value"] == "enabled-without-cooldown"
    with refused("OperationNotPermitted"):
        mine.deregister_image(ImageId=id)
    assert mine.disable_image_deregistration_protection(ImageId=id)["Return"] == "disabled"
    mine.deregister_image(ImageId=id)


def test_a_protection_with_a_cooldown_holds_for_a_day_after_it_was_disabled(
    cloud: Cloud, mine: Any, refused: Any
) -> None:
    id = register(cloud, mine)
    answer = mine.enable_image_deregistration_protection(ImageId=id, WithCooldown=True)
    assert answer["Return"] == shown(mine, id)["DeregistrationProtection"] == "enabled-with-cooldown"
    for _ in range(2):
        mine.disable_image_deregistration_protection(ImageId=id)
        with refused("OperationNotPermitted", "cooldown"):
            mine.deregister_image(ImageId=id)
    with cloud.database.write() as db:
        db.get_one(Image, id).protected_until = "2020-01-01T00:00:00.000Z"
    mine.deregister_image(ImageId=id)


def test_only_its_owner_protects_an_image(cloud: Cloud, mine: Any, refused: Any) -> None:
    for call in (mine.enable_image_deregistration_protection, mine.disable_image_deregistration_protection):
        with refused("AuthFailure"):
            call(ImageId=IMAGE)


def test_where_sharing_is_blocked_no_image_becomes_public(cloud: Cloud, mine: Any, refused: Any) -> None:
    old, new = register(cloud, mine, "old"), register(cloud, mine, "new")
    public = {"Add": [{"Group": "all"}]}
    mine.modify_image_attribute(ImageId=old, LaunchPermission=public)
    assert mine.get_image_block_public_access_state()["ImageBlockPublicAccessState"] == "unblocked"
    answer = mine.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    assert answer["ImageBlockPublicAccessState"] == "block-new-sharing"
    answer = mine.get_image_block_public_access_state()
    assert (answer["ImageBlockPublicAccessState"], answer["ManagedBy"]) == ("block-new-sharing", "account")
    with refused("OperationNotPermitted", "publicly share"):
        mine.modify_image_attribute(ImageId=new, LaunchPermission=public)
    mine.modify_image_attribute(ImageId=new, LaunchPermission={"Add": [{"UserId": THIRD}]})
    mine.modify_image_attribute(ImageId=old, LaunchPermission=public)
    assert sorted(ids(cloud.another_account(THIRD), Owners=[MINE])) == sorted([old, new])
    assert cloud.ec2.get_image_block_public_access_state()["ImageBlockPublicAccessState"] == "unblocked"
    assert mine.disable_image_block_public_access()["ImageBlockPublicAccessState"] == "unblocked"
    mine.modify_image_attribute(ImageId=new, LaunchPermission=public)
    with refused("InvalidParameterValue"):
        mine.enable_image_block_public_access(ImageBlockPublicAccessState="unblocked")
