"""The protocols side by side on one endpoint: who is answered how, as raw requests show it."""

import json
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.cloud import Cloud

DEMO = "/aws/service/groundfog/groundfog-demo/latest/x86_64"
TARGET = {"X-Amz-Target": "AmazonSSM.GetParameter"}
FORM = b"Action=DescribeVpcs&Version=2016-11-15"


def send(
    cloud: Cloud, service: str, path: str = "/", body: bytes = b"", method: str = "POST", secret: str = "test",
    **headers: str,
) -> Any:  # fmt: skip
    """Send a signed request; return the reply."""
    asked = AWSRequest(method, f"http://ec2.test{path}", headers=headers, data=body)
    SigV4Auth(Credentials("test", secret), service, "us-east-1").add_auth(asked)
    return cloud.http.open(asked.url, method=method, data=body, headers=list(asked.headers.items()))


def test_each_service_is_answered_in_its_own_protocol(cloud: Cloud) -> None:
    named = json.dumps({"Name": DEMO}).encode()
    answer = send(cloud, "ssm", body=named, **TARGET)
    assert (answer.status_code, answer.content_type) == (200, "application/x-amz-json-1.1")
    assert json.loads(answer.data)["Parameter"]["Name"] == DEMO and answer.headers["x-amzn-requestid"]
    assert send(cloud, "ec2", body=FORM, **TARGET).content_type == "text/xml;charset=UTF-8"


@pytest.mark.parametrize(
    ("target", "method"),
    [("", "POST"), ("GetParameter", "POST"), ("AmazonEC2.GetParameter", "POST"), ("AmazonSSM.", "POST"),
     ("AmazonSSM.get_parameter", "POST"), ("AmazonSSM.DescribeVpcs", "POST"), ("AmazonSSM.GetParameter", "GET")],
)  # fmt: skip
def test_an_action_that_ssm_does_not_have_is_unknown(cloud: Cloud, target: str, method: str) -> None:
    answer = send(cloud, "ssm", body=b"{}", method=method, **{"X-Amz-Target": target})
    assert (answer.status_code, answer.get_json(force=True)["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "SerializationException"), (b"{}", "ValidationException"), (FORM, "SerializationException"),
     (b'{"Name": "/x", "Other": 1}', "ValidationException"), (b'{"Name": ""}', "ValidationException")],
)  # fmt: skip
def test_a_document_that_is_wrong_is_refused(cloud: Cloud, body: bytes, code: str) -> None:
    answer = send(cloud, "ssm", body=body, **TARGET)
    assert (answer.status_code, answer.get_json(force=True)["__type"]) == (400, code)


def test_who_proves_nothing_is_refused_in_the_protocol_that_he_seems_to_speak(cloud: Cloud) -> None:
    unsigned = cloud.http.post("/", data=b"{}", headers=TARGET)
    assert (unsigned.status_code, unsigned.get_json(force=True)["__type"]) == (
        400,
        "MissingAuthenticationTokenException",
    )
    forged = send(cloud, "ssm", body=b"{}", secret="wrong", **TARGET)
    assert (forged.status_code, forged.get_json(force=True)["__type"]) == (400, "InvalidSignatureException")
    elsewhere = cloud.http.get("/snapshots/snap-1/blocks")
    assert elsewhere.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert b"<Code>MissingAuthenticationToken</Code>" in cloud.http.post("/", data=FORM).data


def test_a_service_is_served_at_its_own_paths(cloud: Cloud) -> None:
    lost = send(cloud, "ebs", body=b"{}")
    assert lost.headers["x-amzn-ErrorType"] == "UnknownOperationException"
    assert b"<Code>InvalidAction</Code>" in send(cloud, "ec2", "/snapshots", FORM).data
    assert (
        send(cloud, "ssm", "/snapshots", b"{}", **TARGET).get_json(force=True)["__type"] == "UnknownOperationException"
    )
    assert send(cloud, "ebs", "/nothing").status_code == 404
    strange = send(cloud, "s3", method="GET")
    assert b"<Code>InvalidAction</Code>" in strange.data and strange.status_code == 400
