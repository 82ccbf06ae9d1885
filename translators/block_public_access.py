"""Whether an account's snapshots and images may be shared with everybody, region by region."""

from engine.state import AccountSettings
from translators.errors import invalid, refuse
from translators.registry import Call, Result, action

_OPEN = "unblocked"
_BLOCKS = ("block-all-sharing", "block-new-sharing")


def _settings(call: Call) -> AccountSettings:
    """Return what the account has set in the region, as a row that the call may change."""
    key = {"account": call.account, "region": call.region}
    settings = call.db.get(AccountSettings, key, with_for_update=call.writes)
    if settings is None:
        settings = AccountSettings(**key, snapshot_sharing=_OPEN, image_sharing=_OPEN)
        if call.writes:
            call.db.add(settings)
    return settings


def refuse_if_snapshots_are_blocked(call: Call) -> None:
    """Refuse to share a snapshot with everybody where the account blocks that."""
    if _settings(call).snapshot_sharing != _OPEN:
        text = "Snapshots cannot be shared publicly: block public access for snapshots is enabled for this account."
        refuse("OperationNotPermitted", text)


def refuse_if_images_are_blocked(call: Call) -> None:
    """Refuse to share an image with everybody where the account blocks that."""
    if _settings(call).image_sharing != _OPEN:
        text = "You can't publicly share this image: block public access for AMIs is enabled for this account."
        refuse("OperationNotPermitted", text)


@action
def enable_snapshot_block_public_access(call: Call, *, state: str) -> Result:
    """Where all sharing is blocked, what is shared already is as good as private until that ends."""
    if state not in _BLOCKS:
        raise invalid("State", state, f"Valid values: {', '.join(_BLOCKS)}.")
    _settings(call).snapshot_sharing = state
    return {"State": state}


@action
def disable_snapshot_block_public_access(call: Call) -> Result:
    _settings(call).snapshot_sharing = _OPEN
    return {"State": _OPEN}


@action
def get_snapshot_block_public_access_state(call: Call) -> Result:
    return {"State": _settings(call).snapshot_sharing, "ManagedBy": "account"}


@action
def enable_image_block_public_access(call: Call, *, image_block_public_access_state: str) -> Result:
    """Images that are public already stay so."""
    if image_block_public_access_state != "block-new-sharing":
        raise invalid(
            "ImageBlockPublicAccessState", image_block_public_access_state, "Valid values: block-new-sharing."
        )
    _settings(call).image_sharing = image_block_public_access_state
    return {"ImageBlockPublicAccessState": image_block_public_access_state}


@action
def disable_image_block_public_access(call: Call) -> Result:
    _settings(call).image_sharing = _OPEN
    return {"ImageBlockPublicAccessState": _OPEN}


@action
def get_image_block_public_access_state(call: Call) -> Result:
    return {"ImageBlockPublicAccessState": _settings(call).image_sharing, "ManagedBy": "account"}
