"""Looks at everything that guests need and says what to do about what is wrong; changes nothing."""

import subprocess
from collections.abc import Iterable

from engine.host.check_ceph import CEPH
from engine.host.check_machine import ALWAYS, MACHINE
from engine.host.check_network import NETWORK
from engine.host.check_storage import storage_checks
from engine.host.commands import HostError
from engine.host.findings import UP, Check, Examine
from settings import Settings


def checks(settings: Settings, more: Iterable[Examine] = ()) -> list[Check]:
    """All findings, in the order in which they should be repaired; ``more`` looks at what other rooms know of.

    A check that fails itself is a finding: this raises nothing that they foresee.
    """
    ceph = CEPH if settings.ceph_pools else ()
    guests = (*MACHINE, *NETWORK, *ceph, *storage_checks(settings)) if settings.engine == "kvm" else ()
    return [examine(one, settings) for one in (*guests, *ALWAYS, *more)]


def examine(one: Examine, settings: Settings) -> Check:
    """The finding of one check, or what kept it from looking."""
    try:
        return one(settings)
    except (HostError, OSError, ValueError, LookupError, subprocess.SubprocessError) as reason:
        name = getattr(one, "__name__", "check").removeprefix("check_").replace("_", " ")
        return Check(name, False, str(reason), UP)
