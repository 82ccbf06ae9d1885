"""What a machine's domain XML says; no daemon is needed to read it."""

from dataclasses import replace
from typing import Literal

import pytest
from lxml import etree

from engine.drivers.base import AttachedDisk, Cluster, Location, Machine, Nic, Portal, Refused, port_uuid
from engine.drivers.libvirt_xml import (
    SPARE_ROOT_PORTS,
    Accelerator,
    Datapath,
    HostWays,
    domain_xml,
    moves_xml,
    secret_uuid,
)

UUID = "ec2b1e29-90cb-4b2e-8a4d-33d2f3b2c001"
MACHINE = Machine(
    "i-1",
    UUID,
    2,
    512,
    (AttachedDisk("vol-1", "vda", Location("file", "/disks/vol-1.qcow2"), "vol1", boot=True),),
    (Nic("eni-1", "02:00:00:00:00:01", 1442),),
    {"manufacturer": "Amazon EC2", "product": "t3.nano", "serial": UUID, "uuid": UUID, "asset": "i-1"},
)


def domain(
    machine: Machine = MACHINE, accelerator: Accelerator = "tcg", datapath: Datapath = "netdev", direct: bool = True
) -> etree._Element:
    return etree.fromstring(domain_xml(machine, HostWays(accelerator, datapath, lambda path: direct), "/log/i-1.log"))


def only(element: etree._Element, path: str) -> etree._Element:
    (found,) = element.findall(path)
    return found


def test_the_guest_sees_ec2s_identity() -> None:
    entries = {entry.get("name"): entry.text for entry in domain().findall("sysinfo/system/entry")}
    assert entries["manufacturer"] == "Amazon EC2"
    assert entries["uuid"] == only(domain(), "uuid").text == UUID
    assert only(domain(), "sysinfo/baseBoard/entry[@name='asset']").text == "i-1"
    assert only(domain(), "os/smbios").get("mode") == "sysinfo"


def test_uefi_starts_what_nobody_has_signed() -> None:
    assert only(domain(), "os").get("firmware") is None
    features = only(domain(replace(MACHINE, firmware="uefi")), "os[@firmware='efi']/firmware").findall("feature")
    assert {feature.get("name"): feature.get("enabled") for feature in features} == {
        "enrolled-keys": "no", "secure-boot": "no",
    }  # fmt: skip


def test_memory_is_exactly_the_guests() -> None:
    assert (only(domain(), "memory").text, only(domain(), "memory").get("unit")) == ("512", "MiB")


@pytest.mark.parametrize(
    ("accelerator", "type", "mode"), [("kvm", "kvm", "host-passthrough"), ("tcg", "qemu", "maximum")]
)
def test_the_cpu_is_the_hosts_or_all_that_tcg_can(accelerator: Accelerator, type: str, mode: str) -> None:
    found = domain(accelerator=accelerator)
    assert found.get("type") == type
    assert only(found, "cpu").get("mode") == mode


def test_a_card_is_plugged_by_its_ports_uuid() -> None:
    assert only(domain(), ".//virtualport/parameters").get("interfaceid") == port_uuid("eni-1")
    assert only(domain(), ".//interface/mtu").get("size") == "1442"


def test_a_card_has_a_name_that_libvirt_gives_once() -> None:
    assert only(domain(), ".//interface/alias").get("name") == "ua-02-00-00-00-00-01"


def test_offloads_are_off_only_on_the_userspace_datapath() -> None:
    assert set(only(domain(datapath="netdev"), ".//interface/driver/host").attrib.values()) == {"off"}
    assert domain(datapath="system").findall(".//interface/driver") == []


@pytest.mark.parametrize(("direct", "cache", "io"), [(True, "none", "native"), (False, "writeback", "threads")])
def test_the_hosts_cache_is_avoided_where_the_file_system_lets_it(direct: bool, cache: str, io: str) -> None:
    driver = only(domain(direct=direct), ".//disk/driver")
    assert (driver.get("cache"), driver.get("io")) == (cache, io)


def test_there_is_room_to_attach_more() -> None:
    ports = domain().findall(".//controller[@model='pcie-root-port']")
    assert len(ports) == SPARE_ROOT_PORTS + 3


def test_a_disk_is_bounded_only_as_far_as_it_is_said() -> None:
    assert domain().findall(".//iotune") == []
    bounded = replace(MACHINE.disks[0], iops=3000)
    (tune,) = domain(replace(MACHINE, disks=(bounded,))).findall(".//disk/iotune")
    assert [(each.tag, each.text) for each in tune] == [("total_iops_sec", "3000")]
    bounded = replace(bounded, bytes_per_second=2**20)
    (tune,) = domain(replace(MACHINE, disks=(bounded,))).findall(".//disk/iotune")
    assert {each.tag: each.text for each in tune} == {"total_iops_sec": "3000", "total_bytes_sec": "1048576"}


