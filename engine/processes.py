"""What the processes of a deployment run."""

import contextlib
import ctypes
import gc
import importlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from engine.lifelines import die_with
from settings import Settings


def _serve_api(settings: Settings) -> None:
    """Serve wsgi:app. Granian forks one worker process, which may not outlive it either."""
    import multiprocessing

    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    multiprocessing.set_start_method("fork", force=True)
    server = Granian(
        "wsgi:app", settings.host, settings.port, interface=Interfaces.WSGI, workers=1, websockets=False,
        blocking_threads=settings.threads, http=HTTPModes.http1, workers_kill_timeout=5, log_access=False,
    )  # fmt: skip
    server.serve(target_loader=partial(_load_app, os.getpid()), wrap_loader=False)


def _load_app(parent: int) -> Any:
    die_with(parent)
    _log_plainly()
    _give_memory_back()
    # Nothing of what is loaded is garbage, now or later: to look for some takes a sixth of the time to start.
    gc.disable()
    app = importlib.import_module("wsgi").app
    gc.freeze()
    gc.enable()
    return app


def _give_memory_back() -> None:
    """Have glibc map every large block by itself, so that a reply of megabytes is given back when it is sent.

    By default the size from which it does so grows with what was freed, and replies stay in the heap. See mallopt(3).
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 256 * 1024)  # M_MMAP_THRESHOLD
        mallopt(-8, 2)  # M_ARENA_MAX


def _run_worker(settings: Settings) -> None:
    from engine import worker

    _log_plainly()
    worker.run(settings)


def _run_metadata(settings: Settings) -> None:
    from engine.metadata import service

    _log_plainly()
    service.run(settings)


def _log_plainly() -> None:
    """Write lines of key=value to the log. structlog's own choice is colours, and tracebacks that show variables."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _watch_daemons(settings: Settings) -> None:
    from engine.host import watch

    _log_plainly()
    watch.run(settings)


API: dict[str, Callable[[Settings], None]] = {"api": _serve_api}
ALL = {**API, "worker": _run_worker, "metadata": _run_metadata, "daemons": _watch_daemons}
