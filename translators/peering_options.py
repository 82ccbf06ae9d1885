"""What each side of a VPC peering connection allows the other."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select

from engine import tasks
from engine.state import Peering, Vpc
from translators.errors import missing, refuse, unsupported
from translators.peerings import find_peering
from translators.registry import Call, Result, action

_DNS = "AllowDnsResolutionFromRemoteVpc"
_NEVER = {
    "AllowEgressFromLocalClassicLinkToRemoteVpc": "There is no EC2-Classic.",
    "AllowEgressFromLocalVpcToRemoteClassicLink": "There is no EC2-Classic.",
    "AllowMultipathResilience": "It is for peering connections between regions.",
    "MultipathResilienceMode": "It is for peering connections between regions.",
}
"""What is false of every connection, and may only be set to that."""


@action
def modify_vpc_peering_connection_options(
    call: Call,
    *,
    vpc_peering_connection_id: str,
    requester_peering_connection_options: dict[str, Any] | None = None,
    accepter_peering_connection_options: dict[str, Any] | None = None,
) -> Result:
    asked = {"requester": requester_peering_connection_options, "accepter": accepter_peering_connection_options}
    given = {side: _dns(options) for side, options in asked.items() if options}
    if not given:
        raise missing("requesterPeeringConnectionOptions or accepterPeeringConnectionOptions")
    peering = find_peering(call, vpc_peering_connection_id)
    for side, owner in (("requester", peering.account), ("accepter", peering.accepter_account)):
        if side in given and owner != call.account:
            text = f"User {call.account} does not have permission to modify the {side} side peering options"
            refuse("OperationNotPermitted", text)
    if peering.status != "active":
        text = f"Peering {peering.id} is not active. Peering options can be added only to active peerings."
        refuse("OperationNotPermitted", text)
    _check_names(call, peering, any(given.values()))
    for side, value in given.items():
        if value is not None:
            setattr(peering, f"{side}_dns", value)
    for vpc_id in (peering.requester_vpc_id, peering.accepter_vpc_id):
        tasks.start(call.db, vpc_id, "sync_network", call.region)
    return {f"{side.capitalize()}PeeringConnectionOptions": _shape(peering, side) for side in given}


def _dns(options: Mapping[str, Any]) -> bool | None:
    for name, why in _NEVER.items():
        if options.get(name):
            raise unsupported(name, why)
    value = options.get(_DNS)
    return None if value is None else bool(value)


def _check_names(call: Call, peering: Peering, wanted: bool) -> None:
    ends = (peering.requester_vpc_id, peering.accepter_vpc_id)
    nameless = or_(Vpc.dns_support.is_(False), Vpc.dns_hostnames.is_(False))
    if wanted and call.db.scalar(select(Vpc.id).where(Vpc.id.in_(ends), nameless)):
        text = "To enable DNS hostname resolution for the VPC peering connection, DNS hostname support must be enabled"
        refuse("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled", f"{text} for the VPCs.")


def _shape(peering: Peering, side: str) -> dict[str, bool]:
    never = {name: False for name in _NEVER if name.endswith(("ClassicLink", "RemoteVpc"))}
    return {_DNS: getattr(peering, f"{side}_dns"), **never}
