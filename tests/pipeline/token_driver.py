"""A guarded cluster and three drivers: with its token, with another one, and with none; see test_cluster.py."""

from __future__ import annotations

import os

os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a" * 32,
}

import json
import subprocess
import sys

from ray.cluster_utils import Cluster

JOIN = """
import sys
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.settings import Execution

with Engine(Execution(address=sys.argv[1])) as engine:
    try:
        engine.start()
        print("joined", *engine.notes)
    except UsageError as error:
        print("refused", error)
"""

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 80_000_000})
    drivers = {}
    for name, values in {
        "right": {},
        "wrong": {"RAY_AUTH_TOKEN": "b" * 32},
        "none": {"RAY_AUTH_MODE": "disabled"},
    }.items():
        drivers[name] = subprocess.Popen(
            [sys.executable, "-c", JOIN, cluster.address],
            env={**os.environ, **values},
            stdout=subprocess.PIPE,
            text=True,
        )
    print(json.dumps({name: driver.communicate(timeout=120)[0].strip() for name, driver in drivers.items()}))
    cluster.shutdown()
