"""Embeddings through a whole run: the child that loads the encoder, the ledger, what compose makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.annotators.test_embedding import saved
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.passes.dropped import read_dropped
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.workspace import Workspace


@pytest.mark.slow
def test_a_run_embeds_and_moved_weights_are_the_same_weights(
    make_job: Callable[..., Job], videos: Path, tmp_path: Path, shared_ray: Engine
) -> None:
    saved(tmp_path / "models" / "dino")
    values = {
        "sources": [{"kind": "folder", "path": str(videos), "licence": "none"}],
        "ingest": {"min_seconds": 0.1},
        "annotate": ["fingerprint", {"embedding": {"weights": "models/dino"}}],
        "compose": {"duplicates": {"embedding": 1.0}},
    }
    job = make_job(**values)
    assert run_job(job, workers=1).exit_code == 0
    tables = Workspace(job.out).summary()
    clips = tables.table("ingest").out
    assert tables.table("embedding").ok == clips == tables.table("compose").out > 1
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    overrides = (f"annotate.embedding.weights={tmp_path / 'elsewhere' / 'dino'}", "compose.duplicates.embedding=0.1")
    again = make_job(overrides, **values)
    assert {due.name: due.due for due in run_job(again, dry_run=True).plan}["embedding"] == 0
    assert run_job(again, workers=1).exit_code == 0
    # Random weights see nearly the same in everything: all but one are copies of it.
    assert Workspace(again.out).summary().table("compose").dropped == {"duplicate": clips - 1}
    assert all("embedding cosine" in told for told in read_dropped(Layout(again.out)).column("told").to_pylist())
