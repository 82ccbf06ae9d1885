"""The endpoint: one route, and the whole life of a request from top to bottom."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from botocore.model import OperationModel
from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

import translators  # noqa: F401  (registers the actions)
from engine.secrets import Vault
from engine.state.database import Database
from gateway import model, policy, signature, validate, wire
from gateway.credentials import Credentials
from settings import Settings
from translators.errors import Ec2Error
from translators.registry import ACTIONS, Caller, perform, snake

log = structlog.get_logger("groundfog.api")

_SERVED = {"ec2": "ec2", "sts": "query"}
_RETRY = "The request could not be answered because of an internal error. It may succeed if it is sent again."


class Endpoint:
    """What the route needs: the database, the keys, and the regions that are served."""

    def __init__(self, settings: Settings, database: Database, vault: Vault, regions: frozenset[str]) -> None:
        self.settings, self.database, self.regions = settings, database, regions
        self.credentials = Credentials(database, vault)

    def answer(self, asked: Request, request_id: str) -> bytes:
        """Authenticate, parse, check, authorize, perform and render one request; raise what went wrong."""
        body = asked.get_data(cache=False)
        query = asked.query_string
        signed = signature.verify(
            asked.method, asked.path, query, asked.headers, body, self.credentials.secret, datetime.now(UTC)
        )
        principal = self.credentials.principal(signed.access_key_id)
        if signed.service not in _SERVED:
            raise Ec2Error("InvalidAction", f"The service {signed.service} is not served at this endpoint.")
        asked.environ["groundfog.protocol"] = _SERVED[signed.service]
        if signed.service == "ec2" and signed.region not in self.regions:
            raise Ec2Error("AuthFailure", f"Credential should be scoped to a valid region, not '{signed.region}'.", 401)
        fields = wire.decode(b"&".join(part for part in (query, body) if part))
        operation = _operation(signed.service, fields.get("Action", ""))
        asked.environ["groundfog.action"] = operation.name
        params = wire.parse(operation, fields)
        validate.check(operation, params)
        policy.authorize(principal, f"{signed.service}:{operation.name}", params)
        caller = Caller(principal.account, signed.region, self.database, self.settings, principal.arn)
        return wire.render(operation, perform(caller, operation.name, params), request_id)


def _operation(service: str, name: str) -> OperationModel:
    if not name:
        raise Ec2Error("MissingAction", "The request is missing an action or a required parameter: Action")
    operation = model.operation(service, name)
    if operation is None:
        raise Ec2Error("InvalidAction", f"The action {name} is not valid for this web service.")
    if snake(name) not in ACTIONS:
        raise Ec2Error("InvalidAction", f"The action {name} is not implemented by this deployment of Groundfog.")
    return operation


def create_app(
    settings: Settings,
    database: Database,
    vault: Vault,
    regions: frozenset[str],
    reset: Callable[[], None] | None = None,
) -> Flask:
    """Return the WSGI application. ``reset``, where given, is what POST /_groundfog/reset calls."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.request_limit_kib * 1024
    endpoint = app.extensions["groundfog"] = Endpoint(settings, database, vault, regions)

    @app.route("/", methods=["GET", "POST"])
    def query_api() -> Response:
        request_id = str(uuid.uuid4())
        try:
            body, status = endpoint.answer(request, request_id), 200
        except Exception as error:
            code, message, status = _refusal(error, request_id)
            body = wire.render_error(request.environ.get("groundfog.protocol", "ec2"), code, message, request_id)
        return Response(body, status, content_type="text/xml;charset=UTF-8", headers={"x-amzn-requestid": request_id})

    @app.get("/_groundfog/health")
    def health() -> tuple[dict[str, str], int]:
        return {"status": "ok"}, 200

    @app.post("/_groundfog/reset")
    def reset_deployment() -> tuple[dict[str, str], int]:
        if reset is None:
            return {"error": "cannot reset: start a simulated deployment with --allow-reset"}, 403
        reset()
        endpoint.credentials.forget()
        return {"status": "reset"}, 200

    return app


def _refusal(error: Exception, request_id: str) -> tuple[str, str, int]:
    """Return the code, message and HTTP status that answer an exception."""
    match error:
        case Ec2Error() | wire.WireError() | signature.SignatureError():
            return error.code, str(error), error.status
        case policy.Denied():
            return "UnauthorizedOperation", str(error), 403
        case RequestEntityTooLarge():
            return "RequestEntityTooLarge", "The request body is too large.", 413
        case HTTPException():
            return "InvalidRequest", str(error.description), error.code or 400
    log.error("internal error", exc_info=error, action=request.environ.get("groundfog.action"), request_id=request_id)
    return "InternalError", _RETRY, 500
