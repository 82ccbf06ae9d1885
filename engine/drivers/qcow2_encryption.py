"""Encryption of qcow2 files by QEMU's own LUKS: the file is AES-256-XTS all through, its tables of places excepted.

What opens a file is a key that QEMU calls a secret. It is read from standard input, so that no list of processes shows
it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from engine.drivers.base import CALL_LIMIT, DriverError, Refused
from engine.drivers.programs import TookTooLong, run
from engine.drivers.qcow2_header import read_header

SECRET = "secret,id=key,file=/dev/stdin"
_OPTIONS = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
"""The key is random and long, so nothing is gained by stretching it: iter-time is the least (milliseconds)."""

TRIES = 10
UNMEASURED = "Unable to get accurate CPU usage"
"""What QEMU says where it could not measure how fast it stretches a key, which it does also when that is not wanted: on
a busy machine with a coarse clock every fourth time. Nothing has been written then."""


def encrypted(key: str | None) -> tuple[str, ...]:
    """Return the options by which qemu-img makes a file encrypted; none without a key."""
    return ("-o", _OPTIONS) if key else ()


def qemu_img(command: str, *arguments: str, key: str | None, limit: float | None = CALL_LIMIT) -> str:
    """Run qemu-img with the secret that options and file names of this module mean."""
    if not key:
        return run("qemu-img", command, *arguments, limit=limit)
    for left in reversed(range(TRIES)):
        try:
            return run("qemu-img", command, "--object", SECRET, *arguments, given=key, limit=limit)
        except DriverError as error:
            if left == 0 or UNMEASURED not in str(error):
                raise
    raise AssertionError("unreachable")


def alone(file: Path, key: str | None) -> str:
    """Return qemu-img's name of a file without those below it."""
    return f"json:{json.dumps(_node(file, None, encrypted=bool(key)))}"


def whole(file: Path, key: str | None) -> tuple[str, ...]:
    """Return QEMU's tools' words for a file with all those below it, each of which the key opens."""
    return ("-f", "qcow2", str(file)) if not key else (f"json:{json.dumps(_with_those_below(file))}",)


def _with_those_below(file: Path) -> dict[str, object]:
    chain, node = [file], None
    while (below := read_header(chain[-1]).below) is not None:
        chain.append(below)
    for path in reversed(chain):
        node = _node(path, node, encrypted=True)
    assert node is not None
    return node


def _node(file: Path, below: dict[str, object] | None, encrypted: bool) -> dict[str, object]:
    node: dict[str, object] = {"driver": "qcow2", "file": {"driver": "file", "filename": str(file)}, "backing": below}
    if encrypted:
        node["encrypt"] = {"key-secret": "key"}
    return node


def added_to(target: Path, layer: Path, key: str | None) -> tuple[str, ...]:
    """Return qemu-img convert's words for a layer's own data into a file that is there, upon what is below that."""
    below = read_header(target).below
    if below is None:
        raise Refused(f"cannot add to {target}: it is upon nothing")
    only_own = ("-n", "-B", str(below), "-F", "qcow2")
    if not key:
        return (*only_own, "-f", "qcow2", "-O", "qcow2", str(layer), str(target))
    return (*only_own, "--target-image-opts", *whole(layer, key), _option(_with_those_below(target)))


def _option(node: Mapping[str, object], at: str = "") -> str:
    """Return a node in the words of --image-opts, which has no other way to name what is below a target."""
    words = []
    for name, value in node.items():
        if isinstance(value, Mapping):
            words.append(_option(value, f"{at}{name}."))
        elif value is not None:
            words.append(f"{at}{name}={str(value).replace(',', ',,')}")
    return ",".join(words)


def encrypt(source: Path, target: Path, key: str) -> None:
    """Write what an open file and those below it hold into a new one, encrypted; raise Refused for too much.

    A step may take CALL_LIMIT seconds: what does not fit into these never will.
    """
    try:
        qemu_img(
            "convert", "-q", "-f", "qcow2", "-O", "qcow2", *encrypted(key), str(source), str(target), key=key
        )  # fmt: skip
    except TookTooLong as error:
        raise Refused(f"cannot encrypt {source.stem}: it holds more than can be encrypted in a minute") from error
