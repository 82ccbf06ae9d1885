"""JSON both ways: botocore's client -> our parse, our render -> botocore's client, and what neither would send."""

from datetime import UTC, datetime

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from flask import Flask, request
from werkzeug.test import EnvironBuilder

from gateway import json_values, model, rest_dialect
from gateway.dialect import Refusal
from gateway.json_dialect import Json
from gateway.parse import WireError
from gateway.render import Mismatch
from gateway.rest_dialect import RestJson
from tests.gateway.test_roundtrip import TEXT

SSM = [model.operation("ssm", name) for name in model.service("ssm").operation_names]
EBS = [model.operation("ebs", name) for name in model.service("ebs").operation_names]
REASON = b'{"Message":"x","Reason":"%s"}'
GET = model.operation("ssm", "GetParametersByPath")
INTERNAL = Refusal("InternalError", "Again.", 500)


def named(operations):
    return [pytest.param(operation, id=operation.name) for operation in operations]


def sample(shape, depth=5):
    """A value with every member, down to a depth: some structures contain themselves."""
    if shape.type_name == "structure":
        members = list(shape.members.items())[: 1 if shape.metadata.get("union") else None]
        return {name: sample(member, depth - 1) for name, member in members} if depth else {}
    if shape.type_name == "list":
        return [sample(shape.member, depth - 1) for _ in range(2)] if depth else []
    if shape.type_name == "map":
        return {sample(shape.key, 1): sample(shape.value, depth - 1)} if depth else {}
    return {
        "string": TEXT,
        "integer": 7,
        "long": 2**40,
        "double": 1.5,
        "float": 1.5,
        "boolean": True,
        "timestamp": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "blob": b"\x00hi\xff",
    }[shape.type_name]


def read_by_client(operation, reply):
    parser = create_parser(operation.service_model.metadata["protocol"])
    document = {"body": reply.body, "status_code": reply.status, "headers": reply.headers}
    result = parser.parse(document, operation.output_shape)
    result.pop("ResponseMetadata")
    return result


@pytest.mark.parametrize("operation", named(SSM))
def test_what_the_client_sends_is_what_is_parsed(operation):
    params = sample(operation.input_shape) if operation.input_shape else {}
    sent = create_serializer("json", include_validation=False).serialize_to_request(params, operation)
    assert sent["headers"]["X-Amz-Target"] == f"AmazonSSM.{operation.name}"
    assert Json().parse(operation, sent["body"]) == params


@pytest.mark.parametrize("operation", named(SSM))
def test_what_is_rendered_is_what_the_client_reads(operation):
    result = sample(operation.output_shape) if operation.output_shape else {}
    assert read_by_client(operation, Json().render(operation, result, "r-1")) == result


def rest_sample(shape):
    """What fits into headers and paths is plain."""
    located = {name for name, member in shape.members.items() if "location" in member.serialization}
    return {
        name: "plain" if name in located and member.type_name == "string" else sample(member)
        for name, member in shape.members.items()
    }


@pytest.mark.parametrize("operation", named(EBS))
def test_what_the_client_sends_to_a_path_is_what_is_parsed(operation):
    app, params = Flask("rest"), rest_sample(operation.input_shape)
    for method, path in rest_dialect.routes("ebs"):
        app.add_url_rule(path, f"{method} {path}", methods=[method])
    sent = create_serializer("rest-json", include_validation=False).serialize_to_request(params, operation)
    builder = EnvironBuilder(
        sent["url_path"], method=sent["method"], query_string=sent["query_string"], headers=sent["headers"],
        data=sent["body"],
    )  # fmt: skip
    with app.request_context(builder.get_environ()):
        name, content = RestJson().action("ebs", request, request.get_data())
    assert name == operation.name
    assert RestJson().parse(operation, content) == params


@pytest.mark.parametrize("operation", named(EBS))
def test_what_is_rendered_of_a_path_is_what_the_client_reads(operation):
    result = rest_sample(operation.output_shape)
    reply = RestJson().render(operation, result, "r-1")
    assert reply.status == operation.http.get("responseCode", 200)
    if operation.output_shape.serialization.get("payload"):
        headers = {name.lower(): value for name, value in reply.headers.items()}
        assert headers == {
            "x-amz-data-length": "7", "x-amz-checksum": "plain", "x-amz-checksum-algorithm": "plain"
        }  # fmt: skip
        assert (reply.body, reply.content_type) == (result["BlockData"], "application/octet-stream")
    else:
        assert read_by_client(operation, reply) == result


