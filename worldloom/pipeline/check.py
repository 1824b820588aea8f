"""What is wrong with a job although each key by itself is right: said before anything runs."""

from __future__ import annotations

from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.operations import plan_operations
from worldloom.pipeline.passes.compose import check_conditions
from worldloom.pipeline.rules import expanded
from worldloom.pipeline.settings import Job


def check_job(job: Job) -> None:
    """What the schema cannot see: folders that are missing, operations that nobody has, sources that do not fit.

    Raises:
        UsageError: the first of them, with what to do.
    """
    operations = [operation.name for operation in plan_operations(job)]
    known = sorted({*operations, *(name for source in job.sources for name in source.gives())})
    for name in job.compose.require:
        if name not in known:
            raise UsageError(f"compose.require: '{name}' is not an operation of this job" + nearest(name, known))
    for name, rule in expanded(job.compose.rules).items():
        if missing := [one for one in rule.needs if one not in operations]:
            raise UsageError(f"compose.rules: '{name}' asks for figures of '{missing[0]}'; add it to annotate")
    if job.compose.duplicates is not None and "fingerprint" not in operations:
        raise UsageError("compose.duplicates: copies are found by their fingerprints; add 'fingerprint' to annotate")
    if (asked := job.compose.duplicates) is not None and asked.embedding is not None and "embedding" not in operations:
        raise UsageError("compose.duplicates.embedding: add 'embedding: {weights: FOLDER}' to annotate")
    check_conditions(job.compose, known)
    for number, source in enumerate(job.sources):
        source.check(f"sources.{number}", job.ingest.fps, job.ingest.height, job.ingest.max_seconds)
