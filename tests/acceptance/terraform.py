"""Terraform with its unmodified AWS provider, pointed at a deployment."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STACKS = Path(__file__).parent / "stacks"


def why_not() -> str:
    """Say what is missing to run Terraform; empty when nothing is."""
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    return "" if provider_mirror() else "there is no mirror of the AWS provider: name one in TF_PROVIDER_MIRROR"


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

    def destroy(self) -> None:
        self("destroy", "-auto-approve", "-no-color")

    def assert_nothing_to_do(self, *variables: str) -> None:
        self("plan", "-detailed-exitcode", "-input=false", "-no-color", *variables)

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the attributes of what the state has, by the addresses: ``aws_subnet.public[0]``."""
        shown = json.loads(self("show", "-json"))
        listed = shown["values"]["root_module"]["resources"]
        return {resource["address"]: resource["values"] for resource in listed}

    def ids(self) -> set[str]:
        """Return every id of a thing that the state names, whatever it is an attribute of."""
        return set(re.findall(r"\b[a-z]+(?:-[a-z]+)*-[0-9a-f]{17}\b", self("show", "-json")))


@contextmanager
def terraform(directory: Path, environment: dict[str, str], stack: str) -> Iterator[Terraform]:
    """Yield the command in ``directory`` for a stack of ``stacks/``, initialised; destroy what it made in the end."""
    mirror = provider_mirror()
    assert mirror is not None
    shutil.copytree(STACKS / stack, directory, dirs_exist_ok=True)
    command = Terraform(directory, environment, mirror)
    command("init", "-no-color", "-input=false")
    try:
        yield command
    finally:
        command.destroy()
