"""Machines as QEMU guests of one libvirt daemon, local or remote."""

import logging
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import libvirt

from engine.drivers.base import AttachedDisk, Capacity, DriverError, Machine, MachineState, Refused
from engine.drivers.libvirt_devices import HotPlug
from engine.drivers.libvirt_disks import check_written, move_disks, resize_disk
from engine.drivers.libvirt_nodes import is_settling
from engine.drivers.libvirt_secrets import give_keys, secrets_of, take_keys
from engine.drivers.libvirt_xml import NAMESPACE, Accelerator, Datapath, HostWays, domain_xml, owner_of

CONSOLE_BYTES = 64 * 1024
KEEPALIVE_SECONDS = 5
KEEPALIVE_MISSES = 3
LONGEST_BACK_OFF = 30.0

NEVER = {
    libvirt.VIR_ERR_XML_ERROR,
    libvirt.VIR_ERR_XML_DETAIL,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_INVALID_MAC,
    libvirt.VIR_ERR_OS_TYPE,
}
"""The errors by which libvirt says that a definition can never run here."""
GONE = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_METADATA}
ALREADY = {libvirt.VIR_ERR_OPERATION_INVALID}
"""Starting what runs, or stopping what does not: somebody was quicker."""
RESUMABLE = {libvirt.VIR_DOMAIN_PAUSED_USER, libvirt.VIR_DOMAIN_PAUSED_IOERROR}
EVENTS = {libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED}
FORGET_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)

log = logging.getLogger(__name__)


