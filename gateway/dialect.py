"""What the endpoint must know of each of AWS's protocols to serve it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.model import OperationModel
from flask import Request


@dataclass(frozen=True)
class Reply:
    """What is sent back, but for the request's id."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: in EC2's words, unless an action chose its own service's."""

    code: str
    message: str
    status: int
    members: Mapping[str, str] = field(default_factory=dict)
    """What else the error says: members of its shape."""


class Dialect(Protocol):
    """One of AWS's protocols."""

    def action(self, service: str, asked: Request, body: bytes) -> tuple[str, Any]:
        """Return the name of the action that is asked for, or "", and the request as ``parse`` takes it."""
        ...

    def parse(self, operation: OperationModel, content: Any) -> dict[str, Any]:
        """Return the parameters under the model's member names; raise WireError for what the model lacks."""
        ...

    def render(self, operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Reply:
        """Return the reply to a call that succeeded; raise Mismatch (TypeError) for a result the model lacks."""
        ...

    def refuse(self, service: str, refusal: Refusal, request_id: str) -> Reply:
        """Return the reply to a call that failed; ``service`` is empty where nobody knows what was asked for."""
        ...
