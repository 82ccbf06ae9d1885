"""Network insights analyses: whether packets get along a path, and why not."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from engine import tasks
from engine.names import arn
from engine.state import InsightsAnalysis, InsightsPath, timestamp
from translators import tags
from translators.describe import Listing, describe, rows_of, tag_set, tags_of
from translators.errors import invalid
from translators.find import find
from translators.registry import Call, Result, action


def _shape(row: Any) -> dict[str, Any]:
    return {
        "NetworkInsightsAnalysisId": row.id,
        "NetworkInsightsAnalysisArn": arn(row.region, row.account, row.id),
        "NetworkInsightsPathId": row.path_id,
        "StartDate": row.created,
        "Status": row.status,
        "StatusMessage": row.message or None,
        "NetworkPathFound": row.found,
        **json.loads(row.report),
        "Tags": tag_set(row.tags) or [],
    }


ANALYSES = Listing(
    kind=InsightsAnalysis,
    columns=(
        InsightsAnalysis.id, InsightsAnalysis.account, InsightsAnalysis.region, InsightsAnalysis.created,
        InsightsAnalysis.path_id, InsightsAnalysis.status, InsightsAnalysis.message, InsightsAnalysis.found,
        InsightsAnalysis.report, tags_of(InsightsAnalysis),
    ),
    shape=_shape,
    filters={"path-found": InsightsAnalysis.found, "status": InsightsAnalysis.status},
)  # fmt: skip


@action
def describe_network_insights_analyses(
    call: Call,
    *,
    network_insights_analysis_ids: list[str] | None = None,
    network_insights_path_id: str | None = None,
    analysis_start_time: datetime | None = None,
    analysis_end_time: datetime | None = None,
    filters: list[dict[str, Any]] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Result:
    """The times are those between which an analysis started."""
    where: list[ColumnElement[bool]] = []
    if network_insights_path_id:
        where.append(InsightsAnalysis.path_id == find(call, InsightsPath, network_insights_path_id).id)
    if analysis_start_time:
        where.append(InsightsAnalysis.created >= timestamp(analysis_start_time))
    if analysis_end_time:
        where.append(InsightsAnalysis.created <= timestamp(analysis_end_time))
    ids = network_insights_analysis_ids
    found, token = describe(call, ANALYSES, ids, filters, max_results, next_token, where=where)
    return {"NetworkInsightsAnalyses": found, "NextToken": token}


@action
def start_network_insights_analysis(
    call: Call,
    *,
    network_insights_path_id: str,
    filter_in_arns: list[str] | None = None,
    filter_out_arns: list[str] | None = None,
    tag_specifications: list[dict[str, Any]] | None = None,
) -> Result:
    """Begin an analysis. There is one way through the network: a path that passes what FilterOutArns names is none."""
    path = find(call, InsightsPath, network_insights_path_id)
    asked = {"FilterInArns": filter_in_arns, "FilterOutArns": filter_out_arns}
    for name, arns in asked.items():
        for given in arns or ():
            if not given.startswith("arn:"):
                raise invalid(name[0].lower() + name[1:], given, "This is not an ARN.")
    report = json.dumps({name: arns for name, arns in asked.items() if arns})
    analysis = InsightsAnalysis(id=InsightsAnalysis.new_id(), **call.owner, path_id=path.id, report=report)
    call.db.add(analysis)
    tags.put_at_creation(call, tag_specifications, {"network-insights-analysis": [analysis.id]})
    tasks.start(call.db, analysis.id, "analyze_path", call.region, new=True)
    return {"NetworkInsightsAnalysis": rows_of(call, ANALYSES, [analysis.id])[0]}


@action
def delete_network_insights_analysis(call: Call, *, network_insights_analysis_id: str) -> Result:
    analysis = find(call, InsightsAnalysis, network_insights_analysis_id)
    tags.forget(call, analysis.id)
    call.db.delete(analysis)
    return {"NetworkInsightsAnalysisId": analysis.id}
