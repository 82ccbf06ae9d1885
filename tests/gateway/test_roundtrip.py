"""For every action: botocore's client -> our parse, and our render -> botocore's client."""

from datetime import UTC, datetime

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from gateway import model, validate, wire
from gateway.signature import SignatureError

TEXT = "x&<>\"'\r\n\t\u00e9\u4e16\U0001f600"


def sample(shape, text=None):
    """A value with every member, and two entries in each list that may have two; valid unless `text` is not."""
    if shape.type_name == "structure":
        return {name: sample(member, text) for name, member in shape.members.items()}
    if shape.type_name == "list":
        count = min(max(2, shape.metadata.get("min", 0)), shape.metadata.get("max", 2))
        return [sample(shape.member, text) for _ in range(count)]
    if shape.type_name == "map":
        return {sample(shape.key, text): sample(shape.value, text)}
    if shape.type_name == "string":
        if text is not None and not shape.enum:
            return text
        return shape.enum[0] if shape.enum else matching(shape)
    return {
        "integer": int(shape.metadata.get("min", 7)),
        "long": int(shape.metadata.get("min", 2**40)),
        "double": float(shape.metadata.get("min", 1.5)),
        "float": 1.5,
        "boolean": True,
        "timestamp": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "blob": b"\x00hi\xff",
    }[shape.type_name]


KNOWN = {
    "AccountID": "000000000001",
    "ComponentAccount": "000000000001",
    "ComponentRegion": "us-east-1",
    "FlexCostAllocationPolicyId": "fcap-0123456789abcdef0",
    "FlexCostAllocationPolicyAssociationId": "fcapassoc-0123456789abcdef0",
    "IpAddress": "10.0.0.1",
    "OutpostArn": "arn:aws:outposts:us-east-1:000000000001:outpost/op-0123456789abcdef0",
    "SecretArn": "arn:aws:secretsmanager:us-east-1:000000000001:secret:x",
}


def matching(shape):
    return KNOWN.get(shape.name, "x" * max(1, int(shape.metadata.get("min", 1))))


def fields_of(operation, params):
    serializer = create_serializer(operation.service_model.metadata["protocol"], include_validation=False)
    body = serializer.serialize_to_request(params, operation)["body"]
    # What the HTTP client does to the values that the serializer leaves as they are.
    return {name: value if isinstance(value, str) else str(value) for name, value in body.items()}


def read_by_client(operation, document):
    parser = create_parser(operation.service_model.metadata["protocol"])
    result = parser.parse({"body": document, "status_code": 200, "headers": {}}, operation.output_shape)
    assert result.pop("ResponseMetadata")["RequestId"] == "r-1"
    return result


EC2 = [model.operation("ec2", name) for name in model.service("ec2").operation_names]
STS = [model.operation("sts", name) for name in model.service("sts").operation_names]
ALL = [pytest.param(operation, id=operation.name) for operation in EC2 + STS]


@pytest.mark.parametrize("operation", ALL)
def test_what_the_client_sends_is_what_is_parsed(operation):
    for params in (sample(operation.input_shape), sample(operation.input_shape, TEXT)):
        assert wire.parse(operation, fields_of(operation, params)) == params


@pytest.mark.parametrize("operation", EC2, ids=lambda operation: operation.name)
def test_a_request_with_valid_values_passes_the_checks(operation):
    validate.check(operation, sample(operation.input_shape))


@pytest.mark.parametrize("operation", ALL)
def test_what_is_rendered_is_what_the_client_reads(operation):
    shape = operation.output_shape
    for result in ({}, sample(shape), sample(shape, TEXT)) if shape is not None else ({},):
        assert read_by_client(operation, wire.render(operation, result, "r-1")) == result


@pytest.mark.parametrize("protocol", ["ec2", "query"])
@pytest.mark.parametrize("error", [wire.WireError("A.B", TEXT), SignatureError("A.B", TEXT, 403)])
def test_an_error_is_what_the_client_reads(protocol, error):
    document = wire.render_error(protocol, error.code, error.message, "r-1")
    parsed = create_parser(protocol).parse({"body": document, "status_code": error.status, "headers": {}}, None)
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == ("A.B", TEXT)
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"
    assert parsed["Error"].get("Type") == (None if protocol == "ec2" else "Sender")
