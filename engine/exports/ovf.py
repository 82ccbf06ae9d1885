"""The descriptor of a machine in an OVA (DMTF DSP0243, OVF 1.1): processors, memory, disks on one SATA controller."""

from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_PROCESSOR, _MEMORY, _DISK, _SATA = "3", "4", "17", "20"
"""Values of CIM's ResourceType (DSP0004)."""


def descriptor(machine: Mapping[str, Any], disks: Sequence[tuple[str, int, int]]) -> bytes:
    """Return the document: ``machine`` has ``name``, ``vcpus`` and ``memory_mib``.

    Of each disk there are its file's name, the file's length in bytes, and the disk's size in bytes.
    """
    namespaces: Any = {None: OVF, "ovf": OVF, "rasd": _RASD}
    root = etree.Element(f"{{{OVF}}}Envelope", nsmap=namespaces)
    files = _add(root, "References")
    section = _section(root, "DiskSection", "Virtual disks")
    for number, (name, length, size) in enumerate(disks):
        _add(files, "File", id=f"file{number}", href=name, size=str(length))
        _add(
            section, "Disk", diskId=f"disk{number}", fileRef=f"file{number}", capacity=str(size), format=_FORMAT
        )  # fmt: skip
    system = _section(root, "VirtualSystem", "A virtual machine", id=machine["name"])
    _add(system, "Name").text = machine["name"]
    _add(_section(system, "OperatingSystemSection", "The guest", id="1"), "Description").text = "Other"
    hardware = _section(system, "VirtualHardwareSection", "Virtual hardware")
    _item(hardware, 1, _PROCESSOR, "Processors", VirtualQuantity=machine["vcpus"])
    units = {"AllocationUnits": "byte * 2^20", "VirtualQuantity": machine["memory_mib"]}
    _item(hardware, 2, _MEMORY, "Memory", **units)
    _item(hardware, 3, _SATA, "Controller", Address=0, ResourceSubType="AHCI")
    for number in range(len(disks)):
        place = {"AddressOnParent": number, "HostResource": f"ovf:/disk/disk{number}", "Parent": 3}
        _item(hardware, number + 4, _DISK, f"Disk {number}", **place)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _add(parent: Any, name: str, **attributes: str) -> Any:
    return etree.SubElement(parent, f"{{{OVF}}}{name}", {f"{{{OVF}}}{key}": value for key, value in attributes.items()})


def _section(parent: Any, name: str, info: str, **attributes: str) -> Any:
    section = _add(parent, name, **attributes)
    _add(section, "Info").text = info
    return section


def _item(parent: Any, number: int, kind: str, name: str, **more: Any) -> None:
    """Add a piece of hardware; the elements of its kind of sequence come in the order of their names."""
    item = _add(parent, "Item")
    values = {"ElementName": name, "InstanceID": number, "ResourceType": kind, **more}
    for key in sorted(values):
        etree.SubElement(item, f"{{{_RASD}}}{key}").text = str(values[key])
