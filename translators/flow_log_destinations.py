"""Where a flow log's lines go and what they consist of, as CreateFlowLogs is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from engine.flow_logs.fields import DEFAULT, VERSIONS, fields_of
from translators.errors import invalid, refuse, unsupported
from translators.registry import Call

_LONGEST = 255
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")
_GROUP_NAME = r"[.\-_/#A-Za-z0-9]{1,512}"
_GROUP = re.compile(rf"arn:aws[a-z-]*:logs:([a-z0-9-]+):(\d{{12}}):log-group:({_GROUP_NAME})(:\*)?")
_BUCKET = re.compile(r"arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/.*)?")


@dataclass(frozen=True)
class Asked:
    """The parameters of a request that are of the destination."""

    kind: str
    destination: str | None
    group: str | None
    role: str | None
    options: Mapping[str, Any] | None


def line_format(text: str | None) -> str:
    """Return the format of a log's lines: the one asked for, or that of version 2."""
    if text is None:
        return DEFAULT
    try:
        fields = fields_of(text)
    except ValueError:
        reason = f"1 validation error detected: Value '{text}' at 'logFormat' has an invalid format"
        refuse("InvalidParameterValue", reason)
    unknown = [field for field in fields if field not in VERSIONS]
    if unknown:
        refuse("InvalidParameter", f"Unknown fields provided: {', '.join(unknown)}")
    if len(set(fields)) < len(fields):
        refuse("InvalidParameter", "Duplicate fields provided in LogFormat.")
    return text


def destination(call: Call, asked: Asked) -> dict[str, Any]:
    """Return the columns of a log that say where its lines go; refuse what EC2 does, and what there is not."""
    if asked.kind not in ("cloud-watch-logs", "s3"):
        raise unsupported("LogDestinationType", "Lines go to 'cloud-watch-logs' or 's3'.")
    if not asked.destination and not asked.group:
        refuse("InvalidParameter", "LogDestination can't be empty if LogGroupName is not provided.")
    if asked.destination and asked.group:
        refuse("InvalidParameter", "Please only provide LogGroupName or only provide LogDestination.")
    if len(asked.destination or asked.group or "") > _LONGEST:
        raise invalid("LogDestination" if asked.destination else "LogGroupName", "...", "It is too long.")
    return _bucket(call, asked) if asked.kind == "s3" else _log_group(call, asked)


def _bucket(call: Call, asked: Asked) -> dict[str, Any]:
    if asked.destination is None:
        refuse("InvalidParameter", "LogDestination type must be cloud-watch-logs if LogGroupName is provided.")
    if asked.role:
        refuse("InvalidParameter", "DeliverLogsPermissionArn is not applicable for s3 delivery")
    found = _BUCKET.fullmatch(asked.destination)
    if found is None:
        _no_destination(asked.destination, "bucket")
    if "AWSLogs" in (found[2] or "").split("/"):
        _no_destination(asked.destination, "bucket", "AWSLogs is a reserved term.")
    if not call.settings.flow_log_store:
        raise unsupported("LogDestinationType", "This deployment has no store for 's3': flow_log_store is not set.")
    options = asked.options or {}
    if options.get("FileFormat", "plain-text") != "plain-text":
        raise unsupported("DestinationOptions.FileFormat", "The only format is 'plain-text'.")
    return {
        "destination_type": asked.kind,
        "destination": asked.destination,
        "log_group": "",
        "role_arn": "",
        "file_format": "plain-text",
        "hive_partitions": options.get("HiveCompatiblePartitions", False),
        "hourly_partitions": options.get("PerHourPartition", False),
    }


def _log_group(call: Call, asked: Asked) -> dict[str, Any]:
    if not asked.role:
        reason = "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs."
        refuse("InvalidParameter", reason)
    if not _ROLE.fullmatch(asked.role) or len(asked.role) > _LONGEST:
        raise invalid("DeliverLogsPermissionArn", asked.role, "It is not the ARN of an IAM role.")
    if asked.options:
        refuse("InvalidParameter", "DestinationOptions is only applicable for s3 delivery")
    return {
        "destination_type": asked.kind,
        "destination": asked.destination or "",
        "log_group": _group_name(call, asked),
        "role_arn": asked.role,
    }


def _group_name(call: Call, asked: Asked) -> str:
    if asked.group:
        if not re.fullmatch(_GROUP_NAME, asked.group):
            raise invalid("LogGroupName", asked.group)
        return asked.group
    found = _GROUP.fullmatch(asked.destination or "")
    if found is None:
        _no_destination(asked.destination, "log group")
    if (found[1], found[2]) != (call.region, call.account):
        _no_destination(asked.destination, "log group", "It must be in the same account and Region as the flow log.")
    return found[3]


def _no_destination(text: str | None, kind: str, why: str = "") -> NoReturn:
    raise invalid("LogDestination", text, why or f"It is not the ARN of a {kind}.")
