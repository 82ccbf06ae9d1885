"""Copies programs and the shared libraries they need out of unpacked packages into a guest's root directory."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from engine.images.packages import BuildError, run

LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARY_DIRECTORIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/libexec/sudo", "usr/lib/sudo")


def install(paths: Iterable[str], tree: Path, root: Path) -> None:
    """Copy these files of `tree`, and all libraries they load, to where a merged-/usr guest looks for them."""
    for path in paths:
        install_as(merged(Path(path)), path, tree, root)


def install_as(place: Path, path: str, tree: Path, root: Path) -> None:
    """Copy one file of `tree` to `place` in the guest, and its libraries and the loader to theirs."""
    source = find(path, tree)
    copies = {source: place, _loader(tree): Path(LOADER)}
    copies |= {library: merged(library.relative_to(tree)) for library in _libraries(source, tree)}
    for original, name in copies.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(original, target)


def merged(path: Path) -> Path:
    """Where a file of a package belongs in a guest in which /bin, /sbin and /lib are links into /usr."""
    place = path if path.parts[0] == "usr" else Path("usr") / path
    return Path("usr/bin", *place.parts[2:]) if place.parts[1] == "sbin" else place


def find(path: str, tree: Path) -> Path:
    """A file of the unpacked packages, whether or not they use the merged /usr."""
    for candidate in (tree / path, tree / path.removeprefix("usr/"), tree / "usr" / path):
        if candidate.is_file():
            return candidate
    raise BuildError(f"cannot find {path} in the fetched packages: this distribution keeps it elsewhere")


def _libraries(path: Path, tree: Path) -> set[Path]:
    """What the loader of the tree would map for this file: asked of the loader itself, on the host."""
    listing = run(
        [_loader(tree), "--library-path", _library_path(tree), "--list", path], f"list the libraries of {path}"
    )
    if "not found" in listing:
        raise BuildError(f"cannot complete {path}: {listing.strip()}")
    return {Path(name) for name in re.findall(r"=> (\S+)", listing) if Path(name).is_relative_to(tree)}


def _loader(tree: Path) -> Path:
    # In the package the loader is a link to an absolute path, which would lead to the host's own.
    return find("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", tree)


def _library_path(tree: Path) -> str:
    return ":".join(str(tree / directory) for directory in LIBRARY_DIRECTORIES)
