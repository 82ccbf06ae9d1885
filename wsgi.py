"""Settings to application: what a WSGI server loads."""

from flask import Flask

from engine.deployment import open_deployment, reset
from engine.wakeup import announce
from engine.worker import make_wakeup, start_worker
from gateway.app import create_app
from settings import Settings


def build(settings: Settings) -> Flask:
    """Return the application of a deployment. A simulated one has its worker in the same process."""
    deployment = open_deployment(settings)
    wakeup = make_wakeup(settings, deployment, listen=False)
    database, vault = deployment.database, deployment.vault
    if settings.engine != "simulated":
        announce(database.writers, wakeup, postgresql=not database.is_sqlite)
        return create_app(settings, database, vault, deployment.regions)
    workers = [start_worker(deployment, wakeup)]

    def start_over() -> None:
        workers.pop().stop()
        reset(deployment)
        workers.append(start_worker(deployment, wakeup))

    return create_app(settings, database, vault, deployment.regions, start_over if settings.allow_reset else None)


app = build(Settings())
