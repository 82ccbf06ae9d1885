"""Routes that a VPN gateway adds to route tables by itself: there are no VPN gateways, so none ever does."""

from typing import NoReturn

from engine.state import RouteTable
from translators.errors import refuse
from translators.find import find
from translators.registry import Call, action


@action
def enable_vgw_route_propagation(call: Call, *, gateway_id: str, route_table_id: str) -> NoReturn:
    _refuse(call, gateway_id, route_table_id)


@action
def disable_vgw_route_propagation(call: Call, *, gateway_id: str, route_table_id: str) -> NoReturn:
    _refuse(call, gateway_id, route_table_id)


def _refuse(call: Call, gateway_id: str, route_table_id: str) -> NoReturn:
    find(call, RouteTable, route_table_id)
    refuse("InvalidVpnGatewayID.NotFound", f"The vpnGateway ID '{gateway_id}' does not exist")
