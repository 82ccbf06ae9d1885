"""``groundfog doctor``: what is wrong, and what to do about it."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.configuration import Data, deployed, open_existing
from cli.terminal import Failure, colour, progress, say, show_table

if TYPE_CHECKING:
    from engine.host.findings import Check
    from settings import Settings


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="First repair what can be repaired (engine kvm, as root).")
    ] = False,
    data: Data = None,
) -> None:
    """Look at everything that Groundfog needs. Exit status 1 when something is not right.

    Examples:

        groundfog doctor

        sudo groundfog doctor --fix
    """
    settings = deployed(data)
    if fix and settings.engine == "kvm":
        from engine.host.prepare import prepare

        prepare(settings, progress)
    found = _findings(settings)
    verdicts = {True: colour("ok", "green"), None: colour("warning", "yellow"), False: colour("wrong", "red")}
    show_table(["", "check", "finding", "what to do"], [[verdicts[c.ok], c.name, c.detail, c.remedy] for c in found])
    wrong = sum(check.ok is False for check in found)
    if wrong:
        say(f"{wrong} of {len(found)} checks failed")
        raise typer.Exit(1)


def _findings(settings: "Settings") -> list["Check"]:
    from engine.host.doctor import checks
    from engine.host.findings import Check

    def check_processes(settings: "Settings") -> Check:
        from cli.health import is_healthy
        from engine.supervisor import status

        processes = status(settings)
        if not processes:
            return Check("processes", False, "Groundfog is not up", "run: groundfog up")
        dead = [process.name for process in processes if not process.pid]
        logs = f"read {settings.data}/logs"
        if dead:
            return Check("processes", False, f"not running: {', '.join(dead)}", logs)
        if not is_healthy(settings):
            return Check("processes", False, "the API does not answer", logs)
        restarted = [f"{p.name} ({p.restarts} times)" for p in processes if p.restarts]
        if restarted:
            return Check("processes", None, f"died and were started again: {', '.join(restarted)}", logs)
        return Check("processes", True, ", ".join(process.name for process in processes))

    found = checks(settings, (check_processes, _check_database))
    ours = any(check.name == "processes" and check.ok is not False for check in found)
    return [check for check in found if not (ours and check.name == "port")]


def _check_database(settings: "Settings") -> "Check":
    """It can be read, and holds a deployment."""
    from sqlalchemy.exc import SQLAlchemyError

    from engine.host.findings import Check

    try:
        deployment = open_existing(settings)
        number = len(deployment.regions)
        name = "PostgreSQL" if not deployment.database.is_sqlite else f"{settings.data}/groundfog.db"
        deployment.database.close()
    except (Failure, SQLAlchemyError) as error:
        remedy = "run: groundfog up" if isinstance(error, Failure) else "is it running? see GROUNDFOG_DATABASE"
        return Check("database", False, str(error).splitlines()[0], remedy)
    return Check("database", True, f"{name}: {number} region{'s' * (number != 1)}")
