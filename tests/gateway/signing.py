"""Requests that botocore's own signers signed, as a server sees them, and ways to spoil them."""

import re
from datetime import UTC, datetime
from unittest import mock
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.signature import SignatureError, Signed, verify

KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SECRETS = {KEY: SECRET}.get
NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
FORM = b"Action=DescribeInstances&Version=2016-11-15"
URL = "http://cloud.example:8000/"


def sent(request):
    """What a server sees of a botocore request: the arguments of verify up to the body."""
    parts = urlsplit(request.url)
    headers = [(name, latin(value)) for name, value in request.headers.items()]
    if "host" not in {name.lower() for name, _ in headers}:
        headers.append(("Host", parts.netloc))
    return [request.method, parts.path, parts.query, headers, request.data or b""]


def latin(value):
    return str(value).encode().decode("latin-1")


def sign(signer, request):
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        signer.add_auth(request)
    return sent(request)


def by_header(method="POST", url=URL, body=FORM, headers=(), token=None, service="ec2"):
    request = AWSRequest(method, url, headers=dict(headers), data=body)
    return sign(SigV4Auth(Credentials(KEY, SECRET, token), service, "dc-1"), request)


def by_query(url=f"{URL}?Action=DescribeInstances&Name=a%20b", expires=600, token=None, headers=(), method="GET"):
    request = AWSRequest(method, url, headers=dict(headers))
    return sign(SigV4QueryAuth(Credentials(KEY, SECRET, token), "ec2", "dc-1", expires=expires), request)


def header(arguments, name):
    return next(value for key, value in arguments[3] if key.lower() == name.lower())


def with_header(arguments, name, value):
    others = [(key, text) for key, text in arguments[3] if key.lower() != name.lower()]
    return [*arguments[:3], others + ([(name, value)] if value is not None else []), arguments[4]]


def with_authorization(arguments, old, new):
    text = header(arguments, "Authorization")
    assert re.search(old, text)
    return with_header(arguments, "Authorization", re.sub(old, new, text))


def with_query(arguments, old, new):
    assert re.search(old, arguments[2])
    return [*arguments[:2], re.sub(old, new, arguments[2]), *arguments[3:]]


def refusal(arguments, now=NOW, secret_for=SECRETS):
    with pytest.raises(SignatureError) as caught:
        verify(*arguments, secret_for, now)
    return caught.value.code, caught.value.status


GOOD = Signed(KEY, "20240102", "dc-1", "ec2")
MISMATCH = ("SignatureDoesNotMatch", 403)
INCOMPLETE = ("IncompleteSignature", 400)
EXPIRED = ("RequestExpired", 400)