def test_disks_that_do_not_move_are_said_to_stay() -> None:
    moves = {"vdb": AttachedDisk("vol-2", "vdb", Location("file", "/disks/vol-2/1.qcow2"), "vol2")}
    disks = etree.fromstring(moves_xml(moves, ["vda", "vdb"])).findall("disks/disk")
    assert [(disk.get("name"), disk.get("snapshot")) for disk in disks] == [("vda", "no"), ("vdb", "external")]
    assert only(disks[1], "source").get("file") == "/disks/vol-2/1.qcow2"
    assert only(disks[1], "driver").get("type") == "qcow2"


@pytest.mark.parametrize("protocol", ["rbd", "iscsi"])
def test_a_disk_that_is_no_file_does_not_move(protocol: Literal["rbd", "iscsi"]) -> None:
    with pytest.raises(Refused, match=f"{protocol} disks stay"):
        moves_xml({"vda": AttachedDisk("vol-1", "vda", Location(protocol, "pool/vol-1"), "vol1")}, ["vda"])


def test_an_encrypted_disk_names_its_secret_for_each_of_its_files_and_never_holds_its_key() -> None:
    where = Location("file", "/disks/vol-1.qcow2", below=("/sources/b.qcow2", "/sources/a.qcow2"))
    disk = replace(MACHINE.disks[0], location=where, key="the key itself")
    found = domain(replace(MACHINE, disks=(disk,)))
    assert [each.get("file") for each in found.iterfind(".//disk//source")] == [where.name, *where.below]
    secrets = found.findall(".//source/encryption[@format='luks']/secret[@type='passphrase']")
    assert [each.get("uuid") for each in secrets] == [secret_uuid(disk)] * 3
    assert len(found.findall(".//backingStore/backingStore/backingStore")) == 1
    moved = moves_xml({"vda": disk}, ["vda"])
    assert secret_uuid(disk) in moved
    assert not any("the key itself" in text for text in (etree.tostring(found).decode(), moved, repr(disk)))


CLUSTER = Cluster((("192.0.2.1", 6789), ("2001:db8::1", 3300)), "guests", "0f1d2f6c-7d2b-5b4e-9c57-1f1f4dc2a001")


def test_a_disk_in_a_cluster_is_reached_by_its_monitors_with_a_secret_of_libvirts() -> None:
    where = Location("rbd", "pool/vol-1", "raw", cluster=CLUSTER)
    found = domain(replace(MACHINE, disks=(replace(MACHINE.disks[0], location=where),)), direct=False)
    disk = only(found, "devices/disk")
    assert disk.get("type") == "network"
    assert dict(only(disk, "source").attrib) == {"protocol": "rbd", "name": "pool/vol-1"}
    hosts = [(host.get("name"), host.get("port")) for host in disk.findall("source/host")]
    assert hosts == [("192.0.2.1", "6789"), ("2001:db8::1", "3300")]
    assert only(disk, "source/auth").get("username") == "guests"
    assert dict(only(disk, "source/auth/secret").attrib) == {"type": "ceph", "uuid": CLUSTER.secret}
    assert dict(only(disk, "driver").attrib) == {
        "name": "qemu", "type": "raw", "cache": "writeback", "discard": "unmap"
    }  # fmt: skip


def test_a_disk_in_a_cluster_that_nobody_names_is_refused() -> None:
    disk = replace(MACHINE.disks[0], location=Location("rbd", "pool/vol-1", "raw"))
    with pytest.raises(Refused, match="cluster"):
        domain(replace(MACHINE, disks=(disk,)))


def test_an_iscsi_disk_is_reached_by_its_portal_with_a_password_that_libvirt_has() -> None:
    where = Location("iscsi", "iqn.2024-01.org.example:vol-1/1", "raw", portal=Portal("192.0.2.7", 3261, "me", UUID))
    disk = only(domain(replace(MACHINE, disks=(replace(MACHINE.disks[0], location=where),))), "devices/disk")
    assert disk.get("type") == "network"
    assert dict(only(disk, "source").attrib) == {"protocol": "iscsi", "name": where.name}
    assert dict(only(disk, "source/host").attrib) == {"name": "192.0.2.7", "port": "3261"}
    assert only(disk, "source/auth").get("username") == "me"
    assert dict(only(disk, "source/auth/secret").attrib) == {"type": "iscsi", "uuid": UUID}
    assert dict(only(disk, "driver").attrib) == {"name": "qemu", "type": "raw", "cache": "none", "discard": "unmap"}


def test_an_iscsi_target_that_asks_nothing_is_told_nothing_and_one_without_a_portal_is_refused() -> None:
    where = Location("iscsi", "iqn.2024-01.org.example:vol-1/1", "raw", portal=Portal("192.0.2.7"))
    disk = replace(MACHINE.disks[0], location=where)
    assert not domain(replace(MACHINE, disks=(disk,))).findall("devices/disk/source/auth")
    with pytest.raises(Refused, match="target"):
        domain(replace(MACHINE, disks=(replace(disk, location=replace(where, portal=None)),)))


def test_a_disk_that_this_host_cannot_reach_is_refused() -> None:
    disk = AttachedDisk("vol-1", "vda", Location("volume", "vol-1"), "vol1")
    with pytest.raises(Refused, match="volume"):
        domain(Machine("i-1", UUID, 1, 32, (disk,), ()))
