"""The demo image, booted by QEMU alone: what a guest made from it does on its first and on later boots."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.images.demo import build_demo
from tests.acceptance.deployment import free_port

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"),
]

INSTANCE = "i-0123456789abcdef0"
NAME = "ip-10-0-0-5.ec2.internal"
USER_DATA = "#!/bin/bash\necho greetings from user data\ndate >> /root/ran\n"

# QEMU runs this for every connection to 169.254.169.254:80, with the connection as standard input and output.
METADATA_SERVICE = """
import json, sys
method, path, _ = sys.stdin.readline().split()
headers = [line.strip().lower() for line in iter(sys.stdin.readline, "\\r\\n")]
body = "TOKEN" if method == "PUT" else json.load(open(sys.argv[1])).get(path.removeprefix("/latest/"))
if method == "GET" and "x-aws-ec2-metadata-token: token" not in headers:
    status, body = "401 Unauthorized", None
else:
    status = "404 Not Found" if body is None else "200 OK"
sys.stdout.write(f"HTTP/1.0 {status}\\r\\nContent-Length: {len(body or '')}\\r\\n\\r\\n{body or ''}")
"""


@dataclass
class Guest:
    """A disk, and the ways to the machine that runs from it."""

    directory: Path
    disk: Path
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def boot(self) -> None:
        self.port = free_port()
        service = f"{sys.executable} -I -S {self.directory / 'metadata.py'} {self.directory / 'metadata.json'}"
        # Metadata's address must lie within the emulated network, so that network is all of 169.254.
        network = ("user,id=net,net=169.254.0.0/16,dhcpstart=169.254.0.15,host=169.254.0.2,dns=169.254.0.3,"
                   f"hostfwd=tcp:127.0.0.1:{self.port}-:22,guestfwd=tcp:169.254.169.254:80-cmd:{service}")  # fmt: skip
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "128", "-display", "none",
             "-drive", f"if=virtio,format=qcow2,file={self.disk}", "-netdev", network,
             "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "pcie-root-port,id=spare,slot=1",
             "-serial", f"file:{self.directory / 'console'}",
             "-qmp", f"unix:{self.directory / 'qmp'},server=on,wait=off"],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_until(self._greets, "an SSH banner")

    def ssh(self, command: str, user: str = "root") -> str:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
        words = ["ssh", "-F", "none", "-i", str(self.directory / "key"), "-p", str(self.port)]
        words += [word for option in options for word in ("-o", option)]
        done = subprocess.run([*words, f"{user}@127.0.0.1", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def console(self) -> str:
        return (self.directory / "console").read_text(errors="replace")

    def wait_for_console(self, text: str) -> None:
        _wait_until(lambda: text in self.console(), f"{text!r} on the console")

    def press_power_button(self) -> None:
        self.monitor("system_powerdown")

    def monitor(self, command: str, **arguments: object) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.directory / "qmp"))
            replies = connection.makefile("r")
            replies.readline()
            for order in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                connection.sendall(json.dumps(order).encode())
                reply = next(line for line in replies if "return" in line or "error" in line)
                assert "error" not in reply, reply

    def wait_until_off(self) -> None:
        assert self.process is not None
        assert self.process.wait(timeout=30) == 0

    def _greets(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            return connection.recv(4) == b"SSH-"
        return False


@pytest.fixture(scope="session")
def demo_image(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Always built anew; only the packages it is made of stay from run to run."""
    assert pytestconfig.cache is not None
    image = tmp_path_factory.mktemp("demo-image") / "demo.qcow2"
    build_demo(image, pytestconfig.cache.mkdir("images"), print)
    return image


@pytest.fixture(scope="module")
def guest(demo_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest on its first boot, on a thin clone that is twice as large as the image."""
    directory = tmp_path_factory.mktemp("guest")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "key"], check=True)
    answers = {
        "meta-data/instance-id": INSTANCE,
        "meta-data/local-hostname": NAME,
        "meta-data/public-keys/0/openssh-key": (directory / "key.pub").read_text(),
        "user-data": USER_DATA,
    }
    (directory / "metadata.json").write_text(json.dumps(answers))
    (directory / "metadata.py").write_text(METADATA_SERVICE)
    clone = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", demo_image, directory / "disk", "2G"]
    subprocess.run(clone, check=True)
    guest = Guest(directory, directory / "disk")
    try:
        guest.boot()
        yield guest
    finally:
        if guest.process and guest.process.poll() is None:
            guest.process.kill()
            guest.process.wait()


def test_both_users_log_in_with_the_key_of_the_instance_and_can_be_root(guest: Guest) -> None:
    assert guest.ssh("hostname; id -un").split() == [NAME, "root"]
    assert guest.ssh("id -un; sudo -n id -un", user="ec2-user").split() == ["ec2-user", "root"]


def test_the_root_file_system_fills_a_larger_disk(guest: Guest) -> None:
    assert int(guest.ssh("df -m / | tail -1 | awk '{print $2}'")) > 1800


def test_the_console_shows_the_boot_the_user_data_and_the_host_key(guest: Guest) -> None:
    guest.wait_for_console("demo-init: finished")
    shown = guest.console()
    assert "Linux version" in shown
    assert "greetings from user data" in shown
    fingerprints = shown.split("-----BEGIN SSH HOST KEY FINGERPRINTS-----")[1]
    assert "SHA256:" in fingerprints.split("-----END SSH HOST KEY FINGERPRINTS-----")[0]
    assert f"groundfog demo {NAME} login:" in shown


def test_a_disk_that_is_plugged_in_appears_with_its_serial_number_and_takes_a_file_system(guest: Guest) -> None:
    guest.monitor("blockdev-add", driver="null-co", **{"node-name": "data", "size": 64 << 20, "read-zeroes": True})
    guest.monitor("device_add", driver="virtio-blk-pci", id="data", drive="data", serial="vol-1", bus="spare")
    _wait_until(lambda: guest.ssh("cat /sys/block/vdb/serial || true") == "vol-1", "a second disk")
    assert guest.ssh("mkfs.ext4 -q /dev/vdb && echo made") == "made"


def test_the_power_button_ends_it_and_the_next_boot_finds_its_files_but_runs_no_user_data_again(guest: Guest) -> None:
    guest.wait_for_console("demo-init: finished")
    guest.ssh("echo kept > /home/ec2-user/file")
    host_key = guest.ssh("cat /etc/dropbear/ed25519 | sha256sum")
    guest.press_power_button()
    guest.wait_until_off()
    guest.boot()
    guest.wait_for_console("demo-init: finished")
    assert guest.ssh("cat /home/ec2-user/file") == "kept"
    assert guest.ssh("wc -l < /root/ran") == "1"
    assert guest.ssh("cat /etc/dropbear/ed25519 | sha256sum") == host_key


def test_powering_off_from_within_ends_it(guest: Guest) -> None:
    guest.ssh("sudo poweroff", user="ec2-user")
    guest.wait_until_off()


def _wait_until(holds: Callable[[], bool], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"there is still no {what}"
        time.sleep(0.1)
