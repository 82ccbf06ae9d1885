"""The tenancy of VPCs."""

from engine.state import Vpc
from translators.find import find
from translators.registry import Call, Result, action


@action
def modify_vpc_tenancy(call: Call, *, vpc_id: str, instance_tenancy: str) -> Result:
    """Have what is launched into a VPC not be dedicated any more: the model allows no other change."""
    find(call, Vpc, vpc_id).tenancy = instance_tenancy
    return {"ReturnValue": True}
