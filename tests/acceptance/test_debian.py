"""A whole Debian with the real cloud-init, built by the command, launched as any image is."""

from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment, eventually
from tests.acceptance.guests import Guest, launch, let_in, make_key, terminate

pytestmark = pytest.mark.acceptance

PATIENCE = 420.0
"""Seconds for systemd and cloud-init on an emulated processor."""
USER_DATA = """#cloud-config
write_files:
  - path: /etc/motd
    content: written by cloud-init
runcmd:
  - [sh, -c, "echo ran > /root/ran"]
"""


def test_cloud_init_makes_of_debian_what_the_launch_asked_for(deployment: Deployment, tmp_path: Path) -> None:
    deployment.groundfog("images", "build", "debian")
    ec2 = deployment.create_account("debian")
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-12"]}])["Images"]
    key = make_key(ec2, "debian", tmp_path)
    let_in(ec2, 22)
    disk = {"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeSize": 5}}
    asked = {"ImageId": image["ImageId"], "UserData": USER_DATA, "BlockDeviceMappings": [disk]}
    guest = launch(ec2, key, InstanceType="g1.big", **asked)
    try:
        eventually(lambda: _finished(guest), "end of cloud-init", PATIENCE, every=2)
        assert guest.ssh("cloud-init status", user="admin") == "status: done"
        assert guest.ssh("cloud-id", user="admin") == "aws"
        assert guest.ssh("cat /etc/motd", user="admin") == "written by cloud-init"
        assert guest.ssh("sudo cat /root/ran", user="admin") == "ran"
        assert guest.ssh("hostname", user="admin") == guest.describe()["PrivateDnsName"].partition(".")[0]
        mebibytes = int(guest.ssh("df --output=size -m / | tail -1", user="admin"))
        assert 4500 < mebibytes < 5 * 1024
    finally:
        terminate(guest)


def _finished(guest: Guest) -> bool:
    told = guest.ec2.get_console_output(InstanceId=guest.id, Latest=True).get("Output", "")
    return "finished at" in told and "Cloud-init v." in told
