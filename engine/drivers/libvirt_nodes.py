"""Brings QEMU's block nodes in line with what libvirt knows of them, after its daemon died in the middle of a change.

Libvirt writes down what a disk consists of when QEMU has done it. A daemon that was killed just before that knows
nothing of files that QEMU has open, or takes the disk for one layer less than there is: QEMU then refuses all further
changes, and libvirt may even end the guest when it is started the next time. This asks QEMU itself, which libvirt notes
in its log as "custom-monitor".
"""

import json
import re
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
import libvirt_qemu
from lxml import etree

from engine.drivers.base import CALL_LIMIT, DriverError

SETTLING = "urn:groundfog:settling"
"""The metadata element of a guest that is paused until its disks are where libvirt and the storage think they are."""
OWN_NODE = re.compile(r"libvirt-(\d+)-(?:format|storage)")


class _Layer(NamedTuple):
    """A file of a disk as QEMU has it open: the node that the device writes to, and the one that libvirt knows."""

    device: str
    written: str
    known: str
    known_file: Path


def is_settling(domain: Any) -> bool:
    """Say whether a guest was paused to settle its disks, by a process that did not finish."""
    try:
        return bool(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, SETTLING, libvirt.VIR_DOMAIN_AFFECT_LIVE))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return False
        raise


@contextmanager
def settled(domain: Any, moving: Set[str]) -> Iterator[bool]:
    """Take away what libvirt does not know, and say whether it was in use; the block moves the disks.

    A layer that libvirt does not know is merged into the one below, which it takes for the written one. From then on
    the layer must not be read again once the guest has written more, so the guest is paused until the disks have moved
    from the files in ``moving``. Raise DriverError when that is not possible.
    """
    unknown = _unknown(domain)
    if unknown or is_settling(domain):
        if not {str(layer.known_file) for layer in unknown} <= moving:
            raise DriverError(f"cannot settle {domain.name()}: its disks have to move together")
        _pause(domain)
        _merge_all(domain, unknown)
        remove_strays(domain)
        yield True
        _go_on(domain)
    else:
        remove_strays(domain)
        yield False


def remove_strays(domain: Any) -> None:
    """Close the files that QEMU has open and that neither libvirt knows nor a device uses."""
    nodes = [node["node-name"] for node in _ask(domain, "query-named-block-nodes", flat=True)]
    described: Any = etree.fromstring(domain.XMLDesc())
    known = {f"libvirt-{index}" for index in described.xpath("//devices/disk//@index")}
    for node in sorted(nodes):  # a "-format" goes before the "-storage" below it
        if OWN_NODE.fullmatch(node) and node.rpartition("-")[0] not in known:
            try:
                _ask(domain, "blockdev-del", **{"node-name": node})
            except DriverError:  # it is in use
                continue


def _unknown(domain: Any) -> list[_Layer]:
    """Return the layers to which a running domain's disks are written without libvirt's knowledge."""
    written = {
        block["qdev"].split("/")[3]: block["inserted"]["node-name"]
        for block in _ask(domain, "query-block")
        if block.get("inserted") and block.get("qdev", "").startswith("/machine/peripheral/")
    }
    disks: Any = etree.fromstring(domain.XMLDesc()).iterfind("devices/disk")
    layers = [
        _Layer(alias, written[alias], f"libvirt-{source.get('index')}-format", Path(source.get("file")))
        for disk in disks
        if (alias := disk.find("alias").get("name")) in written
        and (source := disk.find("source")) is not None
        and source.get("file")
    ]
    return [layer for layer in layers if layer.written != layer.known]


def _pause(domain: Any) -> None:
    """Pause the guest and note that it was done here, in the order in which a crash leaves it running or noted."""
    mark = etree.tostring(etree.Element(f"{{{SETTLING}}}disks"), encoding="unicode")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, "settling", SETTLING, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
        domain.suspend()


def _go_on(domain: Any) -> None:
    domain.resume()
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, None, SETTLING, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _merge_all(domain: Any, layers: list[_Layer]) -> None:
    try:
        for layer in layers:
            _merge(domain, layer)
    except DriverError:
        if _unknown(domain) == layers:  # nothing has changed: the guest may as well go on
            _go_on(domain)
        raise


def _merge(domain: Any, layer: _Layer) -> None:
    """Write what is in the written layer into the one that libvirt knows, and have the device use that again."""
    mode = layer.known_file.stat().st_mode
    layer.known_file.chmod(mode | 0o200)  # it was frozen
    job = f"settle-{layer.device}"
    try:
        if job not in _jobs(domain):
            _ask(domain, "block-commit", **{"job-id": job, "device": layer.written, "base-node": layer.known})
        deadline = time.monotonic() + CALL_LIMIT / 2
        while (status := _jobs(domain).get(job)) is not None:
            if status == "ready":
                _ask(domain, "block-job-complete", device=job)
            if time.monotonic() > deadline:
                raise DriverError(f"cannot settle {layer.device} of {domain.name()}: it takes too long")
            time.sleep(0.01)
    finally:
        layer.known_file.chmod(mode)


def _jobs(domain: Any) -> dict[str, str]:
    return {job["device"]: job["status"] for job in _ask(domain, "query-block-jobs")}


def _ask(domain: Any, command: str, **arguments: Any) -> Any:
    """Give QEMU a command of its own protocol; raise DriverError when it refuses."""
    question = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, question, 0))
    if "error" in answer:
        raise DriverError(f"QEMU refuses {command} for {domain.name()}: {answer['error'].get('desc')}")
    return answer["return"]
