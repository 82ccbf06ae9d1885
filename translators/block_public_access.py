"""Whether an account's snapshots and images may be shared with everybody, region by region."""

from translators.account_settings import SHARED, account_settings
from translators.errors import invalid, refuse
from translators.registry import Call, Result, action

_BLOCKS = ("block-all-sharing", "block-new-sharing")


def refuse_if_snapshots_are_blocked(call: Call) -> None:
    """Refuse to share a snapshot with everybody where the account blocks that."""
    if account_settings(call).snapshot_sharing != SHARED:
        text = "Snapshots cannot be shared publicly: block public access for snapshots is enabled for this account."
        refuse("OperationNotPermitted", text)


def refuse_if_images_are_blocked(call: Call) -> None:
    """Refuse to share an image with everybody where the account blocks that."""
    if account_settings(call).image_sharing != SHARED:
        text = "You can't publicly share this image: block public access for AMIs is enabled for this account."
        refuse("OperationNotPermitted", text)


@action
def enable_snapshot_block_public_access(call: Call, *, state: str) -> Result:
    """Where all sharing is blocked, what is shared already is as good as private until that ends."""
    if state not in _BLOCKS:
        raise invalid("State", state, f"Valid values: {', '.join(_BLOCKS)}.")
    account_settings(call).snapshot_sharing = state
    return {"State": state}


@action
def disable_snapshot_block_public_access(call: Call) -> Result:
    account_settings(call).snapshot_sharing = SHARED
    return {"State": SHARED}


@action
def get_snapshot_block_public_access_state(call: Call) -> Result:
    return {"State": account_settings(call).snapshot_sharing, "ManagedBy": "account"}


@action
def enable_image_block_public_access(call: Call, *, image_block_public_access_state: str) -> Result:
    """Images that are public already stay so."""
    if image_block_public_access_state != "block-new-sharing":
        raise invalid(
            "ImageBlockPublicAccessState", image_block_public_access_state, "Valid values: block-new-sharing."
        )
    account_settings(call).image_sharing = image_block_public_access_state
    return {"ImageBlockPublicAccessState": image_block_public_access_state}


@action
def disable_image_block_public_access(call: Call) -> Result:
    account_settings(call).image_sharing = SHARED
    return {"ImageBlockPublicAccessState": SHARED}


@action
def get_image_block_public_access_state(call: Call) -> Result:
    return {"ImageBlockPublicAccessState": account_settings(call).image_sharing, "ManagedBy": "account"}
