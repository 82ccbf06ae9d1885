"""Flow logs: which packets of a VPC, a subnet or an interface are written down, and where."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, select

from engine import tasks
from engine.state import FlowLog, NetworkInterface, Resource, Subnet, Vpc
from translators import tags
from translators.describe import Listing, describe, tag_set, tags_of
from translators.errors import Ec2Error, missing, refuse, unsupported
from translators.find import find, find_all
from translators.flow_log_destinations import Asked, destination, line_format
from translators.quotas import check_quota
from translators.registry import Call, Result, action

_RESOURCES: dict[str, type[Resource]] = {"VPC": Vpc, "Subnet": Subnet, "NetworkInterface": NetworkInterface}
_INTERVALS = (60, 600)
_MOST_RESOURCES = 300
_status = case((FlowLog.error == "", "SUCCESS"), else_="FAILED")


def _shape(row: Any) -> dict[str, Any]:
    options = {
        "FileFormat": row.file_format,
        "HiveCompatiblePartitions": row.hive_partitions,
        "PerHourPartition": row.hourly_partitions,
    }
    return {
        "FlowLogId": row.id,
        "CreationTime": row.created,
        "FlowLogStatus": "ACTIVE",
        "ResourceId": row.resource_id,
        "TrafficType": row.traffic_type,
        "DeliverLogsStatus": row.status,
        "DeliverLogsErrorMessage": row.error or None,
        "DeliverLogsPermissionArn": row.role_arn or None,
        "LogDestinationType": row.destination_type,
        "LogDestination": row.destination or None,
        "LogGroupName": row.log_group or None,
        "LogFormat": row.line_format,
        "MaxAggregationInterval": row.interval,
        "DestinationOptions": options if row.destination_type == "s3" else None,
        "Tags": tag_set(row.tags) or [],
    }


FLOW_LOGS = Listing(
    kind=FlowLog,
    columns=(
        FlowLog.id, FlowLog.created, FlowLog.resource_id, FlowLog.traffic_type, FlowLog.error, FlowLog.role_arn,
        FlowLog.destination_type, FlowLog.destination, FlowLog.log_group, FlowLog.line_format, FlowLog.interval,
        FlowLog.file_format, FlowLog.hive_partitions, FlowLog.hourly_partitions, _status.label("status"),
        tags_of(FlowLog),
    ),
    shape=_shape,
    filters={
        "deliver-log-status": _status,
        "flow-log-id": FlowLog.id,
        "log-destination-type": FlowLog.destination_type,
        "log-group-name": FlowLog.log_group,
        "resource-id": FlowLog.resource_id,
        "traffic-type": FlowLog.traffic_type,
    },
)  # fmt: skip


@action
def describe_flow_logs(
    call: Call,
    *,
    flow_log_ids: list[str] | None = None,
    filter: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    found, token = describe(call, FLOW_LOGS, flow_log_ids, filter, max_results, next_token)
    return {"FlowLogs": found, "NextToken": token}


@action
def create_flow_logs(
    call: Call,
    *,
    resource_ids: list[str],
    resource_type: str,
    traffic_type: str | None = None,
    log_destination_type: str = "cloud-watch-logs",
    log_destination: str | None = None,
    log_group_name: str | None = None,
    deliver_logs_permission_arn: str | None = None,
    log_format: str | None = None,
    max_aggregation_interval: int = 600,
    destination_options: dict[str, Any] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Make a log for each resource. Those for which none can be made are told apart; if none can, that is the error."""
    kind = _kind(resource_type, resource_ids)
    if traffic_type is None:
        raise missing("TrafficType")
    if max_aggregation_interval not in _INTERVALS:
        refuse("InvalidParameter", "Invalid Flow Log Max Aggregation Interval")
    asked = Asked(
        log_destination_type, log_destination, log_group_name, deliver_logs_permission_arn, destination_options
    )
    columns = {
        "traffic_type": traffic_type,
        "line_format": line_format(log_format),
        "interval": max_aggregation_interval,
        **destination(call, asked),
    }
    made, failures = _create_all(call, kind, list(dict.fromkeys(resource_ids)), columns)
    tags.put_at_creation(call, tag_specifications, {"vpc-flow-log": made})
    return {"FlowLogIds": made, "Unsuccessful": failures, "ClientToken": call.client_token or None}


def _create_all(
    call: Call, kind: type[Resource], ids: Sequence[str], columns: Mapping[str, Any]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the new logs, and what went wrong with which resource."""
    made, failures = [], {}
    for id in ids:
        try:
            made.append(_create(call, kind, id, columns))
        except Ec2Error as error:
            failures[id] = error
    if not made:
        raise failures[ids[0]]
    return made, [
        {"ResourceId": id, "Error": {"Code": error.code, "Message": str(error)}} for id, error in failures.items()
    ]


def _kind(resource_type: str, ids: Sequence[str]) -> type[Resource]:
    if resource_type not in _RESOURCES:
        raise unsupported("ResourceType", f"There are logs of {', '.join(_RESOURCES)} only.")
    if not ids:
        raise missing("ResourceId")
    if len(ids) > _MOST_RESOURCES:
        refuse("InvalidParameterValue", f"The maximum number of resource IDs is {_MOST_RESOURCES}")
    return _RESOURCES[resource_type]


def _create(call: Call, kind: type[Resource], id: str, columns: Mapping[str, Any]) -> str:
    resource = find(call, kind, id)
    held = call.db.scalars(select(FlowLog).filter_by(resource_id=id)).all()
    same = ("traffic_type", "destination_type", "destination", "log_group")
    if any(all(getattr(log, name) == columns[name] for name in same) for log in held):
        text = "Error. There is an existing Flow Log with the same configuration and log destination."
        refuse("FlowLogAlreadyExists", text)
    check_quota(call, "flow logs per resource", len(held) + 1)
    log = FlowLog(id=FlowLog.new_id(), **call.owner, resource_id=id, **columns)
    call.db.add(log)
    _sync(call, resource)
    return log.id


def _sync(call: Call, resource: Any) -> None:
    """Have a VPC's network write down what it drops, or not, as its logs say."""
    tasks.start(call.db, resource.id if isinstance(resource, Vpc) else resource.vpc_id, "sync_network", call.region)


@action
def delete_flow_logs(call: Call, *, flow_log_ids: list[str]) -> Result:
    """Delete logs, or none of them if one is not there. What was delivered stays."""
    for log in find_all(call, FlowLog, flow_log_ids):
        kind = next(kind for kind in _RESOURCES.values() if log.resource_id.startswith(f"{kind.prefix}-"))
        _sync(call, find(call, kind, log.resource_id))
        tags.forget(call, log.id)
        call.db.delete(log)
    return {"Unsuccessful": []}
