"""The rest-json protocol: the action is a method and a path, parameters are in path, query, headers and body."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.model import OperationModel, Shape, StructureShape
from flask import Request
from werkzeug.datastructures import Headers

from gateway import json_errors, json_values, model, parse
from gateway.dialect import Refusal, Reply
from gateway.json_dialect import encode
from gateway.render import Mismatch

_JSON = "application/json"
_BYTES = "application/octet-stream"
_TEXTS = ("string", "integer", "long", "boolean")
"""Kinds of values that are read from, and written into, paths, queries and headers."""


@dataclass(frozen=True)
class _Content:
    """The parts of a request that hold parameters, by AWS's words for these."""

    uri: Mapping[str, str]
    querystring: Mapping[str, str]
    header: Headers
    body: bytes


def routes(service: str) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of each action of a service; variables of the path are in angle brackets."""
    yield from _routes(service)


@cache
def _routes(service: str) -> dict[tuple[str, str], str]:
    found = {}
    for name in model.service(service).operation_names:
        http = model.service(service).operation_model(name).http
        found[http["method"], re.sub(r"\{(\w+)\}", r"<\1>", http["requestUri"])] = name
    return found


class RestJson:
    def action(self, service: str, asked: Request, body: bytes) -> tuple[str, Any]:
        rule = asked.url_rule.rule if asked.url_rule else ""
        query = {name: value for name, value in parse.decode(asked.query_string).items() if name[:6] != "X-Amz-"}
        content = _Content(asked.view_args or {}, query, asked.headers, body)
        return _routes(service).get((asked.method, rule), ""), content

    def parse(self, operation: OperationModel, content: _Content) -> dict[str, Any]:
        shape = operation.input_shape
        if shape is None:
            return {}
        values = dict(_located(shape, content))
        strangers = content.querystring.keys() - {_place(m, n) for n, m in _at(shape, "querystring")}
        if strangers:
            raise parse.WireError("UnknownParameter", f"The parameter {parse.spell((None, min(strangers)))} is unknown")
        payload = shape.serialization.get("payload")
        if payload:
            values[payload] = _payload(shape.members[payload], content.body)
        else:
            values |= json_values.parameters(_in_body(shape), content.body)
        return values

    def render(self, operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Reply:
        shape, status = operation.output_shape, operation.http.get("responseCode", 200)
        if shape is None:
            return Reply(b"", _JSON, status)
        headers = {_place(m, n): _text(m, result[n]) for n, m in _at(shape, "header") if result.get(n) is not None}
        rest = {name: value for name, value in result.items() if name not in dict(_at(shape, "header"))}
        payload = shape.serialization.get("payload")
        if not payload:
            return Reply(encode(json_values.write_members(shape.name, _in_body(shape), rest)), _JSON, status, headers)
        if rest.keys() - {payload}:
            raise Mismatch(f"{shape.name} has no member {min(rest.keys() - {payload})!r}")
        return Reply(rest.get(payload, b""), _BYTES, status, headers)

    def refuse(self, service: str, refusal: Refusal, request_id: str) -> Reply:
        said = json_errors.in_words_of(service, refusal)
        message = json_errors.message_member(service, said.code)
        headers = {"x-amzn-ErrorType": said.code}
        return Reply(encode({message: said.message, **said.members}), _JSON, said.status, headers)


def _at(shape: StructureShape, location: str) -> list[tuple[str, Shape]]:
    return [(name, m) for name, m in shape.members.items() if m.serialization.get("location") == location]


def _place(member: Shape, name: str) -> str:
    return str(member.serialization.get("name", name))


def _located(shape: StructureShape, content: _Content) -> Iterator[tuple[str, Any]]:
    for location in ("uri", "querystring", "header"):
        texts: Mapping[str, str] | Headers = getattr(content, location)
        for name, member in _at(shape, location):
            place = _place(member, name)
            if place in texts:
                yield name, json_values.read_text(_kind(member), texts[place], (None, place))


def _payload(member: Shape, body: bytes) -> Any:
    if member.type_name != "blob":
        raise TypeError(f"cannot read a body that is a {member.type_name}")
    return body


def _text(member: Shape, value: Any) -> str:
    _kind(member)
    text = json_values.write(member, value)
    return str(text).lower() if isinstance(text, bool) else str(text)


def _kind(member: Shape) -> str:
    if member.type_name not in _TEXTS:
        raise TypeError(f"cannot put a {member.type_name} into a path, a query or a header")
    return str(member.type_name)


def _in_body(shape: StructureShape) -> dict[str, Shape]:
    return {name: member for name, member in shape.members.items() if "location" not in member.serialization}
