"""A job that loses its driver, a worker or a child at the worst moments; benchmarks/kills.py has many more."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.chaos.scene import write_job, write_videos
from benchmarks.chaos.strike import Kill, Oracle, contents, strike
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.job import load_job
from worldloom.pipeline.run import run_job

pytestmark = pytest.mark.slow

COMMITTED = ("manifests", "manifest.json", "README.md", "croissant.json")


class Scene:
    """One job at three stages: clips are there, annotations are there, shards are there and nothing is committed."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.videos = room / "videos"
        write_videos(self.videos, 8)
        job = load_job(write_job(room / "job.yaml", self.videos, room / "work"))
        for name in ("ingest", "annotate"):
            run_job(job, only=name)
            shutil.copytree(job.out, room / f"after-{name}")
        summary = run_job(job)
        assert summary.exit_code == 0 and summary.committed
        shutil.copytree(job.out, room / "after-pack", ignore=shutil.ignore_patterns(*COMMITTED, "catalog-*"))
        keys, digests = contents(job.out / "dataset")
        assert len(keys) > 9 and len(digests) > 2, "several shards"
        self.oracle = Oracle(keys, digests, json.loads(json.dumps([asdict(one) for one in summary.tables])), 0)

    def problems(self, stage: str, kill: Kill, room: Path) -> list[str]:
        """What differs after this kill of a job that goes on from a stage."""
        out = room / "out"
        shutil.copytree(self.room / stage, out)
        struck = strike(kill, write_job(room / "job.yaml", self.videos, out), out, self.oracle, seed=0)
        assert struck.attempts == (2 if kill.victim == "driver" else 1), struck
        return struck.problems


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, shared_ray: Engine) -> Scene:
    return Scene(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize(
    ("stage", "kill"),
    [
        ("after-pack", Kill("driver", "before_link")),
        ("after-pack", Kill("driver", "after_link")),
        ("after-annotate", Kill("child", "shard")),
        ("after-annotate", Kill("driver", "shard")),
        ("after-ingest", Kill("worker", "advance annotate", 2)),
    ],
    ids=lambda value: f"{value.victim} {value}" if isinstance(value, Kill) else value,
)
def test_after_a_kill_the_same_command_gives_the_same_bytes(
    scene: Scene, stage: str, kill: Kill, tmp_path: Path
) -> None:
    assert scene.problems(stage, kill, tmp_path) == []
