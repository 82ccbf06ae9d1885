"""Errors of the services that speak JSON: the codes they have instead of EC2's, and their shapes.

Source: "Common error types" of the SSM and EBS direct API references, and the error shapes of their models.
"""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus

from botocore.model import StructureShape

from gateway import model
from gateway.dialect import Refusal

_CODES = {
    "AuthFailure": "UnrecognizedClientException",
    "AuthorizationQueryParametersError": "IncompleteSignatureException",
    "IdempotentParameterMismatch": "ConflictException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidAction": "UnknownOperationException",
    "InvalidParameterCombination": "ValidationException",
    "InvalidParameterValue": "ValidationException",
    "MissingAction": "UnknownOperationException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "MissingParameter": "ValidationException",
    "RequestEntityTooLarge": "ValidationException",
    "RequestExpired": "InvalidSignatureException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "UnauthorizedOperation": "AccessDeniedException",
    "UnknownParameter": "ValidationException",
    "UnsupportedOperation": "ValidationException",
    "XAmzContentSHA256Mismatch": "InvalidSignatureException",
}
"""What JSON services call what the gateway, or an action that EC2 shares, calls by EC2's name."""
_REASONS = {"AccessDeniedException": "UNAUTHORIZED_ACCOUNT", "ValidationException": "INVALID_PARAMETER_VALUE"}
"""The reasons of errors that nobody gave one, where the error's shape has such a member."""


def in_words_of(service: str, refusal: Refusal) -> Refusal:
    """Return a refusal with the code, HTTP status and members that clients of a JSON service expect."""
    shapes = _error_shapes(service)
    fault = next((name for name, (_, is_fault, _) in shapes.items() if is_fault), "InternalFailure")
    code = fault if refusal.code == "InternalError" else _CODES.get(refusal.code, refusal.code)
    if code not in shapes:
        return Refusal(code, refusal.message, _plain_status(refusal.status), {})
    members, is_fault, status = shapes[code]
    given = dict(refusal.members)
    if "Reason" in members and code in _REASONS:
        given.setdefault("Reason", _REASONS[code])
    return Refusal(code, refusal.message, status or (500 if is_fault else HTTPStatus.BAD_REQUEST), given)


def message_member(service: str, code: str) -> str:
    """Return what an error's shape calls its message: the services differ in the capital."""
    members = _error_shapes(service).get(code, ((), False, None))[0]
    return next((name for name in members if name.lower() == "message"), "message")


def _plain_status(status: int) -> int:
    """JSON services say 400 where EC2 says 401 or 403, for whatever has no status of its own in the model."""
    return HTTPStatus.BAD_REQUEST if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else status


@cache
def _error_shapes(service: str) -> Mapping[str, tuple[tuple[str, ...], bool, int | None]]:
    """Return the members, whether it is the service's own fault, and the HTTP status of each error of a service."""
    if not service:
        return {}
    return {
        shape.name: (
            tuple(shape.members),
            shape.name.startswith("Internal"),  # what the model says of it, botocore does not pass on
            shape.metadata.get("error", {}).get("httpStatusCode"),
        )
        for shape in model.service(service).error_shapes
        if isinstance(shape, StructureShape)
    }
