"""This machine is really prepared: twice without a change; and in namespaces, from nothing and after a power cut."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.host.accelerator import boot_sector, why_not
from engine.host.bridges import EXTERNAL, read_switch
from engine.host.check_machine import MACHINE
from engine.host.check_network import NETWORK
from engine.host.data_directory import ensure_data_directory
from engine.host.doctor import examine
from engine.host.packages import missing_packages
from engine.host.prepare import prepare
from settings import Settings

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(os.geteuid() != 0, reason="bridges and daemons need root"),
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="neither Debian nor Ubuntu"),
]


@pytest.fixture
def settings() -> Iterator[Settings]:
    # Not pytest's own directory: all its parents are closed.
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="groundfog-test-") as name:
        yield Settings(data=Path(name) / "data", ipv6_pool="fd6f:6702::/32")


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def world() -> dict[str, Any]:
    """What a second preparation must leave alone. Rules carry handles, which are new each time the table is."""
    switch = read_switch()
    links = json.loads(said("ip", "-json", "address", "show", "dev", EXTERNAL))
    return {
        "host": switch.host,
        "bridges": {name: switch.bridges[name] for name in ("br-int", "br-phys", "br-ext")},
        "address": [link["address"] for link in links] + [a["local"] for link in links for a in link["addr_info"]],
        "rules": [said("nft", "--stateless", "list", "table", family, "groundfog") for family in ("ip", "ip6")],
        "way to guests": said("ip", "-6", "route", "show", "dev", EXTERNAL),
        "pids": {file.name: file.read_text() for file in Path("/run/ovn").glob("*.pid")},
        "kvm": [Path("/dev/kvm").exists() and Path("/dev/kvm").stat().st_mode],
    }


def test_the_second_preparation_says_and_changes_nothing_within_two_seconds(settings: Settings) -> None:
    prepare(settings, lambda _: None)
    before = world()
    lines: list[str] = []
    took = []
    for _ in range(3):  # the quickest: others use the processors, too
        began = time.monotonic()
        prepare(settings, lines.append)
        took.append(time.monotonic() - began)
    assert min(took) < 2
    assert lines == []
    assert world() == before
    assert {"198.18.0.1", "fd00:c612::1"} <= set(before["address"])
    assert all("masquerade" in rules for rules in before["rules"])


def test_the_doctor_finds_nothing_wrong_on_a_prepared_host(settings: Settings) -> None:
    prepare(settings, lambda _: None)
    assert [found for found in (examine(one, settings) for one in (*MACHINE, *NETWORK)) if found.ok is False] == []


def test_the_probe_guest_runs_in_software_so_its_silence_means_the_accelerator() -> None:
    assert why_not("tcg", limit=20) == ""


def test_a_guest_reads_its_disk_in_a_data_directory_under_a_closed_parent(settings: Settings) -> None:
    settings.data.parent.chmod(0o700)
    lines: list[str] = []
    ensure_data_directory(settings, lines.append)
    assert len(lines) == 1 and str(settings.data.parent) in lines[0]
    base, disk = settings.data / "images" / "base.img", settings.data / "disks" / "d.qcow2"
    base.write_bytes(boot_sector().ljust(1 << 20, b"\0"))
    said("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(disk))
    for file in (base, disk):
        file.chmod(0o600)
    name = settings.data.parent.name
    domain = f"""<domain type="qemu"><name>{name}</name><memory unit="MiB">32</memory>
        <os><type arch="x86_64" machine="q35">hvm</type></os><devices>
        <disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="{disk}"/>
        <target dev="vda" bus="virtio"/></disk>
        <serial type="file"><source path="{settings.data}/console/c.log"/></serial></devices></domain>"""
    file = settings.data / "run" / "domain.xml"
    file.write_text(domain)
    said("virsh", "--connect", settings.libvirt_uri, "create", str(file))
    said("virsh", "--connect", settings.libvirt_uri, "destroy", name)
    lines.clear()
    ensure_data_directory(settings, lines.append)
    assert lines == []


LISTEN = """
import socket
listener = socket.create_server(("203.0.113.2", 80))
print("listening", flush=True)
client, address = listener.accept()
client.sendall(b"x" * 300_000)
print(address[0], flush=True)
"""
FETCH = """
import socket
size, server = 0, socket.create_connection(("203.0.113.2", 80), 5)
while data := server.recv(65536):
    size += len(data)
