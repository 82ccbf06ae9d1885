"""Whether the API answers, and who else may sit on its port."""

import json
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.configuration import endpoint
from cli.terminal import Failure

if TYPE_CHECKING:
    from settings import Settings

_EVERY = 0.01


def is_healthy(settings: "Settings") -> bool:
    import http.client  # here, as `up` has better things to do before its processes start

    connection = http.client.HTTPConnection(urlsplit(endpoint(settings)).netloc, timeout=5)
    try:
        connection.request("GET", "/_groundfog/health")
        return bool(json.load(connection.getresponse()).get("status") == "ok")
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def refuse_taken_port(settings: "Settings") -> None:
    """Raise Failure when somebody else listens already: the API itself would share the port with it unnoticed."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    where = f"{settings.host}:{settings.port}"
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except PermissionError:
            raise Failure(f"cannot listen on {where}: only root may; choose another port: --port 8777") from None
        except socket.gaierror:
            raise Failure(f"cannot listen on {where}: no such address; set GROUNDFOG_HOST") from None
        except OSError as reason:
            who = "another Groundfog deployment" if is_healthy(settings) else "another program"
            raise Failure(
                f"cannot listen on {where}: {who} does ({reason.strerror}); choose another port: "
                f"groundfog up --port {settings.port + 1}, or see who it is: ss -ltnp 'sport = :{settings.port}'"
            ) from None


def wait_until_healthy(settings: "Settings", limit: float) -> None:
    """Return once the API answers. Raises Failure with the end of its log when it dies or takes ``limit`` seconds."""
    from engine.supervisor import log_tail, status

    until = time.monotonic() + limit
    while not is_healthy(settings):
        processes = status(settings)
        broken = [p.name for p in processes if p.restarts]
        if broken or not processes or time.monotonic() > until:
            name = broken[0] if broken else "api" if processes else "supervisor"
            log = settings.data / "logs" / f"{name}.log"
            raise Failure(f"cannot start the {name} process; the end of {log}:\n{log_tail(settings, name)}")
        time.sleep(_EVERY)