class Libvirt:
    """Compute on the libvirt at ``uri``, reached again whenever the daemon was restarted; guests do not notice.

    Domains are persistent, named by the machine's id and marked as Groundfog's; others on the host are left alone.
    Consoles are written by virtlogd, which bounds them, to ``console_directory`` on the host that ``uri`` names: where
    that is another host, the directory has to be shared with this one to be read. Reading them takes root.
    """

    def __init__(
        self, uri: str, accelerator: Accelerator, console_directory: Path, datapath: Datapath, owner: str = ""
    ) -> None:
        """Connect to nothing yet. ``datapath`` is the ``datapath_type`` of the bridge br-int.

        ``owner`` tells the machines of one deployment from those of another on the same host.
        """
        self._uri = uri
        self._owner = owner
        self._ways = HostWays(accelerator, datapath, _takes_direct_io)
        self._hot_plug = HotPlug(self._ways)
        self._consoles = console_directory.absolute()
        self._consoles.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._opening = threading.Lock()
        self._shared: Any = None
        self._watchers: list[Callable[[str], None]] = []
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ensure_machine(self, machine: Machine) -> None:
        """Raise Refused when libvirt says that the definition is wrong, DriverError with its words for all else."""
        with _errors(f"cannot start {machine.id}"):
            domain = self._find(machine.id)
            if domain is not None and domain.isActive():
                if is_settling(domain):
                    self.move_disks(machine)
                _resume(domain)
                return
            for disk in machine.disks:
                check_written(disk.location)
            give_keys(self._connection(), machine.disks)
            domain = self._define(machine)
            with _errors(f"cannot start {machine.id}", unless=ALREADY):
                domain.create()
                return
            if not domain.isActive():
                raise DriverError(f"cannot start {machine.id}: another operation on it is under way")

    def ensure_devices(self, machine: Machine) -> bool:
        """Raise Refused for a definition that is wrong, or that lacks the boot disk or the first card.

        A guest is asked again every few seconds to let go of what it still has. The stored definition follows, though
        the next start would write it anew.
        """
        with _errors(f"cannot change the devices of {machine.id}"):
            domain = self._find(machine.id)
            if domain is None:
                raise DriverError(f"there is no machine {machine.id}")
            if not domain.isActive():
                return True
            known = secrets_of(domain)
            give_keys(self._connection(), machine.disks)
            complete, changed = self._hot_plug.ensure(domain, machine)
            if changed:
                self._define(machine)
            if complete:
                take_keys(self._connection(), known - secrets_of(domain))
        return complete

    def move_disks(self, machine: Machine) -> None:
        """Raise DriverError with libvirt's words when it cannot; then all disks are where they were."""
        with _errors(f"cannot move the disks of {machine.id}"):
            domain = self._find(machine.id)
            if domain is not None and domain.isActive():
                give_keys(self._connection(), machine.disks)
                with self._hot_plug.turn(machine.id):
                    move_disks(domain, machine.disks)

    def resize_disk(self, machine_id: str, disk: AttachedDisk, size_gib: int) -> None:
        with _errors(f"cannot resize disk {disk.disk_id} of {machine_id}"):
            domain = self._find(machine_id)
            if domain is not None and domain.isActive():
                with self._hot_plug.turn(machine_id):
                    resize_disk(domain, disk, size_gib)

    def stop_machine(self, id: str, force: bool = False) -> None:
        with _errors(f"cannot stop {id}", unless=GONE | ALREADY):
            domain = self._find(id)
            if domain is None or not domain.isActive():
                return
            if force:
                domain.destroy()
            else:
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def reboot_machine(self, id: str, force: bool = False) -> None:
        """Press the ACPI power button; libvirt starts the guest again in the same QEMU once it has shut down.

        Libvirt itself keeps why a domain runs: a pause of a moment leaves "unpaused" there, until the restart.
        """
        with _errors(f"cannot reboot {id}", unless=GONE | ALREADY):
            domain = self._find(id)
            if domain is None or not domain.isActive():
                return
            if force:
                domain.reset()
                return
            domain.suspend()
            domain.resume()
            domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)

    def is_rebooting(self, id: str) -> bool:
        with _errors(f"cannot look at {id}", unless=GONE):
            domain = self._find(id)
            if domain is not None:
                unpaused = [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED]
                return bool(domain.state() == unpaused)
        return False

    def remove_machine(self, id: str) -> None:
        with _errors(f"cannot remove {id}", unless=GONE):
            domain = self._find(id)
            if domain is not None:
                with _errors(f"cannot stop {id}", unless=GONE | ALREADY):
                    domain.destroy()
                secrets = secrets_of(domain)
                domain.undefineFlags(FORGET_ALL)
                take_keys(self._connection(), secrets)
        self._hot_plug.forget(id)
        console = self._console(id)
        try:
            for path in (console, *console.parent.glob(f"{console.name}.*")):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise DriverError(f"cannot remove the console of {id}: {error}") from error

    def machine_state(self, id: str) -> MachineState | None:
        with _errors(f"cannot look at {id}", unless=GONE):
            domain = self._find(id)
            if domain is not None:
                return "running" if domain.isActive() else "stopped"
        return None

    def list_machines(self) -> dict[str, MachineState]:
        machines: dict[str, MachineState] = {}
        with _errors("cannot list machines"):
            for domain in self._connection().listAllDomains():
                with _errors("cannot list machines", unless=GONE):
                    if self._is_ours(domain):
                        machines[domain.name()] = "running" if domain.isActive() else "stopped"
        return machines

    def console_output(self, id: str, seen: int = -1) -> tuple[int, bytes] | None:
        """Read virtlogd's file and, just after it was rotated, the end of the one before.

        The mark changes with every write. A machine that does not exist has written nothing.
        """
        console = self._console(id)
        try:
            about = console.stat()
            mark = zlib.crc32(f"{about.st_ino} {about.st_size} {about.st_mtime_ns}".encode())
            if mark == seen:
                return None
            tail = _tail(console, CONSOLE_BYTES)
            if len(tail) < CONSOLE_BYTES:
                tail = _tail(console.with_name(f"{console.name}.0"), CONSOLE_BYTES - len(tail)) + tail
        except FileNotFoundError:
            return None if seen == 0 else (0, b"")
        except OSError as error:
            raise DriverError(f"cannot read the console of {id}: {error}") from error
        return mark, tail

    def capacity(self) -> Capacity:
        """Return the host's whole CPUs and memory, as its kernel counts them."""
        with _errors("cannot measure the host"):
            connection = self._connection()
            # Not getInfo's figure: it sums NUMA nodes, which on a guest with a memory balloon are not all of it.
            memory_kib = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]
            return Capacity(vcpus=connection.getInfo()[2], memory_mib=memory_kib // 1024)

    def boot_id(self) -> str:
        """Return the kernel's own id of this boot. A remote one's is not known: it counts as never restarted."""
        local = self._uri.startswith("qemu:///")
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() if local else "remote"

    def watch(self, changed: Callable[[str], None]) -> None:
        """Tell also of every machine after the daemon was away: what happened meanwhile, nobody has said."""
        with self._opening:
            self._watchers.append(changed)
            first = len(self._watchers) == 1
        if first:
            threading.Thread(target=self._deliver, name="libvirt-watch", daemon=True).start()
            self._news.put(None)

    # -- the connection and its events ---------------------------------------

    def _connection(self) -> Any:
        """Return the one connection, which libvirt lets all threads share; open it where it is closed or broken."""
        with self._opening:
            if self._shared is None or not self._shared.isAlive():
                _start_event_loop()
                broken, self._shared = self._shared, None
                if broken is not None:
                    _close(broken)
                    self._on_loss()  # its own callback may not have come yet, and now will not
                connection = libvirt.open(self._uri)
                self._listen(connection)
                self._shared = connection
            return self._shared

    def _listen(self, connection: Any) -> None:
        connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_MISSES)
        connection.registerCloseCallback(self._on_loss, None)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_event, None)
        self._hot_plug.listen(connection)

    def _on_loss(self, *details: object) -> None:
        if self._watchers:
            self._news.put(None)

    def _on_event(self, connection: Any, domain: Any, event: int, detail: int, opaque: object) -> None:
        # This is the event loop's thread: a call to libvirt from here would wait for itself.
        if event in EVENTS and self._watchers:
            self._news.put(domain.name())

    def _deliver(self) -> None:
        """Tell the watchers each piece of news; ``None`` means that the connection was lost (or never made)."""
        while True:
            id = self._news.get()
            names = self._connect_again() if id is None else [id]
            for name in names:
                self._tell(name)

    def _connect_again(self) -> list[str]:
        pause = 0.5
        while True:
            with suppress(DriverError):
                return list(self.list_machines())
            threading.Event().wait(pause)
            pause = min(2 * pause, LONGEST_BACK_OFF)

    def _tell(self, id: str) -> None:
        with suppress(DriverError):  # the close callback has said, or will say, that the connection is lost
            if self.machine_state(id) is None:
                return  # somebody else's domain, or removed meanwhile
        for changed in list(self._watchers):
            try:
                changed(id)
            except Exception:  # a watcher's mistake must not silence the others
                log.exception("watcher failed for machine %s", id)

    # -- one domain ----------------------------------------------------------

    def _define(self, machine: Machine) -> Any:
        definition = domain_xml(machine, self._ways, str(self._console(machine.id)), self._owner)
        return self._connection().defineXML(definition)

    def _find(self, id: str) -> Any:
        """Return our domain of that name, or None; a domain that is not ours counts as absent."""
        with _errors(f"cannot look for {id}", unless=GONE):
            domain = self._connection().lookupByName(id)
            return domain if self._is_ours(domain) else None
        return None

    def _is_ours(self, domain: Any) -> bool:
        with _errors("cannot read a domain's metadata", unless=GONE):
            mark = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
            return owner_of(mark) == self._owner
        return False

    def _console(self, id: str) -> Path:
        if "/" in id or id.startswith("."):
            raise Refused(f"{id!r} cannot be a machine's id")
        return self._consoles / f"{id}.log"


