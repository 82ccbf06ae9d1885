"""Starts the daemons that guests need (libvirt, Open vSwitch, OVN), by systemd where it is there, else by hand."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.host.commands import HostError, Report, attempt, run
from settings import Settings

OVS_SOCKET = "/run/openvswitch/db.sock"
OVS_DATABASE = "/etc/openvswitch/conf.db"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
OVN_CTL = "/usr/share/ovn/scripts/ovn-ctl"
# Seconds in which a daemon that was started must answer: slow disks and one busy CPU included.
START_LIMIT = 30.0
# Seconds that a process which does not answer is given before it counts as stuck.
STUCK_LIMIT = 5.0
# Which daemons this code started by hand: stop_daemons() ends no other. A file for each, holding the pid file's name.
STARTED = Path("/run/groundfog-daemons")


@dataclass(frozen=True)
class Daemon:
    """One daemon: how to tell that it lives, and how to start it by hand or by its systemd unit.

    In ``socket``, ``{pid}`` stands for the number in the pid file. ``process`` is the kernel's name of the process;
    ``clue`` says where to learn why it does not start.
    """

    process: str
    pidfile: str
    socket: str
    unit: str
    start: tuple[str, ...]
    clue: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.process


def _ovs(process: str, *arguments: str) -> Daemon:
    log, pidfile = f"/var/log/openvswitch/{process}.log", f"/run/openvswitch/{process}.pid"
    usual = ("-vconsole:emer", "-vsyslog:off", "-vfile:info", f"--log-file={log}", f"--pidfile={pidfile}")
    # --monitor restarts the daemon should it crash.
    start = (process, *arguments, *usual, "--detach", "--monitor")
    socket = OVS_SOCKET if process == "ovsdb-server" else f"/run/openvswitch/{process}.{{pid}}.ctl"
    return Daemon(process, pidfile, socket, f"{process}.service", start, f"read {log}")


def _ovn(name: str, process: str, socket: str, action: str, unit: str, log: str = "") -> Daemon:
    clue = f"read /var/log/ovn/{log or name}.log"
    return Daemon(process, f"/run/ovn/{name}.pid", f"/run/ovn/{socket}", unit, (OVN_CTL, action), clue, name)


def _libvirt(process: str, socket: str) -> Daemon:
    # Without a journal it keeps no log.
    clue = f"run it in the foreground: {process}"
    return Daemon(process, f"/run/{process}.pid", f"/run/libvirt/{socket}", f"{process}.service", (process, "-d"), clue)


OPEN_VSWITCH = (
    _ovs("ovsdb-server", OVS_DATABASE, f"--remote=punix:{OVS_SOCKET}"),
    _ovs("ovs-vswitchd", f"unix:{OVS_SOCKET}", "--mlockall"),
)
_NB, _SB = "ovn-ovsdb-server-nb.service", "ovn-ovsdb-server-sb.service"
OVN = (
    _ovn("ovnnb_db", "ovsdb-server", "ovnnb_db.sock", "start_nb_ovsdb", _NB, "ovsdb-server-nb"),
    _ovn("ovnsb_db", "ovsdb-server", "ovnsb_db.sock", "start_sb_ovsdb", _SB, "ovsdb-server-sb"),
    _ovn("ovn-northd", "ovn-northd", "ovn-northd.{pid}.ctl", "start_northd", "ovn-northd.service"),
    _ovn("ovn-controller", "ovn-controller", "ovn-controller.{pid}.ctl", "start_controller", "ovn-controller.service"),
)
VIRTLOGD = _libvirt("virtlogd", "virtlogd-sock")
LIBVIRTD = _libvirt("libvirtd", "libvirt-sock")
VIRTQEMUD = _libvirt("virtqemud", "virtqemud-sock")


def daemons() -> tuple[Daemon, ...]:
    """Every daemon of this host, in the order in which they start."""
    return (*OPEN_VSWITCH, *OVN, *libvirt_daemons())


def libvirt_daemons() -> tuple[Daemon, ...]:
    """virtlogd and the daemon that runs guests: the one for all drivers where it is installed, else QEMU's own."""
    whole = any(Path(folder, "libvirtd").exists() for folder in ("/usr/sbin", "/usr/bin"))
    return VIRTLOGD, LIBVIRTD if whole else VIRTQEMUD


def has_systemd() -> bool:
    """Whether systemd is PID 1; the test is sd_booted(3)'s."""
    return Path("/run/systemd/system").is_dir()


def process_of(daemon: Daemon) -> int | None:
    """The daemon's process; None when its pid file is missing, stale, or names what is another program by now."""
    try:
        pid = int(Path(daemon.pidfile).read_text())
    except (OSError, ValueError):
        return None
    # The kernel keeps 15 characters of a name.
    return pid if _name_of(pid) == daemon.process[:15] else None