print(size)
"""


@pytest.fixture
def spaces() -> Iterator[tuple[str, str]]:
    """Two namespaces: a neighbour in the external network, and a stranger beyond this host."""
    inside, outside = (f"gft{os.getpid() % 100000}{side}" for side in "io")
    for name, address in ((inside, "198.18.0.77/16"), (outside, "203.0.113.2/30")):
        said("ip", "netns", "add", name)
        said("ip", "link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name)
        said("ip", "link", "set", f"{name}0", "up")
        said("ip", "-n", name, "link", "set", "eth0", "up")
        said("ip", "-n", name, "address", "add", address, "dev", "eth0")
        for where in ([], ["ip", "netns", "exec", name]):
            said(*where, "ethtool", "-K", "eth0" if where else f"{name}0", "tx", "off")
    yield inside, outside
    said("ovs-vsctl", "--if-exists", "del-port", EXTERNAL, f"{inside}0")
    for name in (inside, outside):
        said("ip", "netns", "delete", name)


def test_what_goes_out_is_masqueraded_and_the_answer_comes_back(settings: Settings, spaces: tuple[str, str]) -> None:
    prepare(settings, lambda _: None)
    inside, outside = spaces
    said("ip", "address", "add", "203.0.113.1/30", "dev", f"{outside}0")
    said("ip", "-n", inside, "route", "add", "default", "via", str(settings.external_gateway))
    said("ovs-vsctl", "add-port", EXTERNAL, f"{inside}0")
    listen = ["ip", "netns", "exec", outside, "timeout", "15", sys.executable, "-c", LISTEN]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "listening\n"
        assert said("ip", "netns", "exec", inside, sys.executable, "-c", FETCH).strip() == "300000"
        assert server.stdout.readline().strip() == "203.0.113.1"


# Runs as PID 1 of namespaces of its own: this machine's daemons, switch and guests are not touched.
ALONE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

for folder in sys.argv[2].split(":"):
    if Path(folder).is_dir():
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)

from engine.host import daemons
from engine.host.prepare import prepare
from settings import Settings

def prepared():
    lines = []
    prepare(Settings(data=Path(sys.argv[1]), accelerator="tcg"), lines.append)
    return [line for line in lines if line.startswith("starting ")]

def others():
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and int(p.name) != os.getpid()]

found = {"cold": prepared(), "again": prepared()}
for pid in others():
    os.kill(pid, signal.SIGKILL)
while any(daemons.is_alive(one) for one in daemons.daemons()):
    time.sleep(0.01)
found |= {"after a power cut": prepared(), "and again": prepared()}
northd = next(one for one in daemons.daemons() if str(one) == "ovn-northd")
os.kill(daemons.process_of(northd), signal.SIGTERM)
while daemons.is_alive(northd):
    time.sleep(0.01)
found["one missing"] = prepared()
Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
found["without IPv6"] = prepared()
daemons.stop_daemons(lambda _: None)
found["alive after stop"] = [str(one) for one in daemons.daemons() if daemons.is_alive(one)]
print(json.dumps(found))
"""
HIDDEN = "/run:/etc/openvswitch:/etc/libvirt:/etc/ovn:/var/lib/openvswitch:/var/lib/ovn:/var/lib/libvirt"
HIDDEN += ":/var/log/openvswitch:/var/log/ovn"


def test_daemons_start_from_nothing_and_after_a_power_cut_and_alone(settings: Settings) -> None:
    if missing_packages():
        pytest.skip("packages are missing, and a namespace has no network to fetch them")
    alone = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine makes no namespaces")
    found = json.loads(said(*alone, sys.executable, "-c", ALONE, str(settings.data), HIDDEN))
    assert len(found["cold"]) == 8
    assert sorted(found["after a power cut"]) == sorted(found["cold"])
    assert found["again"] == found["and again"] == found["alive after stop"] == []
    assert found["one missing"] == ["starting ovn-northd"]
    assert found["without IPv6"] == []
