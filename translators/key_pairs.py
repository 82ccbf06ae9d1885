"""Key pairs: with which a user logs in; we keep the public half only."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from engine.state import KeyPair
from translators import key_material, tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import Ec2Error, combination, invalid, missing, not_found
from translators.registry import Call, Result, action

_MOST_KEYS = 5000
"""Key pairs of an account in a region (EC2's reference of CreateKeyPair)."""


def _shape(row: Any) -> dict[str, Any]:
    return {
        "KeyPairId": row.id,
        "KeyName": row.name,
        "KeyType": row.type,
        "KeyFingerprint": row.fingerprint,
        "CreateTime": row.created,
        "Tags": tag_set(row.tags),
    }


def _shape_with_key(row: Any) -> dict[str, Any]:
    return _shape(row) | {"PublicKey": row.public_key}


_COLUMNS = (KeyPair.id, KeyPair.name, KeyPair.type, KeyPair.fingerprint, KeyPair.created, tags_of(KeyPair))
_FILTERS = {"fingerprint": KeyPair.fingerprint, "key-name": KeyPair.name, "key-pair-id": KeyPair.id}

KEY_PAIRS = Listing(kind=KeyPair, columns=_COLUMNS, shape=_shape, filters=_FILTERS)
_WITH_KEY = Listing(kind=KeyPair, columns=(*_COLUMNS, KeyPair.public_key), shape=_shape_with_key, filters=_FILTERS)


@action
def describe_key_pairs(
    call: Call,
    *,
    key_names: list[str] | None = None,
    key_pair_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    include_public_key: bool = False,
) -> Result:
    ids = [*(key_pair_ids or ()), *(_ids_of_names(call, key_names) if key_names else ())]
    found, _ = describe(call, _WITH_KEY if include_public_key else KEY_PAIRS, ids, filters, paged=False)
    return {"KeyPairs": found}


def _ids_of_names(call: Call, names: Sequence[str]) -> list[str]:
    mine = select(KeyPair.name, KeyPair.id).where(*_own(call), KeyPair.name.in_(names))
    found = {name: id for name, id in call.db.execute(mine)}
    lost = set(names) - found.keys()
    if lost:
        raise not_found(KeyPair, *lost)
    return list(found.values())


def _own(call: Call) -> tuple[Any, ...]:
    return KeyPair.account == call.account, KeyPair.region == call.region


@action
def create_key_pair(
    call: Call,
    *,
    key_name: str,
    key_type: str = "rsa",
    key_format: str = "pem",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Make a pair and hand out the private half, this once.

    To find two primes takes a tenth of a second, while SQLite lets nobody else write: whatever can be refused is
    refused before, and nothing is locked yet where the database is PostgreSQL.
    """
    _check(call, key_name)
    key = key_material.make(key_type, key_format, key_name)
    return _added(call, key_name, key.public, tag_specifications) | {"KeyMaterial": key.text}


@action
def import_key_pair(
    call: Call,
    *,
    key_name: str,
    public_key_material: bytes,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    _check(call, key_name)
    try:
        public = key_material.read_public(public_key_material)
    except ValueError:
        raise Ec2Error("InvalidKey.Format", "Key is not in valid OpenSSH public key format") from None
    return _added(call, key_name, public, tag_specifications)


def _check(call: Call, name: str) -> None:
    _check_name(name)
    if call.db.scalar(select(KeyPair.id).where(*_own(call), KeyPair.name == name)):
        raise Ec2Error("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")
    if (call.db.scalar(select(func.count()).select_from(KeyPair).where(*_own(call))) or 0) >= _MOST_KEYS:
        raise Ec2Error("KeyPairLimitExceeded", f"The maximum number of key pairs is {_MOST_KEYS}.")


def _check_name(name: str) -> None:
    """The name is the comment of the public key, one line of a guest's authorized_keys: it must stay one line."""
    if not name:
        raise missing("KeyName")
    if not name.isascii():
        raise invalid("KeyName", name, "Character sets beyond ASCII are not supported.")
    if len(name) > 255:
        raise invalid("KeyName", name, "Length exceeds maximum of 255.")
    if not name.isprintable() or name != name.strip():
        raise invalid("KeyName", name, "It has control characters, or spaces at its beginning or end.")


def _added(
    call: Call,
    name: str,
    public: key_material.PublicKey,
    tag_specifications: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    pair = KeyPair(
        id=KeyPair.new_id(), account=call.account, region=call.region, name=name, type=public.type,
        fingerprint=public.fingerprint, public_key=f"{public.text} {name}",
    )  # fmt: skip
    call.db.add(pair)
    call.db.flush()
    tags.put_at_creation(call, tag_specifications, {"key-pair": [pair.id]})
    made = rows_of(call, KEY_PAIRS, [pair.id])[0]
    return {key: made[key] for key in ("KeyPairId", "KeyName", "KeyFingerprint", "Tags")}


@action
def delete_key_pair(call: Call, *, key_name: str | None = None, key_pair_id: str | None = None) -> Result:
    """Delete a key pair by its name or its id; one that is not there is as good as deleted. Guests keep the key."""
    if key_name and key_pair_id:
        raise combination("The parameter KeyName cannot be used with the parameter KeyPairId")
    if not key_name and not key_pair_id:
        raise missing("KeyName")
    one = KeyPair.name == key_name if key_name else KeyPair.id == key_pair_id
    pair = call.db.scalar(select(KeyPair).where(*_own(call), one).with_for_update())
    if pair is None:
        return {"Return": True}
    tags.forget(call, pair.id)
    call.db.delete(pair)
    return {"Return": True, "KeyPairId": pair.id}
