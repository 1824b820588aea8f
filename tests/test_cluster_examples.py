from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "examples" / "cluster"


def test_the_cluster_file_fits_the_schema_that_comes_with_ray() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    spec = find_spec("ray")
    assert spec is not None and spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(values, schema)
    starts = values["head_start_ray_commands"] + values["worker_start_ray_commands"]
    assert [line for line in starts if "ray start" in line and not line.startswith("RAY_AUTH_MODE=token ")] == []


def test_the_slurm_script_parses_and_guards_its_port(tmp_path: Path) -> None:
    script = CLUSTER / "worldloom.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    told = subprocess.run(["bash", str(script)], capture_output=True, text=True, env={"HOME": str(tmp_path)})
    assert told.returncode == 2 and "usage: sbatch" in told.stderr
    assert "export RAY_AUTH_TOKEN_PATH RAY_AUTH_MODE=token" in script.read_text(encoding="utf-8")
