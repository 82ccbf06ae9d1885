"""Tokens of the EBS direct APIs: proofs that a block was listed to an account, and places in lists.

Their alphabet is that of base64, and they have at most 256 characters: the service model's BlockToken and PageToken.
"""

import base64
import hmac
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from translators.ebs_errors import bad
from translators.registry import Call

LIFETIME = timedelta(days=7)


def expiry() -> datetime:
    """Return until when the tokens that are given out now are good."""
    return datetime.now(UTC).replace(microsecond=0) + LIFETIME


def block_token(call: Call, snapshot_id: str, index: int, expires: datetime) -> str:
    moment = int(expires.timestamp())
    return base64.b64encode(struct.pack(">Q", moment) + _proof(call, snapshot_id, index, moment)).decode()


def check_block_token(call: Call, token: str, snapshot_id: str, index: int) -> None:
    """Refuse a token that was not given out for this block and this account, or too long ago."""
    try:
        raw = base64.b64decode(token, validate=True)
        (moment,) = struct.unpack(">Q", raw[:8])
    except (ValueError, struct.error):
        raise _no_token() from None
    if not hmac.compare_digest(raw[8:], _proof(call, snapshot_id, index, moment)):
        raise _no_token()
    if moment < datetime.now(UTC).timestamp():
        raise bad("INVALID_BLOCK_TOKEN", "The block token has expired.")


def _no_token() -> Exception:
    return bad("INVALID_BLOCK_TOKEN", "The block token is not one of this block.")


def _proof(call: Call, snapshot_id: str, index: int, moment: int) -> bytes:
    assert call.blocks is not None
    return call.blocks.sign(f"block {call.account} {call.region} {snapshot_id} {index} {moment}")


def page_token(snapshot_ids: Sequence[str], index: int) -> str:
    """Return a token for "from this block on" in the list of one snapshot, or of what two differ in."""
    return base64.b64encode(json.dumps([*snapshot_ids, index]).encode()).decode()


def open_page_token(token: str, snapshot_ids: Sequence[str]) -> int:
    """Return the block that a list of these snapshots goes on with."""
    try:
        *ids, index = json.loads(base64.b64decode(token, validate=True))
    except (ValueError, TypeError):
        ids, index = [], 0
    if ids != list(snapshot_ids) or type(index) is not int or index < 0:
        raise bad("INVALID_PAGE_TOKEN", "The page token is not one of this list.")
    return index
