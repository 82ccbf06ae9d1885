"""The json protocol (AWS JSON 1.1): the action in a header, a JSON object each way."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel
from flask import Request

from gateway import json_errors, json_values, model
from gateway.dialect import Refusal, Reply

TARGET = "X-Amz-Target"
_JSON = "application/x-amz-json-1.1"


class Json:
    def action(self, service: str, asked: Request, body: bytes) -> tuple[str, Any]:
        prefix, _, name = asked.headers.get(TARGET, "").rpartition(".")
        ours = prefix == model.service(service).metadata["targetPrefix"] and asked.method == "POST"
        return (name if ours else ""), body

    def parse(self, operation: OperationModel, content: Any) -> dict[str, Any]:
        shape = operation.input_shape
        return json_values.parameters(shape.members if shape is not None else {}, content)

    def render(self, operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Reply:
        shape = operation.output_shape
        members = shape.members if shape is not None else {}
        return Reply(encode(json_values.write_members(f"{operation.name}'s result", members, result)), _JSON)

    def refuse(self, service: str, refusal: Refusal, request_id: str) -> Reply:
        said = json_errors.in_words_of(service, refusal)
        message = json_errors.message_member(service, said.code)
        return Reply(encode({"__type": said.code, message: said.message, **said.members}), _JSON, said.status)


def encode(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()
