"""``groundfog status``: what runs, where, and how much room is left."""

import shutil
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.configuration import Data, deployed, endpoint, open_existing
from cli.terminal import colour, say, show_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from settings import Settings

_GIB = 1 << 30
_SECRET = ("secret_key", "database", "flow_log_store_secret")


def status(
    data: Data = None,
    settings: Annotated[bool, typer.Option("--settings", help="Print every setting and what it means.")] = False,
) -> None:
    """Show processes, endpoint, zones, hosts, instances, volumes and free disk. Exit status 1 when something is down.

    Examples:

        groundfog status

        groundfog status --settings
    """
    found = deployed(data)
    if settings:
        _show_settings(found)
        return
    all_run = _show_processes(found)
    if found.database or (found.data / "groundfog.db").exists():
        deployment = open_existing(found)
        with deployment.database.read() as db:
            _show_places(db)
            _show_hosts(db)
            _show_instances(db)
            _show_volumes(db)
        deployment.database.close()
    if found.data.exists():
        say(f"{shutil.disk_usage(found.data).free / _GIB:.1f} GiB free for {found.data}")
    if not all_run:
        raise typer.Exit(1)


def _show_processes(settings: "Settings") -> bool:
    """Show the processes; return whether each of them runs and the API answers."""
    from cli.health import is_healthy
    from engine.supervisor import status as processes_of

    processes = processes_of(settings)
    if not processes:
        say(f"Groundfog is not up in {settings.data}; start it: groundfog up")
        return False
    healthy = is_healthy(settings)
    answer = colour("answers", "green") if healthy else colour("does not answer", "red")
    say(f"{endpoint(settings)} {answer.plain} ({settings.engine})")
    rows: list[list[Any]] = []
    for process in processes:
        state = colour("running", "green") if process.pid else colour("waits to be started again", "red")
        since = _duration(time.time() - process.started) if process.pid else ""
        rows.append([process.name, state, str(process.pid or ""), since, str(process.restarts)])
    show_table(["process", "state", "pid", "for", "restarts"], rows)
    return healthy and all(process.pid for process in processes)


def _show_places(db: "Session") -> None:
    from sqlalchemy import select

    from engine.state import Zone

    zones: dict[str, list[str]] = {}
    for region, zone in db.execute(select(Zone.region, Zone.name).order_by(Zone.region, Zone.name)):
        zones.setdefault(region, []).append(zone)
    show_table(["region", "zones"], [[region, ", ".join(names)] for region, names in zones.items()])


def _show_hosts(db: "Session") -> None:
    from sqlalchemy import select

    from engine.state import Host

    rows = [
        [host.name, host.region, f"{host.vcpus_used} of {host.vcpus}", f"{host.memory_used_mib} of {host.memory_mib}"]
        for host in db.scalars(select(Host).order_by(Host.region, Host.name))
    ]
    show_table(["host", "region", "vCPUs promised", "MiB promised"], rows)


def _show_instances(db: "Session") -> None:
    from sqlalchemy import func, select

    from engine.state import Instance

    states = (Instance.region, Instance.state)
    counted = select(*states, func.count()).group_by(*states).order_by(*states)
    rows = [[region, state, str(number)] for region, state, number in db.execute(counted)]
    if rows:
        show_table(["region", "instances", "number"], rows)
    else:
        say("no instances")


def _show_volumes(db: "Session") -> None:
    from sqlalchemy import func, select

    from engine.state import Volume

    counted = select(Volume.region, func.count(), func.sum(Volume.size)).group_by(Volume.region)
    rows = [[region, str(number), str(gib)] for region, number, gib in db.execute(counted.order_by(Volume.region))]
    if rows:
        show_table(["region", "volumes", "GiB promised"], rows)


def _show_settings(settings: "Settings") -> None:
    rows = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
        if name in _SECRET and value:
            shown = _without_password(shown) if name == "database" else "(set)"
        meaning = " ".join((field.description or "").replace("``", "").split())
        rows.append([f"GROUNDFOG_{name.upper()}", shown, meaning])
    show_table(["variable", "value", "meaning"], rows)


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
