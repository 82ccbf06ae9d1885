"""The ec2 and query protocols: form fields in, XML out (see ``wire``)."""

from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel
from flask import Request

from gateway import wire
from gateway.dialect import Refusal, Reply

_XML = "text/xml;charset=UTF-8"


class Form:
    """``protocol`` is the model's name for it: ec2 or query."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol

    def action(self, service: str, asked: Request, body: bytes) -> tuple[str, Any]:
        fields = wire.decode(b"&".join(part for part in (asked.query_string, body) if part))
        return fields.get("Action", ""), fields

    def parse(self, operation: OperationModel, content: Any) -> dict[str, Any]:
        return wire.parse(operation, content)

    def render(self, operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Reply:
        return Reply(wire.render(operation, result, request_id), _XML)

    def refuse(self, service: str, refusal: Refusal, request_id: str) -> Reply:
        body = wire.render_error(self._protocol, refusal.code, refusal.message, request_id)
        return Reply(body, _XML, refusal.status)
