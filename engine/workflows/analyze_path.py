"""Find out whether packets get along a path, and write down how, or why not."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.reachability.analysis import Finding, finding, journeys, nothing
from engine.reachability.ends import Unreachable, packets
from engine.state import InsightsAnalysis, InsightsPath, Task
from engine.tasks import Job, Step, Wait

GIVE_UP = "fail_analysis"
_PATIENCE = 20.0
"""Seconds for changes that were asked for before to reach the network; one that fails must not hold an answer up."""


def wait_until_the_network_is_as_asked(job: Job) -> Wait | None:
    changes = select(Task.resource_id).where(Task.region == job.region, Task.workflow.like("sync%"), Task.attempts == 0)
    if job.waited < _PATIENCE and job.look(lambda db: db.scalar(changes.limit(1))):
        return Wait(0.05)
    return None


def analyze(job: Job) -> None:
    """Ask the network, and then write in a transaction of its own: what was found out may be found out again."""
    path = job.look(lambda db: _path(db, job.resource_id))
    if path is None:
        return
    found = _find(job, path)
    with job.engine.database.write() as db:
        analysis = db.get(InsightsAnalysis, job.resource_id, with_for_update=True)
        if analysis is not None:
            analysis.status, analysis.found = "succeeded", found.found
            analysis.report = json.dumps({**json.loads(analysis.report), **found.report})


def _path(db: Session, analysis_id: str) -> InsightsPath | None:
    return db.scalar(
        select(InsightsPath)
        .join(InsightsAnalysis, InsightsAnalysis.path_id == InsightsPath.id)
        .where(InsightsAnalysis.id == analysis_id)
    )


def _find(job: Job, path: InsightsPath) -> Finding:
    try:
        tries = job.look(lambda db: packets(db, path))
    except Unreachable as reason:
        return nothing(reason.explanation)
    tried = journeys(job.drivers.network, tries, path.destination)
    analysis = job.look(lambda db: db.get(InsightsAnalysis, job.resource_id))
    asked = json.loads(analysis.report) if analysis else {}
    return job.look(lambda db: finding(db, path, asked, tried))


STEPS: list[Step] = [wait_until_the_network_is_as_asked, analyze]
