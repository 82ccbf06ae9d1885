"""Which EC2 actions exist, and the one way to perform them.

``@action`` on ``run_instances`` makes it RunInstances. The keyword arguments a function names are the parameters
we support; any other is refused. A function whose name begins with ``describe_``, ``get_`` or ``list_`` cannot write.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from botocore import xform_name
from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from engine.snapshot_blocks import SnapshotBlocks
from engine.state import Replay
from engine.state.database import Database
from engine.state.prepared import Prepared, put
from settings import Settings
from translators.errors import Ec2Error, unsupported

Result = Mapping[str, Any]
Function = Callable[..., Result | None]

ACTIONS: dict[str, Function] = {}
_PARAMETERS: dict[str, frozenset[str]] = {}
_READS = ("describe_", "get_", "list_")
_TRIES = 6


@dataclass(frozen=True, slots=True)
class Call:
    """Who is asking, where, and the transaction the answer is made in."""

    account: str
    region: str
    db: Session
    settings: Settings
    client_token: str = ""
    principal: str = ""
    writes: bool = False
    blocks: SnapshotBlocks | None = None
    """The stores, for the actions that read and write what is in snapshots."""

    @property
    def owner(self) -> dict[str, str]:
        """What a new row says of whose it is."""
        return {"account": self.account, "region": self.region}


def action(function: Function) -> Function:
    name = function.__name__
    ACTIONS[name] = function
    signature = inspect.signature(function).parameters.values()
    _PARAMETERS[name] = frozenset(p.name for p in signature if p.kind is p.KEYWORD_ONLY)
    return function


@cache
def snake(name: str) -> str:
    """Return the Python name of an EC2 action or parameter: RunInstances is run_instances."""
    return str(xform_name(name))


def parameters(name: str) -> frozenset[str]:
    """Return the parameters that the action honours, in Python's spelling."""
    return _PARAMETERS[name]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, of which region, with what settings; the same for every try of a call."""

    account: str
    region: str
    database: Database
    settings: Settings
    principal: str = ""
    blocks: SnapshotBlocks | None = None


def perform(caller: Caller, name: str, params: dict[str, Any]) -> Result:
    """Perform one action in one transaction; a dry run is the same, rolled back."""
    python_name = snake(name)
    function, supported = ACTIONS[python_name], _PARAMETERS[python_name]
    dry_run = params.pop("DryRun", False)
    token = params.pop("ClientToken", "")
    arguments = {snake(k): v for k, v in params.items()}
    for key in params:
        if snake(key) not in supported:
            raise unsupported(key)
    if python_name.startswith(_READS):
        return _read(caller, function, arguments, dry_run)
    for attempt in range(_TRIES):
        try:
            return _write(caller, name, function, arguments, dry_run, token)
        except (IntegrityError, OperationalError) as error:
            # Somebody else took the address, the name or the token first, or PostgreSQL broke a deadlock:
            # the same call, begun again, sees what they did and finds another way or says why not.
            if attempt == _TRIES - 1 or _is_fatal(error):
                raise
    raise AssertionError("unreachable")


def _is_fatal(error: IntegrityError | OperationalError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, OperationalError) and state not in ("40001", "40P01")


def _read(caller: Caller, function: Function, arguments: dict[str, Any], dry_run: bool) -> Result:
    with caller.database.read() as db:
        result = function(_call(caller, db), **arguments) or {}
    if dry_run:
        raise _dry_run()
    return result


_EARLIER = Prepared(
    select(Replay.request, Replay.result).where(
        *(getattr(Replay, column) == bindparam(column) for column in ("account", "region", "action", "token"))
    )
)


def _write(
    caller: Caller, name: str, function: Function, arguments: dict[str, Any], dry_run: bool, token: str
) -> Result:
    with caller.database.write() as db:
        asked = {"account": caller.account, "region": caller.region, "action": name, "token": token}
        earlier = _EARLIER.first(db, **asked) if token else None
        fingerprint = _fingerprint(arguments) if token else ""
        if earlier and not dry_run:
            if earlier.request != fingerprint:
                raise Ec2Error("IdempotentParameterMismatch", "The client token was used with other parameters.")
            return cast(Result, json.loads(earlier.result))
        result = function(_call(caller, db, token, writes=True), **arguments) or {}
        db.flush()
        if dry_run:
            raise _dry_run()
        if token:
            put(db, Replay, **asked, request=fingerprint, result=json.dumps(result))
    return result


def _call(caller: Caller, db: Session, token: str = "", writes: bool = False) -> Call:
    return Call(caller.account, caller.region, db, caller.settings, token, caller.principal, writes, caller.blocks)


def _dry_run() -> Ec2Error:
    return Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def _fingerprint(arguments: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, default=repr).encode()).hexdigest()
