"""What an interface's owner lets other accounts do with it: attach it, or lead an Elastic IP address to it."""

import re
from typing import Any

from sqlalchemy import exists, literal, select

from engine.state import Account, Address, Instance, InterfacePermission, NetworkInterface
from translators import tags
from translators.describe import Listing, describe, rows_of
from translators.errors import Ec2Error, invalid, missing, not_found, refuse
from translators.filters import constant
from translators.find import check_ids, find
from translators.managed_interfaces import find_unmanaged, refuse_managed
from translators.registry import Call, Result, action

ATTACH, ASSOCIATE = "INSTANCE-ATTACH", "EIP-ASSOCIATE"


def _shape(row: Any) -> dict[str, Any]:
    return {
        "NetworkInterfacePermissionId": row.id,
        "NetworkInterfaceId": row.interface_id,
        "AwsAccountId": row.grantee,
        "Permission": row.permission,
        # As EC2 writes it (and the documentation of the aws CLI shows it), though its model has small letters.
        "PermissionState": {"State": "GRANTED"},
    }


_PREFIX = "network-interface-permission."

PERMISSIONS = Listing(
    kind=InterfacePermission,
    columns=(
        InterfacePermission.id, InterfacePermission.interface_id, InterfacePermission.grantee,
        InterfacePermission.permission,
    ),
    shape=_shape,
    filters={
        f"{_PREFIX}network-interface-permission-id": InterfacePermission.id,
        f"{_PREFIX}network-interface-id": InterfacePermission.interface_id,
        f"{_PREFIX}aws-account-id": InterfacePermission.grantee,
        f"{_PREFIX}aws-service": constant(""),
        f"{_PREFIX}permission": InterfacePermission.permission,
    },
)  # fmt: skip
_PAGE = 50


@action
def describe_network_interface_permissions(
    call: Call,
    *,
    network_interface_permission_ids: list[str] | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    ids = network_interface_permission_ids
    found, token = describe(call, PERMISSIONS, ids, filters, max_results or _PAGE, next_token)
    return {"NetworkInterfacePermissions": found, "NextToken": token}


@action
def create_network_interface_permission(
    call: Call, *, network_interface_id: str, permission: str, aws_account_id: str | None = None
) -> Result:
    if not aws_account_id:
        raise missing("awsAccountId")
    known = re.fullmatch(r"\d{12}", aws_account_id) and call.db.get(Account, aws_account_id)
    if not known or aws_account_id == call.account:
        raise invalid("awsAccountId", aws_account_id, "It must be the ID of another account.")
    interface = find_unmanaged(call, network_interface_id)
    same = {"interface_id": interface.id, "grantee": aws_account_id, "permission": permission}
    if call.db.scalar(select(InterfacePermission.id).filter_by(**same)):
        text = f"{aws_account_id} already has the permission {permission} for {interface.id}"
        refuse("InvalidNetworkInterfacePermission.Duplicate", text)
    row = InterfacePermission(id=InterfacePermission.new_id(), **call.owner, **same)
    call.db.add(row)
    return {"InterfacePermission": rows_of(call, PERMISSIONS, [row.id])[0]}


@action
def delete_network_interface_permission(
    call: Call, *, network_interface_permission_id: str, force: bool = False
) -> Result:
    """Take a permission back; what was done by it stays done."""
    row = find(call, InterfacePermission, network_interface_permission_id)
    if not force and call.db.scalar(select(_is_used(row))):
        text = f"The permission {row.id} is in use by the account {row.grantee}: name Force to delete it all the same."
        raise Ec2Error("OperationNotPermitted", text)
    tags.forget(call, row.id)
    call.db.delete(row)
    return {"Return": True}


def _is_used(row: InterfacePermission) -> Any:
    if row.permission == ASSOCIATE:
        return exists().where(Address.interface_id == row.interface_id, Address.account == row.grantee)
    attached = NetworkInterface.instance_id == Instance.id
    return exists().where(NetworkInterface.id == row.interface_id, attached, Instance.account == row.grantee)


def find_permitted(call: Call, id: str, permission: str) -> NetworkInterface:
    """Return an interface that the caller may use so: its own, or one whose owner lets it; locked as by ``find``."""
    check_ids(NetworkInterface, [id])
    granted = exists().where(
        InterfacePermission.interface_id == NetworkInterface.id,
        InterfacePermission.grantee == call.account,
        InterfacePermission.permission == literal(permission),
    )
    here = select(NetworkInterface).where(NetworkInterface.id == id, NetworkInterface.region == call.region)
    rows = here.where((NetworkInterface.account == call.account) | granted)
    interface = call.db.scalar(rows.with_for_update() if call.writes else rows)
    if interface is None:
        raise not_found(NetworkInterface, id)
    refuse_managed(interface)
    return interface
