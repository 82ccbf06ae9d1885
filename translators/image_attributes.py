"""What can be said and changed of an image one attribute at a time, above all who may launch it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select

from engine.state import Account, Image, ImageBlockDevice, LaunchPermission
from translators.block_public_access import refuse_if_images_are_blocked
from translators.errors import Ec2Error, combination, invalid, missing, unsupported
from translators.find import find
from translators.images import find_visible_image
from translators.registry import Call, Result, action

_LONGEST_DESCRIPTION = 255

_VALUES: dict[str, tuple[str, Callable[[Image], str]]] = {
    "bootMode": ("BootMode", lambda image: image.boot_mode),
    "deregistrationProtection": ("DeregistrationProtection", lambda image: image.deregistration_protection),
    "description": ("Description", lambda image: image.description),
    "imdsSupport": ("ImdsSupport", lambda image: image.imds_support),
    "kernel": ("KernelId", lambda image: ""),
    "ramdisk": ("RamdiskId", lambda image: ""),
    "sriovNetSupport": ("SriovNetSupport", lambda image: image.sriov_net_support),
    "tpmSupport": ("TpmSupport", lambda image: image.tpm_support),
    "uefiData": ("UefiData", lambda image: ""),
}


@action
def describe_image_attribute(call: Call, *, attribute: str, image_id: str) -> Result:
    image = _own(call, image_id)
    if attribute in _VALUES:
        name, read = _VALUES[attribute]
        return {"ImageId": image_id, name: {"Value": read(image) or None}}
    if attribute == "launchPermission":
        return {"ImageId": image_id, "LaunchPermissions": _permissions(call, image)}
    if attribute == "productCodes":
        return {"ImageId": image_id, "ProductCodes": []}
    if attribute == "blockDeviceMapping":
        # EC2 documents that this one is refused, and to describe the image instead.
        raise Ec2Error("AuthFailure", "Unauthorized attempt to access restricted resource", 403)
    raise unsupported(attribute, "It is not recorded.")


def _permissions(call: Call, image: Image) -> list[dict[str, str]]:
    accounts = call.db.scalars(select(LaunchPermission.account).where(LaunchPermission.image_id == image.id))
    everybody = [{"Group": "all"}] if image.public else []
    return [*everybody, *({"UserId": account} for account in sorted(accounts))]


def _own(call: Call, image_id: str) -> Image:
    image = find_visible_image(call, image_id)
    if image.account != call.account:
        raise Ec2Error("AuthFailure", f"Not authorized for image:{image_id}", 403)
    return image


def own_image(call: Call, image_id: str) -> Image:
    """Return the caller's own image, locked until the call ends; one that is merely shared may not be changed."""
    return find(call, Image, _own(call, image_id).id)


@action
def modify_image_attribute(
    call: Call,
    *,
    image_id: str,
    attribute: str | None = None,
    value: str | None = None,
    operation_type: str | None = None,
    user_ids: list[str] | None = None,
    user_groups: list[str] | None = None,
    description: dict[str, str] | None = None,
    imds_support: dict[str, str] | None = None,
    launch_permission: dict[str, list[dict[str, str]]] | None = None,
) -> Result:
    """Change one attribute, named by ``attribute`` in the old way, or by a parameter of its own in the new one."""
    image = own_image(call, image_id)
    asked = {"description": description, "imdsSupport": imds_support, "launchPermission": launch_permission}
    given: dict[str, Any] = {name: change for name, change in asked.items() if change is not None}
    if attribute and not given:
        given = {attribute: _old_way(attribute, value, operation_type, user_ids, user_groups)}
    elif attribute or value is not None or operation_type or user_ids or user_groups:
        if not given:
            raise missing("attribute")
        if attribute not in given or value is not None or operation_type or user_ids or user_groups:
            raise combination("Only one attribute can be modified, and it can be given in one way only.")
    if len(given) != 1:
        raise combination("Exactly one attribute can be modified at a time.") if given else missing("attribute")
    for name, change in given.items():
        _CHANGES[name](call, image, change)
    return {}


def _old_way(
    attribute: str,
    value: str | None,
    operation_type: str | None,
    user_ids: Sequence[str] | None,
    user_groups: Sequence[str] | None,
) -> dict[str, Any]:
    if attribute not in _CHANGES:
        raise invalid("attribute", attribute, f"Valid values: {', '.join(_CHANGES)}.")
    if attribute != "launchPermission":
        if operation_type or user_ids or user_groups:
            raise combination(f"OperationType, UserId and UserGroup cannot be used with the attribute {attribute}.")
        return {"Value": value} if value is not None else {}
    if value is not None:
        raise combination("Value cannot be used with the attribute launchPermission.")
    if not operation_type:
        raise missing("operationType")
    items = [{"UserId": id} for id in user_ids or ()] + [{"Group": group} for group in user_groups or ()]
    return {operation_type.capitalize(): items}


