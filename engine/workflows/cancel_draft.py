"""A snapshot that was to be written block by block is an error: it was not completed in time, or blocks were lost."""

from engine import snapshots
from engine.state import SnapshotDraft
from engine.tasks import Job, Step, in_database
from engine.workflows.remove_snapshot import remove_data


@in_database
def mark_failed(job: Job) -> None:
    draft = job.writing.get(SnapshotDraft, job.resource_id)
    sealed = draft is not None and draft.sealed
    why = "The blocks that were written could not be kept." if sealed else "The snapshot was not completed in time."
    snapshots.finish(job.writing, job.resource_id, "error", why)


STEPS: list[Step] = [mark_failed, remove_data]
