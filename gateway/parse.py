"""Form fields of the ec2 and query protocols -> typed parameters, as an operation's model declares them."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from typing import Any
from urllib.parse import unquote_to_bytes

from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape

from gateway import model

MAX_FIELDS = 20_000
MAX_DEPTH = 16
MAX_ENTRIES = 1_000
ECHOED = 255
"""How many characters of a refused value are quoted in the message that refuses it."""

SIGNATURE_2 = ("Signature", "SignatureMethod", "SignatureVersion", "AWSAccessKeyId", "Timestamp", "Expires")
PROTOCOL_FIELDS = frozenset(("Action", "Version", "SecurityToken", *SIGNATURE_2))

Path = tuple[Any, str] | None
"""Where a value stands: (path of the holder, name). A chain costs nothing until a message needs the text."""

Reader = Callable[[Any, Path], Any]


class WireError(Exception):
    """A request that cannot be understood or breaks the model. The message is for the user, in EC2's wording."""

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def decode(raw: bytes) -> dict[str, str]:
    """Return the fields of a form body or a query string; '+' is a space, as HTML forms have it.

    Refuses too many fields before it builds any, a field given twice, and text that is not UTF-8.
    """
    if raw.count(b"&") >= MAX_FIELDS:
        raise _malformed(f"The request has more than {MAX_FIELDS} parameters")
    try:
        text = raw.decode()
        fields: dict[str, str] = {}
        for pair in text.replace("+", " ").split("&"):
            name, _, value = pair.partition("=")
            if "%" in pair:
                name, value = unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
            if name in fields:
                raise _malformed(f"The parameter {_echo(name)} is given more than once")
            if pair:
                fields[name] = value
    except UnicodeDecodeError:
        raise _malformed("The request is not valid UTF-8") from None
    return fields


