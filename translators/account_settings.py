"""What an account has set for itself in a region."""

from engine.state import AccountSettings
from translators.registry import Call

SHARED = "unblocked"
"""Snapshots and images may be public, as at first."""


def account_settings(call: Call) -> AccountSettings:
    """Return what the account has set in the region, as a row that the call may change."""
    key = {"account": call.account, "region": call.region}
    settings = call.db.get(AccountSettings, key, with_for_update=call.writes)
    if settings is None:
        settings = AccountSettings(
            **key, snapshot_sharing=SHARED, image_sharing=SHARED, encrypts_disks=False, disk_key=""
        )  # fmt: skip
        if call.writes:
            call.db.add(settings)
    return settings
