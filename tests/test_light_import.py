"""The door stays light, and nobody's train.py gets in the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import worldloom

HEAVY = (
    "torch",
    "ray",
    "av",
    "cv2",
    "pycolmap",
    "open3d",
    "numpy",
    "pandas",
    "matplotlib",
    "scipy",
    "pyarrow",
    "duckdb",
)

LOADED = f"""
import json, sys
print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))
"""


def python(code: str, cwd: Path, timeout: float = 120) -> str:
    """Run `code` as a script of its own that lies in `cwd`, as a user's script does."""
    script = cwd / "script_of_a_user.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], cwd=cwd, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder_with_clashing_names(tmp_path):
    for name in ("train", "model", "pipeline", "annotators", "synth", "catalogs"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the {name}.py of the user was imported')\n")
    return tmp_path


@pytest.mark.parametrize(
    "code",
    [
        "import worldloom",
        "import worldloom.cli",
        "import worldloom.cli\ntry: worldloom.cli.main(['--help'])\nexcept SystemExit: pass",
        "import worldloom.cli\ntry: worldloom.cli.main(['run', '--help'])\nexcept SystemExit: pass",
        "import worldloom.cli\ntry: worldloom.cli.main(['run', 'no-such-job.yaml'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_imported(code, tmp_path):
    assert json.loads(python(code + LOADED, tmp_path).splitlines()[-1]) == []


def test_the_check_above_sees_what_is_imported(tmp_path):
    assert "numpy" in json.loads(python("import worldloom\nworldloom.Clip" + LOADED, tmp_path).splitlines()[-1])


def test_every_public_name_imports_beside_files_of_the_same_names(folder_with_clashing_names):
    names = ", ".join(name for name in worldloom.__all__ if not name.startswith("_"))
    out = python(
        f"from worldloom import {names}\nprint(ShardDataset.__name__, Clip.__name__)", folder_with_clashing_names
    )
    assert out.split() == ["ShardDataset", "Clip"]


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = worldloom.Nothing


IN_A_WORKER = """
import ray

@ray.remote
def name_of_the_loader():
    from worldloom import Clip, ShardDataset
    import worldloom.pipeline, worldloom.train
    return ShardDataset.__name__ + " " + Clip.__name__

if __name__ == "__main__":
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    print(ray.get(name_of_the_loader.remote()))
    ray.shutdown()
"""


@pytest.mark.slow
def test_public_names_import_in_a_ray_worker_beside_files_of_the_same_names(folder_with_clashing_names):
    assert python(IN_A_WORKER, folder_with_clashing_names).splitlines()[-1] == "ShardDataset Clip"
