"""Whether and under which key new volumes and copies are encrypted, and what accounts set for that by region.

There is one KMS key: the account's own for EBS in the region, which ``alias/aws/ebs`` names. The keys of the disks are
sealed under the deployment's key whatever is named, so a key that this deployment does not have is refused.
"""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import bindparam, select

from engine.disk_keys import new_key
from engine.state import AccountSettings, Snapshot
from engine.state.prepared import Prepared
from engine.stores import encrypts
from translators.account_settings import account_settings
from translators.errors import Ec2Error, refuse
from translators.registry import Call, Result, action
from translators.stores import stores_of

_ALIAS = "alias/aws/ebs"

_DEFAULT = Prepared(
    select(AccountSettings.encrypts_disks).where(
        AccountSettings.account == bindparam("account"), AccountSettings.region == bindparam("region")
    )
)


def key_arn(account: str, region: str) -> str:
    """Return the ARN of an account's key for EBS."""
    place = f"arn:aws:kms:{region}:{account}"
    return f"{place}:key/{uuid5(NAMESPACE_URL, f'{place}:{_ALIAS}')}"


def key_shown(row: Any) -> str | None:
    """Return what is shown as the KMS key of a volume or a snapshot."""
    return key_arn(row.account, row.region) if row.encrypted else None


def is_to_be_encrypted(call: Call, encrypted: bool | None, kms_key_id: str | None) -> bool:
    """Say whether something new is to be encrypted: because that is asked for, or because the account's default is so.

    A default stands over ``Encrypted=false``, as in EC2.
    """
    wanted = bool(encrypted) or is_default(call)
    if kms_key_id:
        if not wanted:
            text = "The parameter KmsKeyId requires the parameter Encrypted to be set."
            raise Ec2Error("InvalidParameterDependency", text)
        _check_key(call, kms_key_id)
    return wanted


def is_default(call: Call) -> bool:
    """Say whether the account has everything new encrypted in the region."""
    return bool(_DEFAULT.scalar(call.db, **call.owner))


def sealed_key(call: Call, encrypted: bool, snapshot: Snapshot | None) -> str:
    """Return the sealed key of something new; nothing where it is not to be encrypted.

    What is made of an encrypted snapshot has that one's key, whatever is asked for: it shares its data.
    """
    if snapshot is not None and snapshot.encrypted:
        return snapshot.key
    return new_key(call.settings) if encrypted else ""


def _check_key(call: Call, key: str) -> None:
    """Refuse a key other than the account's own for EBS, by its id, its ARN, its alias or the ARN of that."""
    own = key_arn(call.account, call.region)
    place, _, id = own.rpartition("key/")
    if key not in (own, id, _ALIAS, place + _ALIAS):
        raise Ec2Error("KMS.NotFoundException", f"Key '{key}' does not exist: there is {_ALIAS} alone, as {own}.")


@action
def enable_ebs_encryption_by_default(call: Call) -> Result:
    """Have all new volumes and copies of snapshots encrypted; what is there already stays as it is.

    In a zone whose disks cannot be encrypted there are no new ones then.
    """
    if not any(encrypts(store) for store in stores_of(call, call.region)):
        refuse("UnsupportedOperation", f"No zone of the region '{call.region}' has disks that can be encrypted.")
    account_settings(call).encrypts_disks = True
    return {"EbsEncryptionByDefault": True}


@action
def disable_ebs_encryption_by_default(call: Call) -> Result:
    account_settings(call).encrypts_disks = False
    return {"EbsEncryptionByDefault": False}


@action
def get_ebs_encryption_by_default(call: Call) -> Result:
    return {"EbsEncryptionByDefault": account_settings(call).encrypts_disks, "SseType": "sse-ebs"}


@action
def get_ebs_default_kms_key_id(call: Call) -> Result:
    """Return the ARN of the key that was chosen, or the alias where none was."""
    return {"KmsKeyId": account_settings(call).disk_key or _ALIAS}


@action
def modify_ebs_default_kms_key_id(call: Call, *, kms_key_id: str) -> Result:
    _check_key(call, kms_key_id)
    arn = account_settings(call).disk_key = key_arn(call.account, call.region)
    return {"KmsKeyId": arn}


@action
def reset_ebs_default_kms_key_id(call: Call) -> Result:
    account_settings(call).disk_key = ""
    return {"KmsKeyId": _ALIAS}
