"""A driver with a cluster of several raylets on this machine, in a process of its own; see test_cluster.py.

python -m tests.pipeline.cluster_driver JOB.yaml calm|kill|blind
"""

from __future__ import annotations

import os

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # loopback

import json
import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline import engine
from worldloom.pipeline.job import load_job
from worldloom.pipeline.progress import Silent
from worldloom.pipeline.run import run_job


class KillAfter(Silent):
    """Ends a raylet without grace after so many rows of the annotate pass."""

    def __init__(self, cluster: Cluster, rows: int) -> None:
        self.cluster, self.rows, self.seen = cluster, rows, 0

    def advance(self, stage: str, count: int = 1, note: str = "") -> None:
        self.seen += count * (stage == "annotate")
        if self.seen == self.rows:
            victim = self.cluster.worker_nodes.copy().pop()
            threading.Thread(target=self.cluster.remove_node, args=(victim, False)).start()


def main(job_path: str, how: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    progress = KillAfter(cluster, 3) if how == "kill" else Silent()
    if how == "blind":  # what a node says that mounts something else at this path
        engine.report_node = lambda out, name, expected: {
            "host": "elsewhere",
            "python": ".".join(map(str, sys.version_info[:3])),
            "worldloom": __import__("worldloom").__version__,
            "sees_out": (Path(out) / "not-there" / name).exists(),
            "wants_token": True,
        }
    started = time.monotonic()
    try:
        summary = run_job(load_job(Path(job_path), ()), address=cluster.address, progress=progress)
    except UsageError as error:
        print(json.dumps({"refused": str(error)}))
        return
    tables = {tally.name: [tally.inputs, tally.ok] for tally in summary.tables}
    print(json.dumps({"exit": summary.exit_code, "tables": tables, "notes": summary.notes, "ran": summary.ran}))
    print(f"{time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
    ray.shutdown()
