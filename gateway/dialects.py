"""Which service speaks which of AWS's protocols here, and which one a stranger's request seems to speak."""

from flask import Request

from gateway.dialect import Dialect
from gateway.form_dialects import Form
from gateway.json_dialect import TARGET, Json
from gateway.rest_dialect import RestJson

_EC2 = Form("ec2")

SERVED: dict[str, Dialect] = {"ec2": _EC2, "sts": Form("query"), "ssm": Json(), "ebs": RestJson()}
"""By the name of the service that a request is signed for."""
REST = ("ebs",)
"""The services whose actions have paths of their own."""


def guess(asked: Request) -> Dialect:
    """Return the dialect of a request of which nobody knows yet for what service it is signed."""
    if asked.path != "/":
        return SERVED["ebs"]
    return SERVED["ssm"] if TARGET in asked.headers else _EC2
