"""``groundfog images``: what instances are launched from."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from cli.configuration import Data, deployed, open_existing
from cli.terminal import Failure, bar, progress, say, show_table

if TYPE_CHECKING:
    from engine.deployment import Deployment
    from engine.seed import SeedImage

    Builder = Callable[[Path, Path, Callable[[str], None]], None]

app = typer.Typer(no_args_is_help=True, help="What instances are launched from.")

Family = Annotated[
    str,
    typer.Option(
        help="What parameters call its newest build by, such as debian-12.",
        show_default="the name up to a date or a number of three parts",
    ),
]

DEMO, DEBIAN = "groundfog-demo", "debian-12"
_DESCRIPTIONS = {
    DEMO: "Small Linux that boots in seconds; log in as ec2-user with the launch key",
    DEBIAN: "Debian 12 with systemd and cloud-init; log in as admin with the launch key",
}


@app.command("list")
def list_images(data: Data = None) -> None:
    """List images of every region and account.

    Example: groundfog images list
    """
    from sqlalchemy import select

    from engine.state import Image, ImageBlockDevice

    rows = (
        select(Image, ImageBlockDevice.size)
        .outerjoin(
            ImageBlockDevice,
            (ImageBlockDevice.image_id == Image.id) & (ImageBlockDevice.device == Image.root_device_name),
        )
        .order_by(Image.region, Image.created, Image.id)
    )
    with open_existing(deployed(data)).database.read() as db:
        found = [
            [
                i.id,
                i.region,
                i.name,
                i.family,
                i.architecture,
                f"{size or '?'} GiB",
                "everyone" if i.public else i.account,
                i.created,
            ]
            for i, size in db.execute(rows)
        ]
    show_table(["image", "region", "name", "family", "architecture", "size", "for", "created"], found)


@app.command()
def build(
    kind: Annotated[str, typer.Argument(help="`demo` (seconds) or `debian` (a minute or two, as root).")],
    name: Annotated[str, typer.Option(help="The image's name.", show_default="groundfog-demo, debian-12")] = "",
    family: Family = "",
    mirror: Annotated[str, typer.Option(help="A Debian mirror's URL for `debian`.")] = "",
    data: Data = None,
) -> None:
    """Build an image from Debian packages and offer it to every account.

    Examples:

        sudo groundfog images build debian

        sudo groundfog images build demo --name demo-of-today
    """
    _check_family(family)
    deployment = _open_real(data)
    if kind == "demo":
        build_demo_image(deployment, name, family)
    elif kind == "debian":
        from engine.images.debian import build_debian

        def build_here(target: Path, cache: Path, report: Callable[[str], None]) -> None:
            build_debian(target, cache, report, mirror)

        _build(deployment, DEBIAN, name, build_here, family)
    else:
        raise Failure(f"cannot build {kind}: there are demo and debian; another image: groundfog images import FILE")


@app.command("import")
def import_image(
    file: Annotated[str, typer.Argument(help="A disk image, or its URL: raw, ISO, qcow2, vmdk, vhd, vhdx or vdi.")],
    name: Annotated[str, typer.Option(help="The image's name.")],
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    root_device: Annotated[str, typer.Option(help="What EC2 calls its disk.")] = "/dev/xvda",
    windows: Annotated[bool, typer.Option("--windows", help="It is a Windows.")] = False,
    family: Family = "",
    data: Data = None,
) -> None:
    """Offer a disk image to every account.

    Example: sudo groundfog images import noble-server-cloudimg-amd64.img --name ubuntu-24.04 --root-device /dev/sda1
    """
    from engine.seed import SeedImage

    _check_family(family)
    deployment = _open_real(data)
    _refuse_taken_name(deployment, name)
    seed = SeedImage(
        name=name, family=family, description=description, platform="windows" if windows else "",
        root_device=root_device,
    )  # fmt: skip
    with _local(deployment, file) as here:
        _register(deployment, here, seed)


@app.command("set-family")
def set_family(
    id: Annotated[str, typer.Argument(help="The image's id.")],
    family: Annotated[str, typer.Argument(help="The family; an empty one is what follows from the image's name.")],
    data: Data = None,
) -> None:
    """Put an image into a family: the newest of each is what parameters such as those of Systems Manager name.

    Example: groundfog images set-family ami-0123456789abcdef0 ubuntu-24.04
    """
    from engine.state import Image, family_of

    _check_family(family)
    with open_existing(deployed(data)).database.write() as db:
        image = db.get(Image, id)
        if image is None:
            raise Failure(f"cannot find the image {id}; see: groundfog images list")
        image.family = family or family_of(image.name)
    say(f"{id} is of the family {image.family}")


def _check_family(family: str) -> None:
    from engine.state import FAMILY

    if family and not FAMILY.fullmatch(family):
        raise Failure(f"cannot call a family {family!r}: letters, digits, '.', '_', '-' and single '/' are possible")


@app.command()
def remove(id: Annotated[str, typer.Argument(help="The image's id.")], data: Data = None) -> None:
    """Remove an image and its snapshots. Instances that were launched from it go on.

    Example: groundfog images remove ami-0123456789abcdef0
    """
    import translators  # noqa: F401  (registers the actions)
    from engine.state import Image
    from translators.registry import Caller, perform

    deployment = open_existing(deployed(data))
    with deployment.database.read() as db:
        image = db.get(Image, id)
    if image is None:
        raise Failure(f"cannot find the image {id}; see: groundfog images list")
    caller = Caller(image.account, image.region, deployment.database, deployment.settings)
    perform(caller, "DeregisterImage", {"ImageId": id, "DeleteAssociatedSnapshots": True})
    say(f"{id} ({image.name}) is gone from {image.region}")


@contextmanager
def _local(deployment: "Deployment", source: str) -> Iterator[Path]:
    """Give the file, which is fetched first where it is a URL: the operator may fetch from anywhere."""
    if not source.startswith(("http://", "https://")):
        yield Path(source)
        return
    from engine.drivers.base import Refused
    from engine.imports.downloads import save, web_file

    folder = deployment.settings.data / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="fetched-") as name:
        target = Path(name) / (PurePosixPath(urlsplit(source).path).name or "image")
        try:
            with web_file(source, lambda url: True) as (stream, length), bar(f"fetching {target.name}") as report:
                save(stream, length, target, deployment.settings.import_limit_gib * 2**30, report)
        except Refused as error:
            raise Failure(f"cannot fetch {source}: {error} Fetch it yourself: groundfog images import FILE") from error
        yield target


def has_image(deployment: "Deployment") -> bool:
    from sqlalchemy import select

    from engine.state import Image

    with deployment.database.read() as db:
        return db.scalar(select(Image.id).limit(1)) is not None


def build_demo_image(deployment: "Deployment", name: str = "", family: str = "") -> None:
    from engine.images.demo import build_demo

    _build(deployment, DEMO, name, build_demo, family)


def _build(deployment: "Deployment", kind: str, name: str, builder: "Builder", family: str) -> None:
    from engine.seed import SeedImage

    name = name or (f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}" if _is_taken(deployment, kind) else kind)
    _refuse_taken_name(deployment, name)
    folder = deployment.settings.data / "images"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{kind}.qcow2"
    builder(target, folder / "cache", progress)
    _register(deployment, target, SeedImage(name=name, family=family, description=_DESCRIPTIONS[kind]))
    # The snapshots hold what it held.
    target.unlink()


def _open_real(data: Path | None) -> "Deployment":
    settings = deployed(data)
    if settings.engine == "simulated":
        raise Failure(
            "cannot keep images in a simulated deployment: name them in its seed file: groundfog up --seed FILE"
        )
    return open_existing(settings)


def _is_taken(deployment: "Deployment", name: str) -> bool:
    from sqlalchemy import select

    from engine.seed import OPERATOR
    from engine.state import Image

    with deployment.database.read() as db:
        return db.scalar(select(Image.id).where(Image.account == OPERATOR, Image.name == name).limit(1)) is not None


def _refuse_taken_name(deployment: "Deployment", name: str) -> None:
    if _is_taken(deployment, name):
        raise Failure(f"cannot call it {name}: there is an image of that name; choose another: --name NAME")


def _register(deployment: "Deployment", file: Path, image: "SeedImage") -> None:
    """Copy an image file to the storage of every region, and add a public image of the operator's in each."""
    from engine.fleet import drivers_of
    from engine.seed import OPERATOR, add_image
    from engine.state import Image, Snapshot

    for region, drivers in drivers_of(deployment.settings, deployment.database).items():
        progress(f"copying {file.name} to the disks of {region}")
        id, snapshot = Image.new_id(), Snapshot.new_id()
        # A row exists before its thing does: what has no row is taken for an orphan.
        with deployment.database.write() as db:
            db.add(
                Snapshot(id=snapshot, account=OPERATOR, region=region, volume_size=1, state="pending", progress="0%")
            )
        try:
            size = max(storage.import_snapshot(snapshot, file) for storage in set(drivers.storages.values()))
        except BaseException:
            with deployment.database.write() as db:
                db.delete(db.get_one(Snapshot, snapshot))
            raise
        with deployment.database.write() as db:
            db.delete(db.get_one(Snapshot, snapshot))
            db.flush()
            add_image(db, image.model_copy(update={"size": max(size, 1)}), region, id, snapshot)
        say(f"{id}  {image.name}  {region}")
