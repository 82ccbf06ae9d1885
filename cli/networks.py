"""``groundfog networks``: VPCs as the operator sees them, and the VLANs that they are on."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.configuration import Data, deployed, open_existing
from cli.terminal import Failure, say, show_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engine.deployment import Deployment
    from engine.state import Vpc

app = typer.Typer(help="VPCs and the VLANs that they are on.", invoke_without_command=True)

_VpcId = Annotated[str, typer.Argument(help="The VPC's id.", metavar="VPC")]


@app.callback()
def networks(context: typer.Context, data: Data = None) -> None:
    """List the VPCs of every account and region: what they are on the wire, their subnets, ports and uplinks.

    Examples:

        groundfog networks

        groundfog networks map vpc-0123456789abcdef0 --vlan 42

        groundfog networks unmap vpc-0123456789abcdef0
    """
    if context.invoked_subcommand is not None:
        return
    columns = ["vpc", "account", "region", "name", "ranges", "on the wire", "subnets", "ports", "uplink"]
    deployment = open_existing(deployed(data))
    unwired = _unwired(deployment)
    with deployment.database.read() as db:
        show_table(columns, [_cells(row, unwired) for row in _rows(db)])


def _unwired(deployment: "Deployment") -> str:
    """Return what VPCs without a VLAN are on."""
    return "the overlay" if deployment.settings.engine == "kvm" else "nothing: simulated"


def _rows(db: "Session") -> list[Any]:
    from sqlalchemy import and_, func, or_, select

    from engine import desired
    from engine.state import Instance, NetworkInterface, Subnet, Tag, Vpc, VpcCidrBlock, json_rows

    named = and_(Tag.resource_id == Vpc.id, Tag.account == Vpc.account, Tag.key == "Name")
    ranges = and_(VpcCidrBlock.vpc_id == Vpc.id, VpcCidrBlock.state == "associated")
    plugged = or_(Instance.state.in_(desired.PLUGGED), NetworkInterface.kind == "vpc_endpoint")
    ports = select(func.count()).select_from(NetworkInterface)
    return list(
        db.execute(
            select(
                Vpc.id, Vpc.account, Vpc.region, Vpc.vlan, Vpc.vlan_is_mapped, Vpc.uplink_address,
                select(Tag.value).where(named).scalar_subquery().label("name"),
                json_rows(VpcCidrBlock.cidr, where=ranges, order=(VpcCidrBlock.cidr,)).label("ranges"),
                select(func.count()).where(Subnet.vpc_id == Vpc.id).scalar_subquery().label("subnets"),
                ports.outerjoin(Instance, Instance.id == NetworkInterface.instance_id)
                .where(NetworkInterface.vpc_id == Vpc.id, plugged)
                .scalar_subquery().label("ports"),
            ).order_by(Vpc.region, Vpc.account, Vpc.created, Vpc.id)
        )
    )  # fmt: skip


def _cells(row: Any, unwired: str) -> list[str]:
    import json

    wire = unwired if row.vlan is None else f"VLAN {row.vlan}" + (" (mapped)" if row.vlan_is_mapped else "")
    ranges = ", ".join(cidr for (cidr,) in json.loads(row.ranges))
    counts = [str(row.subnets), str(row.ports), row.uplink_address or ""]
    return [row.id, row.account, row.region, row.name or "", ranges, wire, *counts]


@app.command("map")
def map_vlan(
    vpc: _VpcId,
    vlan: Annotated[int, typer.Option(help="A VLAN id of the physical network: 1-4094.")],
    data: Data = None,
) -> None:
    """Put a VPC on a VLAN that is there already, so that its guests and the machines in that VLAN talk.

    Running guests follow at once. The VLAN's machines choose addresses of a subnet that no interface has, best from a
    CIDR reservation, with the subnet's first address as their router.

    Example: groundfog networks map vpc-0123456789abcdef0 --vlan 42
    """
    from sqlalchemy import select

    from engine.state import Vpc

    if not 1 <= vlan <= 4094:
        raise Failure(f"cannot map {vpc} to VLAN {vlan}: ids are from 1 to 4094; choose one of them")
    deployment = open_existing(deployed(data))
    with deployment.database.write() as db:
        row = _find(db, vpc)
        holder = db.scalar(select(Vpc.id).where(Vpc.vlan == vlan, Vpc.id != vpc))
        if holder:
            raise Failure(f"cannot map {vpc} to VLAN {vlan}: it is that of {holder}; see: groundfog networks")
        row.vlan, row.vlan_is_mapped = vlan, True
        _sync(db, row)
    _report(deployment, vpc, f"{vpc} is on VLAN {vlan}")


@app.command()
def unmap(vpc: _VpcId, data: Data = None) -> None:
    """Put a VPC that was mapped back on a VLAN of its own, or the overlay. Running guests follow at once.

    Example: groundfog networks unmap vpc-0123456789abcdef0
    """
    from engine.addresses import Exhausted, free_vlan

    deployment = open_existing(deployed(data))
    with deployment.database.write() as db:
        row = _find(db, vpc)
        if not row.vlan_is_mapped:
            raise Failure(f"cannot unmap {vpc}: it is not mapped; see: groundfog networks")
        # Not its own present id, which may lie in the range and would be taken for used.
        row.vlan, row.vlan_is_mapped = None, False
        db.flush()
        try:
            row.vlan = free_vlan(db, deployment.settings)
        except Exhausted:
            raise Failure(f"cannot unmap {vpc}: vlan_range has no free id; widen it and restart Groundfog") from None
        _sync(db, row)
        wire = _unwired(deployment) if row.vlan is None else f"VLAN {row.vlan}"
    _report(deployment, vpc, f"{vpc} is mapped no more: it is on {wire}")


def _find(db: "Session", id: str) -> "Vpc":
    from engine.state import Vpc

    found = db.get(Vpc, id, with_for_update=True)
    if found is None:
        raise Failure(f"cannot find the VPC {id}; see: groundfog networks")
    return found


def _sync(db: "Session", vpc: "Vpc") -> None:
    from engine import tasks

    db.flush()
    tasks.start(db, vpc.id, "sync_network", vpc.region)


def _report(deployment: "Deployment", vpc: str, done: str) -> None:
    """Say what was done, once the worker has brought it to the network; it does so at its next look."""
    from engine.state import Task

    until = time.monotonic() + 10
    while time.monotonic() < until:
        with deployment.database.read() as db:
            task = db.get(Task, vpc)
            if task is None or task.workflow != "sync_network":
                say(done)
                return
            error = task.error
        time.sleep(0.1)
    say(f"{done} in the database; the network follows when the worker can{f': {error}' if error else ''}")
