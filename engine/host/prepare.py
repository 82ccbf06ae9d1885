"""Makes this machine ready to run guests; all that is there already is left as it is."""

import fcntl
import os
import pwd
from pathlib import Path

from engine.host.accelerator import verdict
from engine.host.bridges import ensure_bridges
from engine.host.ceph import ensure_ceph
from engine.host.commands import HostError, Report
from engine.host.daemons import ensure_daemons
from engine.host.data_directory import ensure_data_directory
from engine.host.devices import ensure_devices
from engine.host.ipv6 import ensure_ipv6
from engine.host.packages import ensure_packages
from settings import Settings

_LOCK = Path("/run/groundfog-prepare.lock")
"""Two deployments on one machine share its daemons and bridges: one at a time starts what is missing."""


def prepare(settings: Settings, report: Report) -> None:
    """Install, start, connect and probe what is missing; every change is reported in one line.

    Takes about 0.1 s when nothing is missing. Raises HostError, which says what to do;
    calling again goes on from there.
    """
    if os.geteuid() != 0:
        name = pwd.getpwuid(os.geteuid()).pw_name
        raise HostError(f"cannot prepare this machine as {name}: bridges and daemons need root; run: sudo make up")
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _prepare(settings, report)


def _prepare(settings: Settings, report: Report) -> None:
    ensure_packages(report, ceph=bool(settings.ceph_pools), lvm=bool(settings.lvm_pools))
    ensure_devices(report)
    ensure_data_directory(settings, report)
    ensure_daemons(settings, report)
    ensure_ceph(settings, report)
    ensure_bridges(settings, report)
    ensure_ipv6(settings, report)
    if settings.accelerator == "auto":
        verdict(settings, report)
