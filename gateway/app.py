"""The endpoint: the whole life of a request from top to bottom, whichever of AWS's protocols it speaks."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import structlog
from botocore.model import OperationModel
from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

import translators  # noqa: F401  (registers the actions)
from engine.secrets import Vault
from engine.snapshot_blocks import SnapshotBlocks
from engine.state.database import Database
from gateway import dialects, model, policy, rest_dialect, signature, validate, wire
from gateway.credentials import Credentials
from gateway.dialect import Refusal, Reply
from settings import Settings
from translators.errors import Ec2Error
from translators.registry import ACTIONS, Caller, perform, snake

log = structlog.get_logger("groundfog.api")

_GLOBAL = ("sts",)
"""Services whose requests may be signed for a region that is not here: they ask of none."""
_RETRY = "The request could not be answered because of an internal error. It may succeed if it is sent again."


class Endpoint:
    """What the route needs: the database, the keys, and the regions that are served."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        vault: Vault,
        regions: frozenset[str],
        blocks: SnapshotBlocks | None = None,
    ) -> None:
        self.settings, self.database, self.regions, self.blocks = settings, database, regions, blocks
        self.credentials = Credentials(database, vault)

    def answer(self, asked: Request, request_id: str) -> Reply:
        """Authenticate, parse, check, authorize, perform and render one request; raise what went wrong."""
        body = asked.get_data(cache=False)
        signed = signature.verify(
            asked.method, quote(asked.path, safe="/-_.~"), asked.query_string, asked.headers, body,
            self.credentials.secret, datetime.now(UTC),
        )  # fmt: skip
        principal = self.credentials.principal(signed.access_key_id)
        dialect = dialects.SERVED.get(signed.service)
        if dialect is None:
            raise Ec2Error("InvalidAction", f"The service {signed.service} is not served at this endpoint.")
        asked.environ["groundfog.service"] = signed.service
        if signed.service not in _GLOBAL and signed.region not in self.regions:
            raise Ec2Error("AuthFailure", f"Credential should be scoped to a valid region, not '{signed.region}'.", 401)
        if (asked.path == "/") == (signed.service in dialects.REST):
            raise Ec2Error("InvalidAction", f"The service {signed.service} has no action at this path.")
        name, content = dialect.action(signed.service, asked, body)
        operation = _operation(signed.service, name)
        asked.environ["groundfog.action"] = operation.name
        params = dialect.parse(operation, content)
        validate.check(operation, params)
        policy.authorize(principal, f"{signed.service}:{operation.name}", params)
        caller = Caller(principal.account, signed.region, self.database, self.settings, principal.arn, self.blocks)
        return dialect.render(operation, perform(caller, operation.name, params), request_id)

    def refuse(self, asked: Request, error: Exception, request_id: str) -> Reply:
        """Return the reply to a request that ``answer`` raised an error for."""
        service = asked.environ.get("groundfog.service", "")
        dialect = dialects.SERVED[service] if service else dialects.guess(asked)
        return dialect.refuse(service, _refusal(error, request_id), request_id)


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
    blocks: SnapshotBlocks | None = None,
) -> Flask:
    """Return the WSGI application.

    ``reset``, where given, is what POST /_groundfog/reset calls; ``blocks`` are the stores for those who read and write
    what is in snapshots.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.request_limit_kib * 1024
    endpoint = app.extensions["groundfog"] = Endpoint(settings, database, vault, regions, blocks)

    @app.route("/", methods=["GET", "POST"])
    def aws_api(**_: str) -> Response:
        request_id = str(uuid.uuid4())
        try:
            reply = endpoint.answer(request, request_id)
        except Exception as error:
            reply = endpoint.refuse(request, error, request_id)
        headers = {"x-amzn-requestid": request_id, **reply.headers}
        return Response(reply.body, reply.status, content_type=reply.content_type, headers=headers)

    for service in dialects.REST:
        for method, path in rest_dialect.routes(service):
            app.add_url_rule(path, view_func=aws_api, methods=[method])

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


def _refusal(error: Exception, request_id: str) -> Refusal:
    """Return what answers an exception."""
    match error:
        case Ec2Error():
            return Refusal(error.code, str(error), error.status, error.members)
        case wire.WireError() | signature.SignatureError():
            return Refusal(error.code, str(error), error.status)
        case policy.Denied():
            return Refusal("UnauthorizedOperation", str(error), 403)
        case RequestEntityTooLarge():
            return Refusal("RequestEntityTooLarge", "The request body is too large.", 413)
        case HTTPException():
            return Refusal("InvalidRequest", str(error.description), error.code or 400)
    log.error("internal error", exc_info=error, action=request.environ.get("groundfog.action"), request_id=request_id)
    return Refusal("InternalError", _RETRY, 500)
