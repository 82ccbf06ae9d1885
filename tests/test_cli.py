"""The command ``groundfog``, run as its users run it: real processes, with the simulated engine."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from typer.testing import CliRunner

from cli import app
from cli.down import stop_guests
from cli.terminal import Failure, sentence
from engine import fleet, supervisor
from engine.deployment import open_deployment
from engine.drivers.simulated import Simulated
from engine.host.commands import HostError
from engine.state import Host
from settings import Settings
from tests.cloud import IMAGE
from tests.postgres import new_database

Found = TypeVar("Found")
ROOT = Path(__file__).parent.parent


class Groundfog:
    """A deployment in a directory of its own, on a port that was free."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.database = ""

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run a command; return what it printed, to both its outputs."""
        command = [sys.executable, "-m", "cli", *arguments]
        given = {**clean_environment(), "GROUNDFOG_DATA": str(self.data), "GROUNDFOG_DATABASE": self.database}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.data.parent,
            env={**given, **environment},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, *more: str, code: int = 0) -> str:
        return self("up", "--engine", "simulated", "--port", str(self.port), "--detach", *more, code=code)

    @property
    def settings(self) -> Settings:
        return supervisor.running_settings(self.data) or Settings(data=self.data)

    def process(self, name: str) -> int:
        return next(process.pid for process in supervisor.status(self.settings) if process.name == name)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell has that sourced the file ``env``."""
        lines = [shlex.split(line)[1] for line in (self.data / "env").read_text().splitlines()]
        return dict(line.split("=", 1) for line in lines)

    @property
    def ec2(self) -> Any:
        return client(self.environment)


def client(given: dict[str, str]) -> Any:
    return boto3.client(
        "ec2",
        endpoint_url=given["AWS_ENDPOINT_URL"],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        region_name=given["AWS_DEFAULT_REGION"],
    )


def clean_environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDFOG_", "AWS_"))}
    return {**ours, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(look: Callable[[], Found], seconds: float = 30) -> Found:
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)
    return found


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Groundfog]:
    """A deployment that has not been started yet."""
    deployment = Groundfog(tmp_path / "data")
    yield deployment
    supervisor.stop(deployment.settings)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Groundfog]:
    """A deployment that is up, for the tests that do not mind each other."""
    deployment = Groundfog(tmp_path_factory.mktemp("shared") / "data")
    deployment.up("--allow-reset")
    yield deployment
    supervisor.stop(deployment.settings)


def test_up_is_ready_and_what_it_prints_works(new: Groundfog) -> None:
    told = new.up()
    assert f"Groundfog is up: http://127.0.0.1:{new.port}" in told
    assert IMAGE in told
    assert (new.data / "env").stat().st_mode & 0o777 == 0o600
    assert new.data.stat().st_mode & 0o077 == 0
    [instance] = new.ec2.run_instances(ImageId=IMAGE, InstanceType="t3.nano", MinCount=1, MaxCount=1)["Instances"]
    assert wait_for(lambda: state(new, instance["InstanceId"]) == "running")


def state(groundfog: Groundfog, id: str) -> str:
    [reservation] = groundfog.ec2.describe_instances(InstanceIds=[id])["Reservations"]
    return str(reservation["Instances"][0]["State"]["Name"])


def test_up_again_says_so(shared: Groundfog) -> None:
    assert "Groundfog is up already" in shared.up()


def test_a_killed_api_is_back_in_seconds(new: Groundfog) -> None:
    new.up()
    new.ec2.create_key_pair(KeyName="kept")
    first = new.process("api")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: new.process("api") not in (0, first))
    assert wait_for(lambda: answers(new))
    assert [pair["KeyName"] for pair in new.ec2.describe_key_pairs()["KeyPairs"]] == ["kept"]


def answers(groundfog: Groundfog) -> bool:
    try:
        groundfog.ec2.describe_regions()
    except (BotoCoreError, ClientError):
        return False
    return True


def test_down_leaves_no_process(new: Groundfog) -> None:
    new.up()
    session = new.process("supervisor")
    assert processes_of(session)
    assert "Groundfog is down" in new("down")
    assert processes_of(session) == []
    assert "was not up" in new("down")
    assert "is not up" in new("status", code=1)


