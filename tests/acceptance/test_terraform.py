"""Terraform on real guests: apply, an empty plan, a change, an empty plan, destroy."""

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment
from tests.acceptance.guests import demo_image
from tests.acceptance.terraform import terraform, why_not

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(bool(why_not()), reason=why_not())]


def test_a_stack_is_applied_changed_and_destroyed(deployment: Deployment, tmp_path: Path) -> None:
    ec2 = deployment.ec2
    assert demo_image(ec2)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    changed = ("-var", "name=two", "-var", "ports=[22,80]")
    with terraform(tmp_path, deployment.environment, "instance") as run:
        run.apply()
        run.assert_nothing_to_do()
        run.apply(*changed)
        run.assert_nothing_to_do(*changed)
        id = run("output", "-raw", "id").strip()
        (reservation,) = ec2.describe_instances(InstanceIds=[id])["Reservations"]
        instance = reservation["Instances"][0]
        assert instance["Tags"] == [{"Key": "Name", "Value": "two"}]
        assert [card["Attachment"]["Status"] for card in instance["NetworkInterfaces"]] == ["attached", "attached"]
    assert deployment.left_of([instance]) == []
    assert not ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": ["terraform"]}])["KeyPairs"]
    chosen = [{"Name": "group-name", "Values": ["terraform-web"]}]
    assert not ec2.describe_security_groups(Filters=chosen)["SecurityGroups"]