def test_a_result_that_the_model_lacks_is_a_mistake():
    block = model.operation("ebs", "GetSnapshotBlock")
    for operation, result in (
        (GET, {"Nonsense": 1}),
        (GET, {"NextToken": 1}),
        (GET, {"NextToken": b"x"}),
        (GET, {"Parameters": "x"}),
        (GET, {"Parameters": [{"Version": True}]}),
        (GET, {"Parameters": ["x"]}),
    ):
        with pytest.raises(Mismatch):
            Json().render(operation, result, "r")
    with pytest.raises(Mismatch, match="Nonsense"):
        RestJson().render(block, {"BlockData": b"", "Nonsense": 1}, "r")
    assert Json().render(GET, {"NextToken": None}, "r").body == b"{}"


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"1", b'"x"', b'{"Path":"\xff"}', b'{"Path":"/","Path":"/"}', b'{"MaxResults":NaN}', b"{'a':1}",
        b'{"Path":' * 5000, b'{"Path":' + b"[" * 100_000, b'{"Path":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(body):
    with pytest.raises(WireError) as caught:
        Json().parse(GET, body)
    assert caught.value.code in ("SerializationException", "InvalidParameterValue")


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ('{"Nonsense": 1}', "UnknownParameter", "Nonsense"),
        ('{"ParameterFilters": [{"Key": "Type", "Nonsense": 1}]}', "UnknownParameter", "ParameterFilters.1.Nonsense"),
        ('{"Path": 1}', "InvalidParameterValue", "Path is invalid"),
        ('{"Path": "\\ud800"}', "InvalidParameterValue", "surrogate"),
        ('{"Recursive": "true"}', "InvalidParameterValue", "true or false"),
        ('{"MaxResults": true}', "InvalidParameterValue", "integer"),
        ('{"MaxResults": 1.0}', "InvalidParameterValue", "integer"),
        ('{"MaxResults": 99999999999}', "InvalidParameterValue", "integer"),
        ('{"ParameterFilters": {}}', "InvalidParameterValue", "A list"),
        ('{"ParameterFilters": ["x"]}', "InvalidParameterValue", "A structure"),
        ('{"ParameterFilters": [' + "{}," * 1000 + "{}]}", "InvalidParameterValue", "more than 1000"),
    ],
)
def test_a_value_of_another_kind_is_refused(body, code, text):
    with pytest.raises(WireError) as caught:
        Json().parse(GET, body.encode())
    assert caught.value.code == code and text in caught.value.message


def test_null_is_as_good_as_absent_and_a_body_may_be_empty():
    assert Json().parse(GET, b'{"Path": null}') == Json().parse(GET, b"") == {}


@pytest.mark.parametrize("text", ["1704164645", "1704164645.0", '"2024-01-02T03:04:05Z"'])
def test_a_time_may_be_seconds_or_text(text):
    shape = model.service("ssm").shape_for("DateTime")
    moment = json_values.read(shape, json_values.decode(f'{{"t":{text}}}'.encode())["t"], None)
    assert moment == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json_values.write(shape, moment) == json_values.write(shape, "2024-01-02T03:04:05.000Z") == 1704164645


@pytest.mark.parametrize("text", ["1e300", "1e999", '"x"', "true", "99999999999999999"])
def test_a_time_that_cannot_be_is_refused(text):
    shape = model.service("ssm").shape_for("DateTime")
    with pytest.raises(WireError):
        json_values.read(shape, json_values.decode(f'{{"t":{text}}}'.encode())["t"], None)


@pytest.mark.parametrize(
    ("dialect", "service", "refusal", "status", "body"),
    [
        (Json(), "ssm", Refusal("ParameterNotFound", "x", 400), 400, b'{"__type":"ParameterNotFound","message":"x"}'),
        (Json(), "ssm", Refusal("InvalidNextToken", "x", 400), 400, b'{"__type":"InvalidNextToken","Message":"x"}'),
        (Json(), "ssm", Refusal("AuthFailure", "", 401), 400, b'{"__type":"UnrecognizedClientException","message":""}'),
        (Json(), "ssm", INTERNAL, 500, b'{"__type":"InternalServerError","Message":"Again."}'),
        (Json(), "", INTERNAL, 500, b'{"__type":"InternalFailure","message":"Again."}'),
        (RestJson(), "ebs", INTERNAL, 500, b'{"Message":"Again."}'),
        (RestJson(), "ebs", Refusal("MissingParameter", "x", 400), 400, REASON % b"INVALID_PARAMETER_VALUE"),
        (RestJson(), "ebs", Refusal("ResourceNotFoundException", "x", 400, {"Reason": "SNAPSHOT_NOT_FOUND"}), 404,
         REASON % b"SNAPSHOT_NOT_FOUND"),
        (RestJson(), "ebs", Refusal("UnauthorizedOperation", "x", 403), 403, REASON % b"UNAUTHORIZED_ACCOUNT"),
    ],
)  # fmt: skip
def test_an_error_is_exactly_this(dialect, service, refusal, status, body):
    reply = dialect.refuse(service, refusal, "r-1")
    assert (reply.status, reply.body) == (status, body)
