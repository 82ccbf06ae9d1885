"""Results -> XML of the ec2 and query protocols, as an operation's model declares them.

Each shape becomes a closure that appends text to a list: a reply of a thousand instances is a hundred thousand
elements, and building them as objects of an XML library takes four times as long.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from gateway import model
from gateway.fragments import Fragments
from translators.memo import Memo

Write = Callable[[Any, list[str]], None]
"""Appends the rendering of a value to a list of strings; raises TypeError if the value does not fit."""

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

SERVER_FAULTS = frozenset(("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"))

fragments = Fragments()
"""What Memos were rendered to, for all services."""


class Mismatch(TypeError):
    """A result that does not fit the operation's output shape: a programming error of whoever made it."""


def render(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> bytes:
    """Return the XML document for a successful call.

    `result` has the names and types that botocore's client would return; None is left out, timestamps may be text
    that is already in EC2's format. A name or type that the output shape does not have raises Mismatch (TypeError).
    """
    write = _documents.get(operation)
    if write is None:
        with model.compiling:
            write = _documents[operation] = _document(operation)
    out: list[str] = []
    write(result, request_id, out)
    return "".join(out).encode()


def render_error(protocol: str, code: str, message: str, request_id: str) -> bytes:
    """Return the XML document for a failed call, as clients of the protocol ("ec2" or "query") expect it."""
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    identity = escape(request_id)
    if protocol == "ec2":
        text = f"<Response><Errors><Error>{error}</Errors><RequestID>{identity}</RequestID></Response>"
    else:
        fault = "Receiver" if code in SERVER_FAULTS else "Sender"
        text = (
            f'<ErrorResponse xmlns="{_namespace_of_errors(protocol)}"><Error><Type>{fault}</Type>{error}'
            f"<RequestId>{identity}</RequestId></ErrorResponse>"
        )
    return (DECLARATION + text).encode()


def escape(text: str) -> str:
    """Return `text` as the content of an XML element. What XML 1.0 cannot hold becomes U+FFFD.

    A bare carriage return would be read back as a line feed (XML 1.0, 2.11), so it becomes a reference.
    """
    # Printable text has neither control characters nor surrogates nor noncharacters.
    if text.isprintable() and "&" not in text and "<" not in text and ">" not in text:
        return text
    return _SPECIAL.sub(_reference, text)


_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"}


def _reference(match: re.Match[str]) -> str:
    return _REFERENCES.get(match[0], "\ufffd")


# -- documents ---------------------------------------------------------------

_documents: dict[OperationModel, Callable[[Mapping[str, Any], str, list[str]], None]] = {}


def _document(operation: OperationModel) -> Callable[[Mapping[str, Any], str, list[str]], None]:
    shape = operation.output_shape
    plans = _Plans.of(operation.service_model)
    members = plans.plan(shape) if shape is not None else _structure(f"{operation.name} (no output)", {})
    root = f"{operation.name}Response"
    head = f'{DECLARATION}<{root} xmlns="{_namespace(operation.service_model)}">'
    if plans.protocol == "ec2":
        # An action without output says that it succeeded, though clients built from the model do not read it.
        middle = "" if shape is not None else "<return>true</return>"
        return _framed(f"{head}<requestId>", "</requestId>", members, f"{middle}</{root}>")
    wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
    opening, closing = (f"<{wrapper}>", f"</{wrapper}>") if wrapper else ("", "")

    def write(result: Mapping[str, Any], request_id: str, out: list[str]) -> None:
        out.append(head + opening)
        members(result, out)
        out.append(
            f"{closing}<ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata></{root}>"
        )

    return write


def _framed(head: str, middle: str, members: Write, tail: str) -> Callable[[Mapping[str, Any], str, list[str]], None]:
    def write(result: Mapping[str, Any], request_id: str, out: list[str]) -> None:
        out.append(f"{head}{escape(request_id)}{middle}")
        members(result, out)
        out.append(tail)

    return write


def _namespace(service: ServiceModel) -> str:
    # EC2 ends the namespace with a slash on the wire; the model of it lacks one.
    return str(service.metadata["xmlNamespace"]).rstrip("/") + "/"


@cache
def _namespace_of_errors(protocol: str) -> str:
    for name in model.SERVICES:
        service = model.service(name)
        if service.metadata["protocol"] == protocol:
            return _namespace(service)
    raise TypeError(f"cannot render an error of the protocol {protocol!r}")


# -- shapes ------------------------------------------------------------------


class _Plans:
    """The writers of one service's shapes. A structure's is made once, at the first need."""

    def __init__(self, service: ServiceModel) -> None:
        self.service = service.service_name
        self.protocol = str(service.metadata["protocol"])
        if self.protocol not in ("ec2", "query"):
            raise TypeError(f"cannot render the protocol {self.protocol!r}")
        self.structures: dict[str, Write] = {}

    @classmethod
    @cache
    def of(cls, service: ServiceModel) -> "_Plans":
        return cls(service)

    def plan(self, shape: StructureShape) -> Write:
        """Return the writer of a structure's members, without a tag around them."""
        if shape.name not in self.structures:
            # Stands in for the writer while that is made, for a structure that contains itself.
            self.structures[shape.name] = lambda value, out: self.structures[shape.name](value, out)
            members = {name: self.element(member, name) for name, member in shape.members.items()}
            self.structures[shape.name] = _structure(shape.name, members)
        return self.structures[shape.name]

    def element(self, shape: Shape, name: str) -> Write:
        """Return the writer of a member with its tag."""
        tag = str(shape.serialization.get("name", name))
        if isinstance(shape, StructureShape):
            return _tagged(tag, self.plan(shape))
        if isinstance(shape, ListShape):
            return self.sequence(shape, tag)
        if isinstance(shape, MapShape):
            return self.mapping(shape, tag)
        return SCALARS[shape.type_name](tag)

    def sequence(self, shape: ListShape, tag: str) -> Write:
        flattened = bool(shape.serialization.get("flattened"))
        entry = str(shape.member.serialization.get("name", tag if flattened else "member"))
        if isinstance(shape.member, StructureShape):
            write = _structures(entry, self.plan(shape.member), (self.service, shape.member.name))
        else:
            write = _entries(self.element(shape.member, entry))
        return write if flattened else _tagged(tag, write)

    def mapping(self, shape: MapShape, tag: str) -> Write:
        """Return the writer of a map: an ``entry`` with its ``key`` and ``value`` for each (AWS query protocol)."""
        flattened = bool(shape.serialization.get("flattened"))
        write = _pairs(
            tag if flattened else "entry", self.element(shape.key, "key"), self.element(shape.value, "value")
        )
        return write if flattened else _tagged(tag, write)


def _structure(shape_name: str, members: dict[str, Write]) -> Write:
    def write(value: Mapping[str, Any], out: list[str]) -> None:
        name = None
        try:
            for name, member in value.items():
                if member is not None:
                    members[name](member, out)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            _explain(error, shape_name, members, value, name)
            raise

    return write


def _explain(error: Exception, shape_name: str, members: dict[str, Write], value: Any, name: str | None) -> None:
    """Raise Mismatch with the words that `error`, met while `name` was written, lacks."""
    if not isinstance(value, Mapping):
        raise Mismatch(f"{shape_name}: a mapping is expected, not {value!r:.200}") from error
    if name is not None and name not in members:
        raise Mismatch(f"{shape_name} has no member {name!r}") from error
    if not isinstance(error, KeyError | Mismatch):
        raise Mismatch(f"{shape_name}.{name}: {error} ({value.get(name)!r:.200})") from error


def _tagged(tag: str, inner: Write) -> Write:
    opening, closing = f"<{tag}>", f"</{tag}>"

    def write(value: Any, out: list[str]) -> None:
        out.append(opening)
        inner(value, out)
        out.append(closing)

    return write


def _structures(tag: str, inner: Write, kind: tuple[str, str]) -> Write:
    opening, closing = f"<{tag}>", f"</{tag}>"

    def write(value: Any, out: list[str]) -> None:
        for entry in value:
            out.append(opening)
            if type(entry) is Memo:
                out.append(_remembered(entry, inner, kind))
            else:
                inner(entry, out)
            out.append(closing)

    return write


def _remembered(memo: Memo, inner: Write, kind: tuple[str, str]) -> str:
    key = (kind, memo.key)
    text = fragments.get(key)
    if text is None:
        out: list[str] = []
        inner(memo.make(), out)
        text = "".join(out)
        fragments.put(key, text)
    return text


def _entries(write_entry: Write) -> Write:
    def write(value: Any, out: list[str]) -> None:
        if isinstance(value, str | bytes):
            raise TypeError("a list is expected")
        for entry in value:
            write_entry(entry, out)

    return write


def _pairs(tag: str, write_key: Write, write_value: Write) -> Write:
    opening, closing = f"<{tag}>", f"</{tag}>"

    def write(value: Mapping[str, Any], out: list[str]) -> None:
        for key, entry in value.items():
            out.append(opening)
            write_key(key, out)
            write_value(entry, out)
            out.append(closing)

    return write


# -- scalars -----------------------------------------------------------------


def _string(tag: str) -> Write:
    opening, closing = f"<{tag}>", f"</{tag}>"

    def write(value: str, out: list[str]) -> None:
        # escape() again, in place: a call less for each of a hundred thousand elements.
        if value.isprintable() and "&" not in value and "<" not in value and ">" not in value:
            out.append(opening + value + closing)
        else:
            out.append(opening + _SPECIAL.sub(_reference, value) + closing)

    return write


def _boolean(tag: str) -> Write:
    texts = {True: f"<{tag}>true</{tag}>", False: f"<{tag}>false</{tag}>"}

    def write(value: bool, out: list[str]) -> None:
        if type(value) is not bool:
            raise TypeError("a boolean is expected")
        out.append(texts[value])

    return write


def _number(kinds: tuple[type, ...]) -> Callable[[str], Write]:
    def tagged(tag: str) -> Write:
        opening, closing = f"<{tag}>", f"</{tag}>"

        def write(value: float, out: list[str]) -> None:
            if type(value) not in kinds:
                raise TypeError("a number is expected")
            out.append(f"{opening}{value}{closing}")

        return write

    return tagged


def _timestamp(tag: str) -> Write:
    write_text = _string(tag)

    def write(value: str | datetime, out: list[str]) -> None:
        write_text(_moment(value) if isinstance(value, datetime) else value, out)

    return write


def _moment(value: datetime) -> str:
    """Return EC2's text for a time: UTC with milliseconds. A time without a zone is taken to be UTC."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def _blob(tag: str) -> Write:
    def write(value: bytes, out: list[str]) -> None:
        out.append(f"<{tag}>{base64.b64encode(value).decode()}</{tag}>")

    return write


SCALARS: dict[str, Callable[[str], Write]] = {
    "string": _string,
    "character": _string,
    "integer": _number((int,)),
    "long": _number((int,)),
    "float": _number((float, int)),
    "double": _number((float, int)),
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}