def _close(connection: Any) -> None:
    with suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    with suppress(libvirt.libvirtError):
        connection.close()


def _resume(domain: Any) -> None:
    """Let a guest go on that QEMU paused, as it does when the host's disk is full."""
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_PAUSED and reason in RESUMABLE:
        domain.resume()


@contextmanager
def _errors(what: str, unless: Set[int] = frozenset()) -> Iterator[None]:
    """Turn libvirt's errors into the driver's; those with a code in ``unless`` end the block quietly."""
    try:
        yield
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code in unless:
            return
        raise (Refused if code in NEVER else DriverError)(f"{what}: {error}") from error


def _tail(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - size))
            return stream.read(size)
    except FileNotFoundError:
        return b""


def _takes_direct_io(path: str) -> bool:
    """Say whether QEMU can open the file with O_DIRECT; tmpfs and some network file systems cannot."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except FileNotFoundError:
        return True  # on another host, or missing: then libvirt says so
    except OSError:
        return False
    return True


_event_loop = threading.Lock()
_event_loop_runs = False


def _start_event_loop() -> None:
    """Run libvirt's event loop, one a process, which has to be there before the first connection."""
    global _event_loop_runs
    with _event_loop:
        if _event_loop_runs:
            return
        libvirt.registerErrorHandler(lambda *_: None, None)  # else each error is printed besides being raised
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()
        _event_loop_runs = True


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
