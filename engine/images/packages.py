"""Fetches packages of the host's own distribution through apt and unpacks them, without installing anything."""

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Report = Callable[[str], None]

# The small kernels for virtual machines, best first: Debian's, then Ubuntu's.
KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")


class BuildError(Exception):
    """An image cannot be built; the message begins with "cannot" and says what to do."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: its version, its image and the tree that holds lib/modules/VERSION."""

    version: str
    image: Path
    tree: Path


def run(command: Sequence[str | Path], purpose: str) -> str:
    """Standard output of a command; BuildError "cannot PURPOSE: ..." when it is missing or fails."""
    arguments = [str(word) for word in command]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise BuildError(
            f"cannot {purpose}: {arguments[0]} is not installed; run `groundfog up` or install it"
        ) from error
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")[-2000:]
        raise BuildError(f"cannot {purpose}: {reason}")
    return done.stdout


@contextmanager
def one_build_at_a_time(cache: Path) -> Iterator[None]:
    """Makes the cache a directory of this process alone; a second build waits, and then finds everything fetched."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch_closure(names: Sequence[str], cache: Path, report: Report) -> list[Path]:
    """The .deb files of these packages and of all they depend on, as if nothing were installed."""
    return _fetch(["install", "--yes", "--no-install-recommends", *names], cache, report)


def fetch(names: Sequence[str], cache: Path, report: Report) -> list[Path]:
    """The .deb files of exactly these packages."""
    return _fetch(["download", *names], cache, report)


def unpack(debs: Sequence[Path], cache: Path) -> Path:
    """One directory with the contents of all these packages; unpacked once per set of packages."""
    key = hashlib.sha256("\n".join(sorted(deb.name for deb in debs)).encode()).hexdigest()[:16]
    tree = cache / f"tree-{key}"
    if tree.is_dir():
        return tree
    unfinished = cache / f"tree-{key}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda deb: run(["dpkg-deb", "-x", deb, unfinished], f"unpack {deb.name}"), debs))
    unfinished.rename(tree)
    return tree


def kernel_packages(cache: Path) -> list[str]:
    """The real packages behind the first known metapackage; Ubuntu keeps the modules in one of their own."""
    for metapackage in KERNELS:
        images = _depends(cache, metapackage, r"linux-image-\d")
        if images:
            return [*images[:1], *_depends(cache, images[0], r"linux-modules-\d")]
    raise BuildError(f"cannot find any of the kernels {', '.join(KERNELS)}: run `apt-get update` first")


def find_kernel(tree: Path) -> Kernel:
    """The kernel among unpacked packages, with the index of its modules made."""
    image = next(iter(sorted((tree / "boot").glob("vmlinuz-*"))), None)
    if image is None:
        raise BuildError(f"cannot find a kernel: no boot/vmlinuz-* in {tree}")
    version = image.name.removeprefix("vmlinuz-")
    modules = _modules_directory(tree, version)
    if not (modules / "modules.dep").exists():
        run(["depmod", "--basedir", modules.parents[2], version], "index the kernel's modules")
    return Kernel(version, image, modules.parents[2])


def _modules_directory(tree: Path, version: str) -> Path:
    for prefix in (tree, tree / "usr"):
        if (prefix / "lib/modules" / version).is_dir():
            return prefix / "lib/modules" / version
    raise BuildError(f"cannot find the modules of kernel {version}: no lib/modules/{version} in its packages")


def _depends(cache: Path, name: str, pattern: str) -> list[str]:
    command = ["apt-cache", *_apt_options(cache), "show", "--no-all-versions", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^Depends: (.*)$", shown.stdout, re.MULTILINE)
    words = re.findall(r"[a-z0-9][a-z0-9+.-]+", found[1]) if found else []
    return [word for word in words if re.match(pattern, word)]


def _apt_options(cache: Path) -> list[str]:
    """The host's apt, as if nothing were installed, with an index of packages in the cache, where it may be written."""
    nothing_installed = cache / "status"
    nothing_installed.touch()
    options = {
        "Dir::State::status": nothing_installed,
        "Dir::Cache::pkgcache": cache / "pkgcache.bin",
        "Dir::Cache::srcpkgcache": cache / "srcpkgcache.bin",
        # The user apt would become for downloads cannot write here, and a private archive needs no lock.
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _fetch(action: Sequence[str], cache: Path, report: Report) -> list[Path]:
    archives = cache / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-qq", *_apt_options(cache)]
    purpose = f"fetch packages ({' '.join(action)}; is `apt-get update` up to date?)"
    # apt leaves out of this list what its archive already has, so it is shown an empty one.
    uris = run([*command, "-o", f"Dir::Cache::archives={cache}/none", *action, "--print-uris"], purpose)
    wanted = [(archives / name, int(size)) for name, size in re.findall(r"^'\S+' (\S+) (\d+)", uris, re.M)]
    missing = [path for path, size in wanted if not path.exists() or path.stat().st_size != size]
    if missing:
        report(f"fetching {len(missing)} packages")
        _download(command, action, archives, purpose)
    return [path for path, _ in wanted]


def _download(command: Sequence[str], action: Sequence[str], archives: Path, purpose: str) -> None:
    if action[0] == "download":
        # `apt-get download` knows no other place than the current directory.
        run(["env", "--chdir", archives, *command, *action], purpose)
    else:
        run([*command, "-o", f"Dir::Cache::archives={archives}", *action, "--download-only"], purpose)
