"""Terraform with its unmodified AWS provider: apply, an empty plan, a change, an empty plan, destroy."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment
from tests.acceptance.guests import demo_image

pytestmark = pytest.mark.acceptance

STACK = """
provider "aws" {}

variable "name" { default = "one" }
variable "ports" {
  type    = list(number)
  default = [22]
}

data "aws_ami" "demo" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["groundfog-*"]
  }
}

resource "aws_key_pair" "key" {
  key_name   = "terraform"
  public_key = file("${path.module}/key.pub")
}

resource "aws_security_group" "web" {
  name        = "terraform-web"
  description = "what may come in"
  dynamic "ingress" {
    for_each = var.ports
    content {
      from_port   = ingress.value
      to_port     = ingress.value
      protocol    = "tcp"
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_instance" "web" {
  ami                    = data.aws_ami.demo.id
  instance_type          = "g1.tiny"
  key_name               = aws_key_pair.key.key_name
  vpc_security_group_ids = [aws_security_group.web.id]
  user_data              = "#!/bin/sh\\necho hello"
  metadata_options {
    http_tokens = "required"
  }
  root_block_device {
    volume_size = 2
  }
  tags = { Name = var.name }
}

output "id" { value = aws_instance.web.id }
"""


def provider_mirror() -> Path | None:
    """Return the directory of a file system mirror that holds the AWS provider."""
    named = os.environ.get("TF_PROVIDER_MIRROR")
    if named:
        return Path(named)
    for place in ("/opt", "/usr/share", "/usr/local/share", "/root", "/home"):
        for found in Path(place).glob("**/hashicorp/aws/*/linux_amd64/terraform-provider-aws*"):
            return found.parents[5]
    return None


class Terraform:
    """The command in a directory of its own, pointed at a deployment."""

    def __init__(self, directory: Path, environment: dict[str, str], mirror: Path) -> None:
        self._directory = directory
        rc = directory / "terraformrc"
        rc.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
        self._environment = {
            **environment,
            "TF_CLI_CONFIG_FILE": str(rc),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def __call__(self, *words: str, expect: int = 0) -> str:
        done = subprocess.run(
            ["terraform", *words], cwd=self._directory, env=self._environment, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"terraform {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def apply(self, *variables: str) -> None:
        self("apply", "-auto-approve", "-input=false", "-no-color", *variables)

    def assert_nothing_to_do(self, *variables: str) -> None:
        self("plan", "-detailed-exitcode", "-input=false", "-no-color", *variables)


@pytest.fixture
def terraform(deployment: Deployment, tmp_path: Path) -> Iterator[Terraform]:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    mirror = provider_mirror()
    if mirror is None:
        pytest.skip("there is no mirror of the AWS provider: name one in TF_PROVIDER_MIRROR")
    (tmp_path / "main.tf").write_text(STACK)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    command = Terraform(tmp_path, deployment.environment, mirror)
    command("init", "-no-color", "-input=false")
    yield command
    command("destroy", "-auto-approve", "-no-color")


def test_a_stack_is_applied_changed_and_destroyed(deployment: Deployment, terraform: Terraform) -> None:
    ec2 = deployment.ec2
    assert demo_image(ec2)
    terraform.apply()
    terraform.assert_nothing_to_do()
    changed = ("-var", "name=two", "-var", "ports=[22,80]")
    terraform.apply(*changed)
    terraform.assert_nothing_to_do(*changed)
    id = terraform("output", "-raw", "id").strip()
    (reservation,) = ec2.describe_instances(InstanceIds=[id])["Reservations"]
    instance = reservation["Instances"][0]
    assert instance["Tags"] == [{"Key": "Name", "Value": "two"}]
    terraform("destroy", "-auto-approve", "-no-color")
    assert deployment.left_of([instance]) == []
    assert not ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": ["terraform"]}])["KeyPairs"]
    assert not ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["terraform-web"]}])[
        "SecurityGroups"
    ]
