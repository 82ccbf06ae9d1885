"""``groundfog services``: what VPCs can reach through endpoints."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.configuration import Data, deployed, open_existing
from cli.terminal import Failure, say, show_table

if TYPE_CHECKING:
    from engine.deployment import Deployment

app = typer.Typer(no_args_is_help=True, help="What VPCs can reach through endpoints.")

Region = Annotated[str, typer.Option(help="The region.", show_default="the first one")]


@app.command("list")
def list_services(data: Data = None) -> None:
    """List the services of every region.

    Example: groundfog services list
    """
    from sqlalchemy import select

    from engine.state import EndpointService

    rows = select(EndpointService).order_by(EndpointService.region, EndpointService.name)
    with open_existing(deployed(data)).database.read() as db:
        found = [[s.name, s.region, s.kind, " ".join(s.targets), s.ports, s.private_dns_name] for s in db.scalars(rows)]
    show_table(["service", "region", "type", "leads to", "ports", "private name"], found)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="As endpoints name it, such as com.amazonaws.us-east-1.s3.")],
    gateway: Annotated[
        list[str] | None, typer.Option("--gateway", help="A range where it is, outside (may be repeated).")
    ] = None,
    server: Annotated[
        list[str] | None, typer.Option("--server", help="host:port of a server of it (may be repeated).")
    ] = None,
    port: Annotated[list[int] | None, typer.Option("--port", help="The port in VPCs (may be repeated).")] = None,
    private_name: Annotated[str, typer.Option(help="Its DNS name, which endpoints may answer.")] = "",
    region: Region = "",
    data: Data = None,
) -> None:
    """Offer a service: by routes (--gateway), or at addresses inside of VPCs (--server).

    Examples:

        groundfog services add com.amazonaws.us-east-1.s3 --gateway 192.0.2.20/32

        groundfog services add com.example.registry --server 192.0.2.30:5000 --port 443 --private-name registry.example
    """
    from engine.endpoints import Unusable, add_gateway_service, add_interface_service

    if bool(gateway) == bool(server):
        raise Failure("cannot add it: name either --gateway or --server; see: groundfog services add --help")
    deployment = open_existing(deployed(data))
    where = _region(deployment, region)
    try:
        with deployment.database.write() as db:
            if gateway:
                add_gateway_service(db, where, name, gateway)
            else:
                add_interface_service(db, where, name, server or [], port or [443], private_name)
    except Unusable as error:
        raise Failure(f"cannot add {name}: {error}") from None
    say(f"{name} can be used in {where}: aws ec2 create-vpc-endpoint --service-name {name} ...")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The service's name.")], region: Region = "", data: Data = None
) -> None:
    """Withdraw a service that no endpoint uses.

    Example: groundfog services remove com.example.registry
    """
    from sqlalchemy import select

    from engine.endpoints import Unusable, remove_service
    from engine.state import EndpointService

    deployment = open_existing(deployed(data))
    where = _region(deployment, region)
    try:
        with deployment.database.write() as db:
            service = db.scalar(select(EndpointService).filter_by(region=where, name=name))
            if service is None:
                raise Failure(f"cannot find the service {name} in {where}; see: groundfog services list")
            remove_service(db, service)
    except Unusable as error:
        raise Failure(f"cannot remove {name}: {error}") from None
    say(f"{name} is gone from {where}")


def _region(deployment: "Deployment", name: str) -> str:
    if name and name not in deployment.regions:
        raise Failure(f"cannot find the region {name}: there are {', '.join(sorted(deployment.regions))}")
    return name or min(deployment.regions)
