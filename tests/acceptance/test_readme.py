"""The README's first walk-through, its commands word for word, in a shell on this host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.deployment import PATIENCE, REPOSITORY, Deployment

pytestmark = pytest.mark.acceptance

TITLE = "First walk-through"


def walk_through() -> str:
    """Return the shell blocks of the README's section, one after the other."""
    section = (REPOSITORY / "README.md").read_text().partition(f"\n## {TITLE}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


@pytest.fixture
def directory(deployment: Deployment, tmp_path: Path) -> Path:
    """What the README's reader is in: .groundfog/env is there, here of an account that no other test has used."""
    (tmp_path / ".groundfog").mkdir()
    (tmp_path / ".groundfog" / "env").write_text(deployment.groundfog("users", "create", "reader"))
    return tmp_path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell that knows nothing of AWS yet, with the aws CLI that is installed beside this Python."""
    aws = Path(sys.executable).with_name("aws")
    if not aws.exists():
        pytest.skip("the aws CLI is not installed beside this Python: pip install awscli")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "aws").write_text(f'#!/bin/sh\nexec {sys.executable} {aws} "$@"\n')
    (programs / "aws").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GROUNDFOG_"))}
    return {**kept, "HOME": str(tmp_path), "PATH": f"{programs}:{kept['PATH']}"}


def test_the_first_walk_through_goes_from_a_key_pair_to_a_shell_and_back(
    deployment: Deployment, directory: Path, environment: dict[str, str]
) -> None:
    script = directory / "walk-through"
    script.write_text(walk_through())
    # A session of its own has no terminal, where ssh could ask for a password that nobody types.
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", str(script)], cwd=directory, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=3 * PATIENCE, start_new_session=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^Linux \S+ ", done.stdout, re.MULTILINE), "uname -a of the guest"
    assert not list(directory.glob("first*")), "key and host keys are gone"
    (id,) = set(re.findall(r"\bi-[0-9a-f]{17}\b", done.stdout))
    assert id not in "".join(
        deployment.left_of([{"InstanceId": id, "NetworkInterfaces": [], "BlockDeviceMappings": []}])
    )
