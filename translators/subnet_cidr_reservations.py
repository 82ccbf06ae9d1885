"""Reservations: parts of a subnet that are given to interfaces only where they are asked for."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from sqlalchemy import select

from engine.ipv6_addresses import range_of
from engine.state import CidrReservation, Subnet
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import invalid, refuse
from translators.find import find
from translators.registry import Call, Result, action
from translators.subnet_ranges import network6
from translators.vpcs import network


def _shape(row: Any) -> dict[str, Any]:
    return {
        "SubnetCidrReservationId": row.id,
        "SubnetId": row.subnet_id,
        "Cidr": row.cidr,
        "ReservationType": row.kind,
        "OwnerId": row.account,
        "Description": row.description or None,
        "Tags": tag_set(row.tags),
    }


RESERVATIONS = Listing(
    kind=CidrReservation,
    columns=(
        CidrReservation.id, CidrReservation.account, CidrReservation.subnet_id, CidrReservation.cidr,
        CidrReservation.kind, CidrReservation.description, tags_of(CidrReservation),
    ),
    shape=_shape,
    filters={"reservationType": CidrReservation.kind, "subnet-id": CidrReservation.subnet_id},
)  # fmt: skip


@action
def get_subnet_cidr_reservations(
    call: Call,
    *,
    subnet_id: str,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    find(call, Subnet, subnet_id)
    mine = (CidrReservation.subnet_id == subnet_id,)
    found, token = describe(call, RESERVATIONS, None, filters, max_results, next_token, where=mine)
    shapes = [memo.make() for memo in found]
    return {
        "SubnetIpv4CidrReservations": [shape for shape in shapes if ":" not in shape["Cidr"]],
        "SubnetIpv6CidrReservations": [shape for shape in shapes if ":" in shape["Cidr"]],
        "NextToken": token,
    }


@action
def create_subnet_cidr_reservation(
    call: Call,
    *,
    subnet_id: str,
    cidr: str,
    reservation_type: str,
    description: str = "",
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Keep a part of a subnet back; addresses of it that are in use stay so."""
    subnet = find(call, Subnet, subnet_id)
    if len(description) > 255:
        raise invalid("description", description, "It is longer than 255 characters.")
    wanted = _checked(call, subnet, cidr)
    reservation = CidrReservation(
        id=CidrReservation.new_id(), **call.owner, subnet_id=subnet_id, cidr=wanted, kind=reservation_type,
        description=description,
    )  # fmt: skip
    call.db.add(reservation)
    tags.put_at_creation(call, tag_specifications, {"subnet-cidr-reservation": [reservation.id]})
    return {"SubnetCidrReservation": rows_of(call, RESERVATIONS, [reservation.id])[0]}


def _checked(call: Call, subnet: Subnet, asked: str) -> str:
    """Return the range if it is a part of the subnet that is not kept back yet."""
    wanted, whole = _ranges(call, subnet, asked)
    if whole is None or not wanted.subnet_of(whole):  # type: ignore[arg-type]
        refuse("InvalidParameterValue", f"The CIDR '{asked}' is not within the CIDR of the subnet {subnet.id}")
    for other in call.db.scalars(select(CidrReservation.cidr).where(CidrReservation.subnet_id == subnet.id)):
        kind = type(wanted)
        if (":" in other) == (wanted.version == 6) and wanted.overlaps(kind(other)):
            refuse("InvalidParameterValue", f"The CIDR '{asked}' conflicts with the reservation of {other}")
    return str(wanted)


def _ranges(
    call: Call, subnet: Subnet, asked: str
) -> tuple[IPv4Network, IPv4Network] | tuple[IPv6Network, IPv6Network | None]:
    if ":" not in asked:
        return network("cidr", asked), IPv4Network(subnet.cidr)
    held = range_of(call.db, subnet.id)
    return network6("cidr", asked), IPv6Network(held) if held else None


@action
def delete_subnet_cidr_reservation(call: Call, *, subnet_cidr_reservation_id: str) -> Result:
    """Give a part back to the subnet; addresses of it that are in use stay so."""
    reservation = find(call, CidrReservation, subnet_cidr_reservation_id)
    shape = rows_of(call, RESERVATIONS, [reservation.id])[0]
    tags.forget(call, reservation.id)
    call.db.delete(reservation)
    return {"DeletedSubnetCidrReservation": shape}