def parse(operation: OperationModel, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters in `fields` under the model's member names, as they were given to botocore's client.

    Protocol and signature fields are skipped; any other name that the model lacks raises WireError.
    Sparse list indices are closed up in order.
    """
    read = _operations.get(operation)
    if read is None:
        with model.compiling:
            read = _operations[operation] = _Plans.of(operation.service_model).operation(operation)
    parameters: dict[str, Any] = read(_tree(fields), None)
    return parameters


_operations: dict[OperationModel, Reader] = {}


# -- fields -> tree ----------------------------------------------------------


def _tree(fields: Mapping[str, str]) -> dict[str, Any]:
    if len(fields) > MAX_FIELDS:
        raise _malformed(f"The request has more than {MAX_FIELDS} parameters")
    _require_unicode("".join(fields), "".join(fields.values()))
    root: dict[str, Any] = {}
    for name, value in fields.items():
        if "." in name:
            _graft(root, name, value)
        elif name not in PROTOCOL_FIELDS and not name.startswith("X-Amz-"):
            if name in root:
                raise _clash(name)
            root[name] = value
    return root


def _graft(root: dict[str, Any], name: str, value: str) -> None:
    *parents, leaf = parts = name.split(".", MAX_DEPTH)
    if len(parts) > MAX_DEPTH:
        raise _malformed(f"The parameter {_echo(name)} is nested more than {MAX_DEPTH} levels deep")
    node = root
    for part in parents:
        below = node.get(part)
        if below is None:
            below = node[part] = {}
        elif type(below) is not dict:
            raise _clash(name)
        node = below
    if leaf in node:
        raise _clash(name)
    node[leaf] = value


def _require_unicode(*texts: str) -> None:
    # A server that decodes with "surrogateescape" hands over what was not UTF-8 as lone surrogates.
    try:
        for text in texts:
            if not text.isascii():
                text.encode()
    except UnicodeEncodeError:
        raise _malformed("The request is not valid UTF-8") from None


# -- tree -> parameters ------------------------------------------------------


def wire_name(protocol: str, member: Shape, name: str) -> str:
    """Return the name that a request gives to the member `name` of a structure."""
    serialization = member.serialization
    if protocol == "ec2":
        if "queryName" in serialization:
            return str(serialization["queryName"])
        location = str(serialization.get("name", name))
        return location[0].upper() + location[1:]
    if isinstance(member, ListShape) and serialization.get("flattened"):
        serialization = member.member.serialization or serialization
    return str(serialization.get("name", name))


class _Plans:
    """The readers of one service's shapes. A structure's is made once, at the first need."""

    def __init__(self, service: ServiceModel) -> None:
        self.protocol = str(service.metadata["protocol"])
        if self.protocol not in ("ec2", "query"):
            raise TypeError(f"cannot read the protocol {self.protocol!r}")
        self.structures: dict[str, Reader] = {}

    @classmethod
    @cache
    def of(cls, service: ServiceModel) -> "_Plans":
        return cls(service)

    def operation(self, operation: OperationModel) -> Reader:
        shape = operation.input_shape
        return self.plan(shape) if shape is not None else _structure({})

    def plan(self, shape: Shape) -> Reader:
        if isinstance(shape, StructureShape):
            return self.structure(shape)
        if isinstance(shape, ListShape):
            return _list(self.plan(shape.member), str(shape.member.serialization.get("name", "member")))
        return _string if shape.type_name in ("string", "character") else _scalar(*SCALARS[shape.type_name])

    def structure(self, shape: StructureShape) -> Reader:
        if shape.name not in self.structures:
            # Stands in for the reader while that is made, for a structure that contains itself.
            self.structures[shape.name] = lambda tree, path: self.structures[shape.name](tree, path)
            self.structures[shape.name] = _structure(
                {
                    wire_name(self.protocol, member, name): (name, self.plan(member))
                    for name, member in shape.members.items()
                }
            )
        return self.structures[shape.name]


def _structure(members: dict[str, tuple[str, Reader]]) -> Reader:
    def read(tree: Any, path: Path) -> dict[str, Any]:
        if type(tree) is not dict:
            raise invalid(tree, path, "A structure is expected.")
        result = {}
        for part, node in tree.items():
            member = members.get(part)
            if member is None:
                raise _unknown((path, part))
            result[member[0]] = member[1](node, (path, part))
        return result

    return read


def _list(read_entry: Reader, wrapper: str) -> Reader:
    wrappers = frozenset((wrapper, "member", "item"))

    def read(tree: Any, path: Path) -> list[Any]:
        if type(tree) is dict and len(tree) == 1:
            (part,) = tree
            if part in wrappers:
                tree = tree[part]
        if tree == "":
            return []  # how the query protocol sends a list without entries
        return [read_entry(tree[part], (path, part)) for part in _in_order(tree, path)]

    return read


def _in_order(tree: Any, path: Path) -> Iterable[str]:
    if type(tree) is not dict:
        raise invalid(tree, path, "A list is expected.")
    if len(tree) > MAX_ENTRIES:
        raise WireError("InvalidParameterValue", f"The parameter {spell(path)} has more than {MAX_ENTRIES} entries")
    for part in tree:
        if part not in POSITIONS:
            raise _malformed(f"The parameter {spell((path, part))} has no list index from 1 to {MAX_ENTRIES}")
    return sorted(tree, key=POSITIONS.__getitem__) if len(tree) > 1 else tree


# No leading zeros: Foo.1 and Foo.01 would be one entry given twice.
POSITIONS = {str(position): position for position in range(1, MAX_ENTRIES + 1)}


# -- scalars -----------------------------------------------------------------


def _string(node: Any, path: Path) -> Any:
    if type(node) is dict:
        raise _unknown((path, next(iter(node))))
    return node


def _scalar(convert: Callable[[str], Any], expected: str) -> Reader:
    def read(node: Any, path: Path) -> Any:
        _string(node, path)
        try:
            return convert(node)
        except (ValueError, OverflowError):
            raise invalid(node, path, expected) from None

    return read


def _matching(pattern: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    # Python's own converters take more than EC2 does: underscores, blanks, digits of other scripts, "nan", week dates.
    match = re.compile(pattern, re.ASCII).fullmatch

    def checked(text: str) -> Any:
        if match(text) is None:
            raise ValueError(text)
        return convert(text)

    return checked


def _integer(bits: int) -> Callable[[str], int]:
    limit = 1 << (bits - 1)

    def convert(text: str) -> int:
        number = int(text)
        if not -limit <= number < limit:
            raise OverflowError(text)
        return number

    return _matching(r"-?\d{1,19}", convert)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise OverflowError(text)
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _blob(text: str) -> bytes:
    # base64 tools break lines; any other character outside the alphabet is a mistake.
    return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)


_NUMBER = r"[-+]?\d{1,40}(\.\d{1,40})?([eE][-+]?\d{1,4})?"
_ISO_8601 = r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[-+]\d\d:?\d\d)?)?"

SCALARS: dict[str, tuple[Callable[[str], Any], str]] = {
    "integer": (_integer(32), "An integer is expected."),
    "long": (_integer(64), "An integer is expected."),
    "float": (_matching(_NUMBER, _finite), "A number is expected."),
    "double": (_matching(_NUMBER, _finite), "A number is expected."),
    "boolean": (_matching("(?i:true|false)", lambda text: len(text) == 4), "true or false is expected."),
    "blob": (_blob, "Base64 text is expected."),
    "timestamp": (_matching(_ISO_8601, _moment), "A date and time as 2024-01-02T03:04:05Z is expected."),
}


# -- refusals ----------------------------------------------------------------


def spell(path: Path) -> str:
    """Return the dotted name of a path."""
    parts: list[str] = []
    while path is not None:
        path, part = path
        parts.append(part)
    return _echo(".".join(reversed(parts)))


def invalid(value: object, path: Path, why: str) -> WireError:
    """Return EC2's error for a value that a parameter cannot have."""
    text = f"Value ({_echo(str(value))}) for parameter {spell(path)} is invalid. {why}"
    return WireError("InvalidParameterValue", text)


def _unknown(path: Path) -> WireError:
    return WireError("UnknownParameter", f"The parameter {spell(path)} is not recognized")


def _clash(name: str) -> WireError:
    return _malformed(f"The parameter {_echo(name)} is given both as a value and as a structure or list")


def _malformed(message: str) -> WireError:
    return WireError("MalformedQueryString", message)


def _echo(text: str) -> str:
    return text if len(text) <= ECHOED else text[:ECHOED] + "..."
