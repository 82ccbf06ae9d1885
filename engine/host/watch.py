"""Starts again what guests need of this host when it has died: daemons, and what bridges lost with them."""

import threading

import structlog

from engine.host.commands import HostError
from engine.host.daemons import daemons, is_alive
from engine.host.prepare import prepare
from settings import Settings

_SECONDS = 1.0
"""How often every daemon is asked whether it lives."""
_LONGEST_WAIT = 60.0

log = structlog.get_logger("groundfog.daemons")


def run(settings: Settings) -> None:
    """Watch until this process is ended.

    systemd starts its units again by itself, but no unit gives a bridge its address back that went with the switch.
    """
    failures = 0
    pause = threading.Event()
    while True:
        pause.wait(min(_LONGEST_WAIT, _SECONDS * 2**failures))
        failures = 0 if is_well(settings) else min(failures + 1, 6)


def is_well(settings: Settings) -> bool:
    """Say whether every daemon lives, or lives again; prepare this machine anew where one does not."""
    dead = [str(daemon) for daemon in daemons() if not is_alive(daemon)]
    if not dead:
        return True
    log.warning("daemons have died", daemons=" ".join(dead))
    try:
        prepare(settings, lambda line: log.info("preparing this host again", step=line))
    except HostError as error:
        log.error("cannot prepare this host", error=str(error))
        return False
    return True