def _name_of(pid: int) -> str:
    """What the kernel calls a process; "" when there is none, or only a zombie that nobody has reaped."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")
    except OSError:
        return ""
    name, _, state = rest.rpartition(") ")
    return "" if state.startswith("Z") else name


def is_alive(daemon: Daemon) -> bool:
    """Whether something answers at the daemon's socket: a pid file alone survives a power cut."""
    where = daemon.socket
    if "{pid}" in where:
        pid = process_of(daemon)
        if pid is None:
            return False
        where = where.format(pid=pid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(where)
        except OSError:
            return False
    return True


def ensure_daemons(settings: Settings, report: Report) -> None:
    """Start every daemon that does not answer. Raises HostError that names the daemon and its log."""
    dead = [daemon for daemon in daemons() if not is_alive(daemon)]
    if not dead:
        return
    start = _start_unit if has_systemd() else _start_by_hand
    # libvirt knows nothing of the switch until a guest starts: the two families come up side by side.
    families = [[d for d in dead if d in family] for family in ((*OPEN_VSWITCH, *OVN), libvirt_daemons())]
    with ThreadPoolExecutor(len(families)) as pool:
        for outcome in [pool.submit(_start_all, family, start, report) for family in families]:
            outcome.result()


def _start_all(family: Iterable[Daemon], start: Callable[[Daemon], None], report: Report) -> None:
    for daemon in family:
        report(f"starting {daemon}")
        # ovs-ctl, which the unit calls, refuses to start the switch where the kernel has no datapath.
        (_start_by_hand if daemon.process == "ovs-vswitchd" and not kernel_datapath() else start)(daemon)
        _wait_until_alive(daemon, START_LIMIT)


def _wait_until_alive(daemon: Daemon, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_alive(daemon):
        if time.monotonic() > until:
            clue = f"read journalctl -u {daemon.unit}" if has_systemd() else daemon.clue
            raise HostError(f"cannot start {daemon}: it does not answer at {daemon.socket}; {clue}")
        time.sleep(0.02)


def _start_unit(daemon: Daemon) -> None:
    run(["systemctl", "start", daemon.unit], timeout=120)


def _start_by_hand(daemon: Daemon) -> None:
    _clear_away(daemon)
    if daemon.process == "ovsdb-server" and not daemon.name:
        _make_ovs_database()
    run([*_with_descriptors(), *daemon.start])
    STARTED.mkdir(exist_ok=True)
    (STARTED / str(daemon)).touch()
    if daemon.socket == OVS_SOCKET:
        run(["ovs-vsctl", "--no-wait", "init"])


def _with_descriptors() -> list[str]:
    """Raises the limit of open files as far as this process may: a port of the switch takes several."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65535 if hard == resource.RLIM_INFINITY else min(hard, 65535)
    return ["prlimit", f"--nofile={wanted}:"] if soft < wanted else []


def _clear_away(daemon: Daemon) -> None:
    """End what is half-started or stuck, and remove a stale pid file: ovn-ctl believes any live process's number."""
    pid = process_of(daemon)
    if pid is not None:
        try:
            _wait_until_alive(daemon, STUCK_LIMIT)
            return
        except HostError:
            _end(pid)
    Path(daemon.pidfile).unlink(missing_ok=True)


def _make_ovs_database() -> None:
    """The switch's database, of the schema that the installed Open vSwitch wants."""
    for folder in ("/run/openvswitch", "/var/log/openvswitch", str(Path(OVS_DATABASE).parent)):
        Path(folder).mkdir(parents=True, exist_ok=True)
    if not Path(OVS_DATABASE).exists():
        run(["ovsdb-tool", "create", OVS_DATABASE, OVS_SCHEMA])
    elif run(["ovsdb-tool", "needs-conversion", OVS_DATABASE, OVS_SCHEMA]).strip() == "yes":
        run(["ovsdb-tool", "convert", OVS_DATABASE, OVS_SCHEMA])


def kernel_datapath() -> bool:
    """Whether the kernel forwards for Open vSwitch; loads its module if there is one."""
    if Path("/sys/module/openvswitch").exists():
        return True
    return attempt(["modprobe", "--quiet", "openvswitch"]).returncode == 0


def stop_daemons(report: Report) -> None:
    """End those daemons that ``ensure_daemons`` started by hand, last first. Guests go on without libvirt and OVN."""
    for daemon in reversed(daemons()):
        mark = STARTED / str(daemon)
        pid = process_of(daemon)
        if mark.exists() and pid is not None:
            report(f"stopping {daemon}")
            _end(pid)
        mark.unlink(missing_ok=True)


def _end(pid: int, patience: float = 5.0) -> None:
    """SIGTERM, then SIGKILL. Open vSwitch's monitors end with the process they watch when it ends by SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if not _name_of(pid):
                return
            time.sleep(0.02)
