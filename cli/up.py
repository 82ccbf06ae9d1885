"""``groundfog up``: from nothing to an endpoint that answers."""

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configuration import chosen, endpoint
from cli.health import refuse_taken_port, wait_until_healthy
from cli.terminal import Failure, progress, reason, say

if TYPE_CHECKING:
    from engine.deployment import Deployment
    from settings import Settings

_START_LIMIT = 60.0


def up(
    engine: Annotated[str | None, typer.Option(help="`kvm` (real guests; needs root) or `simulated` (none).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8777")] = None,
    data: Annotated[Path | None, typer.Option(help="Where everything is kept.", show_default=".groundfog")] = None,
    regions: Annotated[str | None, typer.Option(help="Names with commas between; `all` with simulated.")] = None,
    seed: Annotated[Path | None, typer.Option(help="TOML or YAML that fills a new deployment.")] = None,
    allow_reset: Annotated[bool, typer.Option("--allow-reset", help="Let `groundfog reset` undo everything.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it answers.")] = False,
) -> None:
    """Start Groundfog and wait until it answers. Without --detach it runs until Ctrl-C.

    With the engine `kvm` it first makes this machine ready: packages, daemons, bridges, a demo image.
    Doing it again changes nothing.

    Examples:

        sudo groundfog up --detach

        groundfog up --engine simulated --port 5000 --data /tmp/mock --allow-reset --detach

        groundfog up --engine simulated --regions all --seed accounts.toml
    """
    from engine import supervisor

    settings = chosen(engine=engine, host=host, port=port, data=data, regions=regions, seed=seed,
                      allow_reset=allow_reset or None)  # fmt: skip
    if supervisor.supervisor_pid(settings) is not None:
        running = supervisor.running_settings(settings.data) or settings
        wait_until_healthy(running, _START_LIMIT)
        greet(running, "Groundfog is up already")
        return
    pid = _start(settings, detach)
    if pid and not detach:
        _stay(settings, pid)


def _start(settings: "Settings", detach: bool) -> int:
    from engine import supervisor

    refuse_taken_port(settings)
    if settings.seed:
        _check_seed(settings.seed)
    if settings.engine == "kvm":
        _prepare(settings)
    try:
        pid = supervisor.start(settings, detach)
    except supervisor.AlreadyRunning:
        raise Failure("cannot start: another groundfog up is at it in this data directory; try again") from None
    try:
        # What the greeting needs takes a while to import: meanwhile the processes start.
        import engine.deployment  # noqa: F401

        wait_until_healthy(settings, _START_LIMIT)
        if settings.engine == "kvm":
            _ensure_image(settings)
    except BaseException:
        supervisor.stop(settings)
        raise
    # Outside: whoever reads only the first line of this closes the pipe, which is no reason to go down.
    greet(settings, "Groundfog is up")
    return pid


def _check_seed(file: Path) -> None:
    from yaml import YAMLError

    from engine.seed import read_seed

    try:
        read_seed(file)
    except (ValueError, YAMLError) as error:
        raise Failure(f"cannot read the seed file {file}: {reason(error)}; correct it and start again") from None


def _prepare(settings: "Settings") -> None:
    from engine.deployment import open_deployment
    from engine.fleet import local_storages, unknown_zones
    from engine.host.prepare import prepare
    from engine.named_drivers import WrongDriver
    from engine.stores import Misplaced, place

    prepare(settings, progress)
    # One process fills a new deployment before three open it. What it opened is closed before it forks.
    deployment = open_deployment(settings)
    try:
        unknown = unknown_zones(settings, deployment.database)
        if unknown:
            names = ", ".join(unknown)
            raise Failure(f"cannot say what keeps the disks of {names}: there is no such zone; see `storage`")
        local_storages(settings, deployment.database)
        with deployment.database.write() as db:
            place(db, settings)
    except WrongDriver as error:
        raise Failure(f"{error}; see `storage`") from None
    except Misplaced as error:
        raise Failure(f"{error}; set `storage` as it was") from None
    finally:
        deployment.database.close()


def _ensure_image(settings: "Settings") -> None:
    from cli.images import build_demo_image, has_image
    from engine.deployment import open_deployment

    deployment = open_deployment(settings)
    if not has_image(deployment):
        build_demo_image(deployment)
    deployment.database.close()


def _stay(settings: "Settings", pid: int) -> None:
    from engine import supervisor

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    say("Ctrl-C ends it.")
    try:
        os.waitpid(pid, 0)
        raise Failure(f"cannot go on: the supervising process ended; read {settings.data}/logs/supervisor.log")
    except KeyboardInterrupt:
        supervisor.stop(settings)
        guests = ": guests go on running, groundfog down stops them" if settings.engine == "kvm" else ""
        say(f"ended{guests}")


def greet(settings: "Settings", news: str) -> None:
    """Write the file to be sourced, and say where everything is and what to try."""
    from engine.deployment import open_deployment

    deployment = open_deployment(settings)
    file = settings.data / "env"
    key, secret, region = _first_key(deployment)
    _write_environment(settings, file, key, secret, region)
    image = _newest_image(deployment, region)
    deployment.database.close()
    try:
        shown: Path = file.relative_to(Path.cwd())
    except ValueError:
        shown = file
    say(f"{news}: {endpoint(settings)} ({settings.engine}, {settings.regions})")
    say(f"  access key  {key or 'none: groundfog users list'}   (its secret is in {shown})")
    say(f"  image       {image or 'none: groundfog images build demo'}")
    say("Try:")
    say(f"  source {shlex.quote(str(shown))}")
    say("  aws ec2 create-key-pair --key-name me --query KeyMaterial --output text > me.pem && chmod 600 me.pem")
    say(f"  aws ec2 run-instances --image-id {image or 'AMI'} --instance-type t3.nano --key-name me")


def _first_key(deployment: "Deployment") -> tuple[str, str, str]:
    """Return id and secret of the oldest key that is active, and the first region; "" for what there is not."""
    from sqlalchemy import select

    from engine.state import AccessKey, Account, Region

    oldest = select(AccessKey).join(Account).where(AccessKey.active).order_by(Account.created, AccessKey.created)
    with deployment.database.read() as db:
        key = db.scalar(oldest.limit(1))
        names = set(db.scalars(select(Region.name)))
    preferred = [name.strip() for name in deployment.settings.regions.split(",")]
    region = next((name for name in [*preferred, "us-east-1"] if name in names), min(names, default=""))
    return (key.id, deployment.vault.open(key.secret), region) if key else ("", "", region)


def _newest_image(deployment: "Deployment", region: str) -> str:
    from sqlalchemy import select

    from engine.state import Image

    newest = select(Image.id).where(Image.region == region, Image.public).order_by(Image.created.desc(), Image.id)
    with deployment.database.read() as db:
        return db.scalar(newest.limit(1)) or ""


def _write_environment(settings: "Settings", file: Path, key: str, secret: str, region: str) -> None:
    values = {
        "AWS_ENDPOINT_URL": endpoint(settings),
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": region,
    }
    draft = file.with_name(".env.new")
    with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    _give_to_caller(settings.data, draft)
    draft.replace(file)


def _give_to_caller(data: Path, file: Path) -> None:
    """Under sudo, let the person who called it read the file: it is for their shell."""
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdigit() and int(caller):
        os.chown(file, int(caller), -1)
        subprocess.run(["setfacl", "--modify", f"user:{caller}:x", str(data)], check=False, capture_output=True)
