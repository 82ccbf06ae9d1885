"""Interfaces of a NAT gateway or an endpoint: their owner sees them, and changes them only by what they are part of."""

from engine.state import NetworkInterface
from translators.errors import refuse
from translators.find import find
from translators.registry import Call


def find_unmanaged(call: Call, id: str) -> NetworkInterface:
    """Return the caller's interface if the caller may change it, locked until the call ends if the call writes."""
    interface = find(call, NetworkInterface, id)
    refuse_managed(interface)
    return interface


def refuse_managed(interface: NetworkInterface | None) -> None:
    if interface and interface.managed_by:
        refuse("AuthFailure", "You do not have permission to access the specified resource.")