def processes_of(session: int) -> list[str]:
    """Return the states of every process in a session (setsid(2)), zombies apart."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end while it is looked at
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()
            found += [fields[0]] if int(fields[3]) == session and fields[0] != "Z" else []
    return found


def test_up_after_down_finds_everything_again(new: Groundfog) -> None:
    new.up()
    vpc = new.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    new("down")
    new.up()
    assert new.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.9.0.0/16"


def test_in_the_foreground_it_runs_until_ctrl_c(new: Groundfog) -> None:
    command = [sys.executable, "-m", "cli", "up", "--engine", "simulated", "--port", str(new.port)]
    environment = {**clean_environment(), "GROUNDFOG_DATA": str(new.data), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert running.stdout
    assert any("Ctrl-C" in line for line in running.stdout)
    assert answers(new)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    assert supervisor.status(new.settings) == []


def test_a_taken_port_is_refused_with_the_way_out(new: Groundfog) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", new.port))
        other.listen()
        told = new.up(code=1)
    assert told.startswith(f"cannot listen on 127.0.0.1:{new.port}: another program does")
    assert f"--port {new.port + 1}" in told


def test_another_deployment_on_the_port_is_named(new: Groundfog, shared: Groundfog) -> None:
    new.port = shared.port
    assert "another Groundfog deployment does" in new.up(code=1)


def test_reset_brings_back_the_seeded_state(shared: Groundfog) -> None:
    shared.ec2.create_key_pair(KeyName="gone")
    assert "is as it was seeded" in shared("reset")
    assert shared.ec2.describe_key_pairs()["KeyPairs"] == []
    assert shared.ec2.describe_images(ImageIds=[IMAGE])["Images"]


def test_reset_is_refused_unless_allowed(new: Groundfog) -> None:
    assert "cannot reset" in new("reset", code=1)
    new.up()
    assert "start a simulated deployment with --allow-reset" in new("reset", code=1)


SEED = {
    "seed.toml": """
        [[accounts]]
        id = "123456789012"
        name = "ci"
        access_key_id = "AKIACI"
        secret_access_key = "secret-of-ci"

        [[regions]]
        name = "eu-north-1"
        zones = ["eu-north-1a"]

        [[images]]
        id = "ami-0123456789abcdef0"
        name = "ubuntu-24.04"
        root_device = "/dev/sda1"
    """,
    "seed.yaml": """
accounts:
  - {id: "123456789012", name: ci, access_key_id: AKIACI, secret_access_key: secret-of-ci}
regions:
  - {name: eu-north-1, zones: [eu-north-1a]}
images:
  - {id: ami-0123456789abcdef0, name: ubuntu-24.04, root_device: /dev/sda1}
