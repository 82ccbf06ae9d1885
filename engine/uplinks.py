"""Whether a VPC's router needs an address on the external network."""

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from engine.interfaces import lend_uplink, take_back_uplink
from engine.state import EgressGateway, Endpoint, InternetGateway, Vpc
from settings import Settings


def settle_uplink(db: Session, settings: Settings, vpc: Vpc) -> None:
    """Give a VPC's router such an address if something in the VPC leads out, or take it back if nothing does any more.

    Call it after each change of what leads out. Raise addresses.Exhausted when the pool has none.
    """
    db.flush()
    gateway_endpoint = (Endpoint.kind == "Gateway", or_(Endpoint.state == "pending", Endpoint.state == "available"))
    ways = (
        exists().where(InternetGateway.vpc_id == vpc.id),
        exists().where(EgressGateway.vpc_id == vpc.id),
        exists().where(Endpoint.vpc_id == vpc.id, *gateway_endpoint),
    )
    if db.scalar(select(or_(*ways))):
        if vpc.uplink_address is None:
            lend_uplink(db, settings, vpc)
    elif vpc.uplink_address is not None:
        take_back_uplink(db, vpc)
