"""Elastic IP addresses on their way to another account: offered by one, accepted by the other within a week."""

import re
from typing import Any

from sqlalchemy import select

from engine.address_transfers import expiry, is_known, is_open
from engine.state import Account, Address, AddressTransfer, now
from translators import tags
from translators.addresses import check_address_quota, find_address, no_such_address
from translators.describe import PAGE, make_token, open_token
from translators.errors import invalid, refuse
from translators.registry import Call, Result, action


def _shape(transfer: AddressTransfer) -> dict[str, Any]:
    return {
        "PublicIp": transfer.public_ip,
        "AllocationId": transfer.allocation_id,
        "TransferAccountId": transfer.transfer_account,
        "TransferOfferExpirationTimestamp": transfer.expires,
        "TransferOfferAcceptedTimestamp": transfer.accepted or None,
        "AddressTransferStatus": "accepted" if transfer.accepted else "pending",
    }


@action
def describe_address_transfers(
    call: Call,
    *,
    allocation_ids: list[str] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """Only who made an offer sees it."""
    asked = select(AddressTransfer).filter_by(**call.owner).where(is_known())
    if allocation_ids:
        asked = asked.where(AddressTransfer.allocation_id.in_(allocation_ids))
    if next_token:
        (last,) = open_token("transfer", next_token, 1)
        asked = asked.where(AddressTransfer.allocation_id > last)
    size = min(max_results or PAGE, PAGE)
    rows = call.db.scalars(asked.order_by(AddressTransfer.allocation_id).limit(size + 1)).all()
    more = len(rows) > size
    token = make_token("transfer", [rows[size - 1].allocation_id]) if more else None
    return {"AddressTransfers": [_shape(row) for row in rows[:size]], "NextToken": token}


@action
def enable_address_transfer(call: Call, *, allocation_id: str, transfer_account_id: str) -> Result:
    """Offer an address; an offer that was made before, even to somebody else, is replaced."""
    address = find_address(call, allocation_id, None)
    known = re.fullmatch(r"\d{12}", transfer_account_id) and call.db.get(Account, transfer_account_id)
    if not known or transfer_account_id == call.account:
        raise invalid("transferAccountId", transfer_account_id, "It must be the ID of another account.")
    transfer = call.db.get(AddressTransfer, (address.id, call.account), with_for_update=True)
    if transfer is None:
        transfer = AddressTransfer(allocation_id=address.id, **call.owner, public_ip=address.public_ip)
        call.db.add(transfer)
    transfer.transfer_account, transfer.expires, transfer.accepted = transfer_account_id, expiry(), ""
    return {"AddressTransfer": _shape(transfer)}


@action
def disable_address_transfer(call: Call, *, allocation_id: str) -> Result:
    address = find_address(call, allocation_id, None)
    own = select(AddressTransfer).filter_by(allocation_id=address.id, account=call.account).where(is_open())
    transfer = call.db.scalar(own.with_for_update())
    if transfer is None:
        raise invalid("allocationId", allocation_id, "The address is not enabled for transfer.")
    call.db.delete(transfer)
    disabled = {"PublicIp": address.public_ip, "AllocationId": address.id, "AddressTransferStatus": "disabled"}
    return {"AddressTransfer": disabled}


@action
def accept_address_transfer(
    call: Call, *, address: str, tag_specifications: list[dict[str, Any]] | None = None
) -> Result:
    """Take an address over, with its allocation ID and without its tags."""
    offered = select(AddressTransfer).filter_by(region=call.region, public_ip=address, transfer_account=call.account)
    transfer = call.db.scalar(offered.where(is_open()).with_for_update())
    if transfer is None:
        raise no_such_address(address)
    row = call.db.get_one(Address, transfer.allocation_id, with_for_update=True)
    if row.association_id:
        refuse("InvalidTransfer.AddressAssociated", f"The address '{address}' is associated with a resource.")
    check_address_quota(call)
    tags.forget(call, row.id)
    row.account, transfer.accepted = call.account, now()
    tags.put_at_creation(call, tag_specifications, {"elastic-ip": [row.id]})
    return {"AddressTransfer": _shape(transfer)}
