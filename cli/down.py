"""``groundfog down``: ends what ``up`` started."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configuration import Data, deployed
from cli.terminal import progress, say

if TYPE_CHECKING:
    from engine.drivers.base import Compute
    from settings import Settings

# Seconds in which a guest may shut itself down before its power is cut.
_GUESTS_LIMIT = 20.0


def down(
    guests: Annotated[
        bool, typer.Option("--guests/--keep-guests", help="Shut guests down, or let them run on.")
    ] = True,
    data: Data = None,
) -> None:
    """Stop Groundfog: API, worker, metadata service, and guests unless told otherwise.

    The next `groundfog up` starts again those guests that ran, with their disks.

    Examples:

        groundfog down

        groundfog down --keep-guests
    """
    from engine import supervisor

    settings = deployed(data)
    was_up = supervisor.stop(settings)
    stopped = stop_guests(settings) if guests and settings.engine == "kvm" else 0
    if not was_up and not stopped:
        say(f"Groundfog was not up in {settings.data}")
        return
    say("Groundfog is down" + (f", and {stopped} guest{'s' * (stopped != 1)} with it" if stopped else ""))


def stop_guests(settings: "Settings") -> int:
    """Shut down every guest of this machine, all at once; return how many ran.

    Takes ``_GUESTS_LIMIT`` and a little at most. The hosts are marked as restarted, so that the next worker starts
    what should run. Call it when no worker runs: one would take the guests for having powered themselves off.
    """
    if not (settings.data / "groundfog.db").exists() and not settings.database:
        return 0
    from engine.deployment import open_deployment
    from engine.fleet import drivers_of
    from engine.state import Host

    deployment = open_deployment(settings)
    hosts = {name: c for d in drivers_of(settings, deployment.database).values() for name, c in d.computes.items()}
    running = [(c, id) for c in set(hosts.values()) for id, state in c.list_machines().items() if state == "running"]
    if running:
        with deployment.database.write() as db:
            for host in hosts:
                if row := db.get(Host, host):
                    row.boot_id = ""
        progress(f"shutting down {', '.join(id for _, id in running)}")
        _power_off(running)
    deployment.database.close()
    return len(running)


def _power_off(running: list[tuple["Compute", str]]) -> None:
    for compute, id in running:
        compute.stop_machine(id)
    until = time.monotonic() + _GUESTS_LIMIT
    while (left := _still_running(running)) and time.monotonic() < until:
        time.sleep(0.2)
    for compute, id in left:
        progress(f"cutting the power of {id}: it did not shut down within {_GUESTS_LIMIT:g} s")
        compute.stop_machine(id, force=True)


def _still_running(machines: list[tuple["Compute", str]]) -> list[tuple["Compute", str]]:
    return [(compute, id) for compute, id in machines if compute.machine_state(id) == "running"]
