"""Public addresses: one-to-one translations at a network's border, each marked with whose it is."""

from collections.abc import Sequence

from engine.drivers.base import DriverError
from engine.drivers.networking import Nat
from engine.drivers.ovn_database import ID, NETWORK, Edit
from engine.drivers.ovn_names import address, border


def put_nats(edit: Edit, network_id: str, owner_id: str, nats: Sequence[Nat]) -> None:
    """Make an owner's public addresses so. Without an uplink they are kept and have no effect until there is one.

    Raise DriverError for one that another has.
    """
    router = edit.named("Logical_Router", border(network_id))
    wanted = {(str(address(nat.private)), str(address(nat.public))) for nat in nats}
    for row in edit.marked("NAT", owner_id):
        if (row.logical_ip, row.external_ip) in wanted:
            wanted.remove((row.logical_ip, row.external_ip))
        else:
            edit.drop(router, "nat", row)
    for private, public in sorted(wanted):
        for other in edit.publicly(public):
            raise DriverError(f"public {public} is in use by {other.external_ids.get(ID)}")
        ids = {ID: owner_id, NETWORK: network_id}
        columns = {"type": "dnat_and_snat", "logical_ip": private, "external_ip": public, "external_ids": ids}
        if router is not None:
            router.addvalue("nat", edit.insert("NAT", **columns))


def drop_nats(edit: Edit, owner_id: str) -> None:
    for row in edit.marked("NAT", owner_id):
        router = edit.named("Logical_Router", border(row.external_ids[NETWORK]))
        if router is not None:
            edit.drop(router, "nat", row)
