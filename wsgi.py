"""Settings to application: what a WSGI server loads."""

from flask import Flask

from engine.deployment import open_deployment, reset
from engine.fleet import local_storages, storages_of
from engine.snapshot_blocks import SnapshotBlocks
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
        blocks = SnapshotBlocks(local_storages(settings, database), vault.sign, settings)
        return create_app(settings, database, vault, deployment.regions, blocks=blocks)
    worker = start_worker(deployment, wakeup)
    blocks = SnapshotBlocks(storages_of(worker.drivers), vault.sign, settings)

    def start_over() -> None:
        nonlocal worker
        worker.stop()
        reset(deployment)
        worker = start_worker(deployment, wakeup)
        blocks.storages = storages_of(worker.drivers)

    again = start_over if settings.allow_reset else None
    return create_app(settings, database, vault, deployment.regions, again, blocks)


app = build(Settings())
