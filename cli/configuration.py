"""Which settings a command works with: those it is given, or those of the deployment that is there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import Failure

if TYPE_CHECKING:
    from engine.deployment import Deployment
    from settings import Settings

Data = Annotated[
    Path | None, typer.Option("--data", help="The deployment's data directory.", show_default=".groundfog")
]


def chosen(**options: Any) -> "Settings":
    """Return the settings with these options over them; an option that is None was not given."""
    from settings import Settings

    settings = Settings(**{name: value for name, value in options.items() if value is not None})
    if settings.seed:
        if not settings.seed.is_file():
            raise Failure(f"cannot read the seed file {settings.seed}: there is none; give its path: --seed FILE")
        settings.seed = settings.seed.absolute()
    return settings


def deployed(data: Path | None) -> "Settings":
    """Return what the deployment in this directory was last started with, or the settings where it never was."""
    from engine.supervisor import running_settings

    settings = chosen(data=data)
    return running_settings(settings.data) or settings


def open_existing(settings: "Settings") -> "Deployment":
    """Open the deployment of these settings. Raises Failure when there is none yet: only ``up`` makes one."""
    if not settings.database and not (settings.data / "groundfog.db").exists():
        raise Failure(f"cannot find a deployment in {settings.data}: begin with groundfog up, or name it with --data")
    from engine.deployment import open_deployment

    return open_deployment(settings)


def endpoint(settings: "Settings") -> str:
    """Return the URL at which this machine reaches the API."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
