"""JSON of the json and rest-json protocols <-> typed values, as the shapes of a model declare them."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from gateway.parse import MAX_ENTRIES, SCALARS, Path, WireError, invalid, spell
from gateway.render import Mismatch


def parameters(members: Mapping[str, Shape], body: bytes) -> dict[str, Any]:
    """Return the values of these members that a request's body holds."""
    try:
        return read_members(members, decode(body), None)
    except RecursionError:
        raise malformed("The request is nested too deep") from None


def decode(body: bytes) -> dict[str, Any]:
    """Return the object that a body is; none at all is an empty one. A name that is given twice is refused."""
    if not body:
        return {}
    try:
        tree = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except ValueError:
        raise malformed("The request is not valid JSON in UTF-8") from None
    if not isinstance(tree, dict):
        raise malformed("The request is not a JSON object")
    return tree


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise malformed("The request has a name more than once in one object")
    return members


def _no_number(text: str) -> Any:
    raise ValueError(text)


def malformed(message: str) -> WireError:
    return WireError("SerializationException", message)


# -- JSON -> values ----------------------------------------------------------


def read_members(members: Mapping[str, Shape], tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the values that an object holds; null is the same as absent, and a name that no member has is refused."""
    names = {member.serialization.get("name", name): name for name, member in members.items()}
    values = {}
    for part, node in tree.items():
        name = names.get(part)
        if name is None:
            raise WireError("UnknownParameter", f"The parameter {spell((path, part))} is not recognized")
        if node is not None:
            values[name] = read(members[name], node, (path, part))
    return values


def read(shape: Shape, node: Any, path: Path) -> Any:
    """Return the value of a shape that a node of a document stands for."""
    if isinstance(shape, StructureShape):
        return read_members(shape.members, _of(dict, node, path, "A structure"), path)
    if isinstance(shape, MapShape):
        pairs = _of(dict, node, path, "A map")
        return {
            read(shape.key, key, (path, key)): read(shape.value, value, (path, key)) for key, value in pairs.items()
        }
    if isinstance(shape, ListShape):
        entries = _of(list, node, path, "A list")
        if len(entries) > MAX_ENTRIES:
            raise WireError("InvalidParameterValue", f"The parameter {spell(path)} has more than {MAX_ENTRIES} entries")
        return [read(shape.member, entry, (path, str(number))) for number, entry in enumerate(entries, 1)]
    return _READERS[shape.type_name](node, path)


def _of(kind: type, node: Any, path: Path, expected: str) -> Any:
    if type(node) is not kind:
        raise invalid(node, path, f"{expected} is expected.")
    return node


def read_text(kind: str, text: str, path: Path) -> Any:
    """Return a scalar that stands in a path, a query or a header."""
    if kind == "string":
        return text
    convert, expected = SCALARS[kind]
    try:
        return convert(text)
    except (ValueError, OverflowError):
        raise invalid(text, path, expected) from None


def _string(node: Any, path: Path) -> Any:
    text = _of(str, node, path, "Text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise invalid("", path, "It has half of a surrogate pair.")
    return text


def _whole(kind: str) -> Callable[[Any, Path], Any]:
    def reader(node: Any, path: Path) -> Any:
        return read_text(kind, str(_of(int, node, path, "An integer")), path)

    return reader


def _number(node: Any, path: Path) -> float:
    if type(node) not in (int, float):
        raise invalid(node, path, "A number is expected.")
    try:
        number = float(node)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise invalid(node, path, "It is too large.")
    return number


def _boolean(node: Any, path: Path) -> Any:
    return _of(bool, node, path, "true or false")


def _blob(node: Any, path: Path) -> Any:
    return read_text("blob", _string(node, path), path)


def _timestamp(node: Any, path: Path) -> datetime:
    """Return a time that is written as seconds since 1970, as both protocols do it, or by ISO 8601."""
    if type(node) is str:
        moment: datetime = read_text("timestamp", node, path)
        return moment
    try:
        return datetime.fromtimestamp(_number(node, path), UTC)
    except (ValueError, OverflowError, OSError):
        raise invalid(node, path, "It is no date.") from None


_READERS: dict[str, Callable[[Any, Path], Any]] = {
    "string": _string,
    "character": _string,
    "integer": _whole("integer"),
    "long": _whole("long"),
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _timestamp,
}


# -- values -> JSON ----------------------------------------------------------


def write_members(kind: str, members: Mapping[str, Shape], value: Any) -> dict[str, Any]:
    """Return what JSON says of a structure; None is left out, and what does not fit the members raises Mismatch."""
    if not isinstance(value, Mapping):
        raise Mismatch(f"{kind}: a mapping is expected, not {value!r:.200}")
    tree: dict[str, Any] = {}
    for name, member in value.items():
        if name not in members:
            raise Mismatch(f"{kind} has no member {name!r}")
        if member is not None:
            tree[str(members[name].serialization.get("name", name))] = write(members[name], member)
    return tree


def write(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return write_members(shape.name, shape.members, value)
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {str(key): write(shape.value, entry) for key, entry in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list | tuple):
        return [write(shape.member, entry) for entry in value]
    if type(value) not in _KINDS.get(shape.type_name, ()):
        raise Mismatch(f"{shape.name}: a {shape.type_name} is expected, not {value!r:.200}")
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return _seconds(value) if shape.type_name == "timestamp" else value


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (bytes,),
    "timestamp": (str, datetime),
}


def _seconds(value: str | datetime) -> float:
    """Return a time as seconds since 1970. A time without a zone is taken to be UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
