"""Which interface, and so which instance, an Elastic IP address leads to."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, select

from engine.default_vpc import new_id
from engine.state import Address, Instance, InternetGateway, NetworkInterface, PrivateAddress, json_rows
from translators.addresses import disassociate, find_address, sync_port
from translators.errors import Ec2Error, combination, invalid, missing, refuse
from translators.find import find
from translators.managed_interfaces import find_unmanaged
from translators.registry import Call, Result, action

_GONE = ("pending", "shutting-down", "terminated")


def public_addresses_of(interface_id: Any) -> Any:
    """Return a column of an interface's public addresses as JSON text: rows for ``association``."""
    return json_rows(
        Address.private_ip, Address.public_ip, Address.elastic, Address.account, Address.id, Address.association_id,
        where=Address.interface_id == interface_id, order=(Address.number,),
    )  # fmt: skip


def association(row: Sequence[Any], named: bool) -> dict[str, Any]:
    """Return the ``association`` of an instance's interface; ``named`` is whether the VPC gives DNS host names.

    There is no public DNS here, so the name that always resolves is the address itself.
    """
    _, public_ip, elastic, account, *_ = row
    return {
        "IpOwnerId": account if elastic else "amazon",
        "PublicDnsName": public_ip if named else "",
        "PublicIp": public_ip,
    }


def association_with_ids(row: Sequence[Any], named: bool) -> dict[str, Any]:
    """Return the ``association`` of an interface by itself, which has the ids too: a lent address has none."""
    *_, elastic, _, id, association_id = row
    ids = {"AllocationId": id, "AssociationId": association_id} if elastic else {}
    return association(row, named) | ids


@action
def associate_address(
    call: Call,
    *,
    allocation_id: str | None = None,
    public_ip: str | None = None,
    instance_id: str | None = None,
    network_interface_id: str | None = None,
    private_ip_address: str | None = None,
    allow_reassociation: bool = True,
) -> Result:
    """Lead an address to an interface; what led there before no longer does, be it lent or elastic."""
    address = find_address(call, allocation_id, public_ip)
    interface = _interface(call, instance_id, network_interface_id)
    private_ip = _private_ip(call, interface, private_ip_address)
    if not call.db.scalar(select(exists().where(InternetGateway.vpc_id == interface.vpc_id))):
        refuse("Gateway.NotAttached", f"Network {interface.vpc_id} is not attached to any internet gateway")
    if (address.interface_id, address.private_ip) == (interface.id, private_ip):
        return {"AssociationId": address.association_id}
    if address.association_id and not allow_reassociation:
        text = f"resource {address.id} is already associated with associate-id {address.association_id}"
        refuse("Resource.AlreadyAssociated", text)
    _release_target(call, interface, private_ip)
    disassociate(call, address)
    address.association_id, address.interface_id, address.private_ip = new_id("eipassoc"), interface.id, private_ip
    sync_port(call, interface)
    return {"AssociationId": address.association_id}


def _interface(call: Call, instance_id: str | None, interface_id: str | None) -> NetworkInterface:
    """Return the interface that a request means: the one it names, or the only one of the instance it names."""
    if instance_id and interface_id:
        raise combination("You may specify an instance ID or a network interface ID, but not both in the same call")
    if interface_id:
        return find_unmanaged(call, interface_id)
    if not instance_id:
        raise missing("instanceId")
    instance = find(call, Instance, instance_id)
    if instance.state in _GONE:
        text = f"The {instance.state} instance '{instance_id}' is not in a valid state for this operation."
        refuse("InvalidInstanceID", text)
    found = call.db.scalars(select(NetworkInterface).filter_by(instance_id=instance_id).with_for_update()).all()
    if len(found) != 1:
        text = f"There are {'multiple' if found else 'no'} interfaces attached to instance '{instance_id}'."
        refuse("InvalidInstanceID", f"{text} Please specify an interface ID for the operation instead.")
    return found[0]


def _private_ip(call: Call, interface: NetworkInterface, wanted: str | None) -> str:
    if not wanted or wanted == interface.private_ip:
        return interface.private_ip
    held = (PrivateAddress.interface_id == interface.id, PrivateAddress.address == wanted)
    if not call.db.scalar(select(exists().where(*held))):
        raise invalid("privateIpAddress", wanted, f"It is not assigned to the network interface {interface.id}.")
    return wanted


def _release_target(call: Call, interface: NetworkInterface, private_ip: str) -> None:
    """Free a private address of the public one that leads to it, if there is one."""
    held = call.db.scalars(
        select(Address).filter_by(interface_id=interface.id, private_ip=private_ip).with_for_update()
    ).all()
    for address in held:
        if address.elastic:
            address.association_id = address.interface_id = address.private_ip = None
        else:
            call.db.delete(address)


@action
def disassociate_address(call: Call, *, association_id: str | None = None, public_ip: str | None = None) -> Result:
    """Named by its public address, an address that leads nowhere is no error; an association that is not there is."""
    if association_id and public_ip:
        raise combination("You may specify public IP or association id, but not both in the same call")
    if public_ip:
        disassociate(call, find_address(call, None, public_ip))
        return {}
    if not association_id:
        raise missing("associationId")
    mine = select(Address).filter_by(**call.owner, elastic=True, association_id=association_id)
    address = call.db.scalar(mine.with_for_update())
    if address is None:
        raise Ec2Error("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")
    disassociate(call, address)
    return {}