def _describe_as(call: Call, image: Image, change: Mapping[str, str]) -> None:
    image.description = described(change.get("Value") or "")


def described(text: str) -> str:
    """Return an image's description as it was given; refuse one that is too long."""
    if len(text) > _LONGEST_DESCRIPTION:
        raise invalid("description", text, f"It must be no longer than {_LONGEST_DESCRIPTION} characters.")
    return text


def _require_token(call: Call, image: Image, change: Mapping[str, str]) -> None:
    if not change.get("Value"):
        raise missing("imdsSupport.value")
    if change["Value"] != "v2.0":
        raise invalid("imdsSupport", change["Value"], "Valid values: v2.0.")
    image.imds_support = "v2.0"


def _permit(call: Call, image: Image, change: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    add, remove = change.get("Add") or [], change.get("Remove") or []
    if not (add or remove):
        raise missing("launchPermission")
    adding, removing = [_whom(item) for item in add], [_whom(item) for item in remove]
    _check_accounts(call, [account for account in adding if account != "all"])
    if adding and image.state == "disabled":
        raise Ec2Error("IncorrectState", f"The image '{image.id}' is disabled: it cannot be shared.")
    if adding and _is_encrypted(call, image):
        text = "The image '{}' cannot be shared: its snapshots are encrypted with the EBS default key."
        raise Ec2Error("OperationNotPermitted", text.format(image.id))
    if "all" in adding and not image.public:
        refuse_if_images_are_blocked(call)
    held = set(call.db.scalars(select(LaunchPermission.account).where(LaunchPermission.image_id == image.id)))
    if "all" in (*adding, *removing):
        image.public = "all" in adding and "all" not in removing
    wanted = (held | set(adding)) - set(removing) - {"all"}
    for account in sorted(wanted - held):
        call.db.add(LaunchPermission(image_id=image.id, account=account))
    gone = sorted(held - wanted)
    call.db.execute(
        delete(LaunchPermission).where(LaunchPermission.image_id == image.id, LaunchPermission.account.in_(gone))
    )


def _is_encrypted(call: Call, image: Image) -> bool:
    """Say whether other accounts could not read an image's snapshots: EC2 shares no key that it manages itself."""
    encrypted = (ImageBlockDevice.encrypted.is_(True), ImageBlockDevice.snapshot_id != "")
    rows = select(ImageBlockDevice.image_id).where(ImageBlockDevice.image_id == image.id, *encrypted)
    return call.db.scalar(rows.limit(1)) is not None


def _whom(item: Mapping[str, str]) -> str:
    """Return the account that a permission names, or ``all``."""
    for name in ("OrganizationArn", "OrganizationalUnitArn"):
        if item.get(name):
            raise unsupported(f"LaunchPermission.{name}")
    if ("Group" in item) == ("UserId" in item):
        raise combination("A launch permission names either a group or a user.")
    if "Group" in item and item["Group"] != "all":
        raise _bad_item(item["Group"], "userGroup")
    if "UserId" in item and not re.fullmatch("[0-9]{12}", item["UserId"]):
        raise _bad_item(item["UserId"], "userId")
    return item.get("Group") or item["UserId"]


def _check_accounts(call: Call, accounts: Sequence[str]) -> None:
    lost = set(accounts) - set(call.db.scalars(select(Account.id).where(Account.id.in_(accounts))))
    if lost:
        raise _bad_item(min(lost), "userId")


def _bad_item(value: str, kind: str) -> Ec2Error:
    return Ec2Error("InvalidAMIAttributeItemValue", f'Invalid attribute item value "{value}" for {kind} item type.')


_CHANGES: dict[str, Callable[[Call, Image, Any], None]] = {
    "description": _describe_as,
    "imdsSupport": _require_token,
    "launchPermission": _permit,
}


@action
def reset_image_attribute(call: Call, *, attribute: str, image_id: str) -> Result:
    """Take every launch permission back; EC2 resets no other attribute."""
    take_permissions_back(call, own_image(call, image_id))
    return {}


def take_permissions_back(call: Call, image: Image) -> None:
    image.public = False
    call.db.execute(delete(LaunchPermission).where(LaunchPermission.image_id == image.id))