""",
}


@pytest.mark.parametrize("name", SEED)
def test_a_seed_file_fills_a_new_deployment(new: Groundfog, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SEED[name])
    new.up("--seed", name)
    assert new.environment["AWS_ACCESS_KEY_ID"] == "AKIACI"
    assert new.environment["AWS_DEFAULT_REGION"] == "eu-north-1"
    [image] = new.ec2.describe_images()["Images"]
    assert (image["ImageId"], image["RootDeviceName"]) == ("ami-0123456789abcdef0", "/dev/sda1")
    assert [zone["ZoneName"] for zone in new.ec2.describe_availability_zones()["AvailabilityZones"]] == ["eu-north-1a"]


def test_a_seed_file_that_is_wrong_is_refused(new: Groundfog, tmp_path: Path) -> None:
    assert "cannot read the seed file" in new.up("--seed", "absent.toml", code=1)
    (tmp_path / "wrong.toml").write_text("[[accounts]]\nid = '1'\nname = 'short'\n")
    assert re.match(r"cannot read the seed file \S+wrong.toml: accounts.0.id: ", new.up("--seed", "wrong.toml", code=1))
    (tmp_path / "wrong.yaml").write_text("accounts: [")
    assert new.up("--seed", "wrong.yaml", code=1).startswith("cannot read the seed file")
    assert supervisor.status(new.settings) == []


def test_all_regions_are_served(new: Groundfog) -> None:
    new.up("--regions", "all")
    assert new.environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert len(new.ec2.describe_regions(AllRegions=True)["Regions"]) > 25


@pytest.mark.skipif("GROUNDFOG_TEST_DATABASE" not in os.environ, reason="needs PostgreSQL: see tests/postgres.py")
def test_a_deployment_on_postgresql(new: Groundfog) -> None:
    new.database = new_database(os.environ["GROUNDFOG_TEST_DATABASE"], f"deployment_{os.getpid()}")
    new.up("--allow-reset")
    [instance] = new.ec2.run_instances(ImageId=IMAGE, InstanceType="t3.nano", MinCount=1, MaxCount=1)["Instances"]
    assert wait_for(lambda: state(new, instance["InstanceId"]) == "running")
    assert "PostgreSQL: 1 region" in new("doctor")
    new("reset")
    assert new.ec2.describe_instances()["Reservations"] == []
    new("down")


def test_status_shows_processes_places_and_instances(shared: Groundfog) -> None:
    told = shared("status")
    assert re.search(r"api\s+running\s+\d+", told)
    assert re.search(r"us-east-1\s+us-east-1a, us-east-1b, us-east-1c", told)
    assert re.search(r"simulated-us-east-1\s+us-east-1\s+\d+ of \d+", told)
    assert "GiB free" in told


def test_status_explains_every_setting(shared: Groundfog) -> None:
    told = shared("status", "--settings", GROUNDFOG_SECRET_KEY="hush")
    for name in Settings.model_fields:
        assert re.search(rf"GROUNDFOG_{name.upper()}\s", told)
    assert "The address the API listens on." in told
    assert "hush" not in told


def test_doctor_finds_a_deployment_well_and_says_what_is_wrong(shared: Groundfog, new: Groundfog) -> None:
    assert "supervisor, api" in shared("doctor")
    told = new("doctor", code=1, GROUNDFOG_ENGINE="simulated")
    assert "Groundfog is not up" in told
    assert "run: groundfog up" in told


def test_a_users_key_works_until_it_is_disabled(shared: Groundfog) -> None:
    created = shared("users", "create", "team")
    key = dict(re.findall(r"export (\w+)=(.+)", created))
    assert client(key).describe_vpcs()["Vpcs"][0]["IsDefault"]
    assert key["AWS_ACCESS_KEY_ID"] in shared("users", "list")
    assert "cannot create team" in shared("users", "create", "team", code=1)
    second = dict(re.findall(r"export (\w+)=(.+)", shared("users", "keys", "team", "--new")))
    assert len(re.findall(r"AKIA\w+ +active", shared("users", "keys", "team"))) == 2
    shared("users", "disable-key", second["AWS_ACCESS_KEY_ID"])
    with pytest.raises(ClientError, match=r"AuthFailure|InvalidClientTokenId"):
        client(second).describe_vpcs()
    assert "cannot find the key AKIANONE" in shared("users", "disable-key", "AKIANONE", code=1)
    assert "cannot find the account nobody" in shared("users", "keys", "nobody", code=1)


def test_images_are_listed_and_removed(new: Groundfog) -> None:
    new.up()
    assert re.search(rf"{IMAGE}\s+us-east-1\s+groundfog-demo", new("images", "list"))
    assert "cannot keep images in a simulated deployment" in new("images", "build", "demo", code=1)
    new("images", "remove", IMAGE)
    assert new.ec2.describe_images()["Images"] == []
    assert f"cannot find the image {IMAGE}" in new("images", "remove", IMAGE, code=1)


def test_capabilities_come_from_the_code(new: Groundfog) -> None:
    told = json.loads(new("capabilities", "--json"))
    run = told["actions"]["RunInstances"]
    assert {"ImageId", "DryRun", "ClientToken"} <= set(run["honoured"])
    assert not set(run["honoured"]) & set(run["refused"])
    assert told["summary"]["implemented"] == len(told["actions"]) > 50
    assert "CreateCarrierGateway" in told["not_implemented"]
    assert re.search(r"ImageId\s+honoured", new("capabilities", "RunInstances"))
    assert "did you mean RunInstances?" in new("capabilities", "runinstances", code=1)
    assert "cannot do CreateCarrierGateway" in new("capabilities", "CreateCarrierGateway", code=1)


def test_commands_that_need_a_deployment_say_so(new: Groundfog) -> None:
    for command in (["users", "list"], ["images", "list"]):
        assert new(*command, code=1).startswith("cannot find a deployment")
    assert "groundfog up" in new("status", code=1)


COMMANDS = ("up", "down", "status", "doctor", "capabilities", "reset", "images build", "users keys")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert f"groundfog {command}" in " ".join(shown.output.split())


def test_guests_are_shut_down_and_their_hosts_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(engine="kvm", data=tmp_path)
    deployment = open_deployment(settings)
    with deployment.database.write() as db:
        db.add(Host(name="host-1", region="us-east-1", vcpus=4, memory_mib=4096, boot_id="before"))
    cloud = Simulated(stop_seconds=0.3)
    monkeypatch.setattr(fleet, "drivers_of", lambda *_: dict.fromkeys(deployment.regions, cloud.drivers()))
    assert stop_guests(settings) == 0
    from engine.drivers.base import Machine, port_uuid

    cloud.computes["host-1"].ensure_machine(Machine("i-1", port_uuid("i-1"), 1, 128, (), ()))
    assert stop_guests(settings) == 1
    assert cloud.computes["host-1"].machine_state("i-1") == "stopped"
    with deployment.database.read() as db:
        assert db.get_one(Host, "host-1").boot_id == ""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Failure("cannot do it; try again"), "cannot do it; try again"),
        (HostError("cannot prepare; be root"), "cannot prepare; be root"),
        (PermissionError(13, "Permission denied", "/root/x"), "cannot open /root/x: you may not"),
        (OSError(28, "No space left on device", "/x"), "cannot go on: No space left on device: /x"),
        (KeyError("x"), "cannot go on: KeyError: 'x'; run it again with --debug"),
    ],
)
def test_every_failure_is_a_sentence(error: Exception, told: str) -> None:
    assert sentence(error).startswith(told)
