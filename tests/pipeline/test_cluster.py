from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import write_video
from worldloom import __version__
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.cluster import NodeReport, check_reports, is_loopback, open_port_note, report_node
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job

ROOT = Path(__file__).parents[2]
HERE = ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:6379", True),
        ("localhost:6379", True),
        ("[::1]:6379", True),
        ("::1", True),
        ("10.0.0.3:6379", False),
        ("ray://head:10001", False),
        ("auto", False),
        ("192.168.1.2", False),
    ],
)
def test_only_loopback_is_taken_for_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_an_open_port_is_told_with_the_remedy_and_a_guarded_one_is_not() -> None:
    note = open_port_note(["127.0.0.1", "10.0.0.3"], ["head"])
    assert note is not None
    assert "10.0.0.3 without a token (head)" in note and "CVE-2023-48022" in note and "RAY_AUTH_MODE=token" in note
    assert "127.0.0.1" not in note
    assert open_port_note(["10.0.0.3"], []) is None
    assert open_port_note(["127.0.0.1"], ["head"]) is None


def test_a_node_that_sees_the_working_folder_and_runs_the_same_passes(tmp_path: Path) -> None:
    (tmp_path / "seen").write_bytes(b"token")
    report = NodeReport(**report_node(str(tmp_path), "seen", b"token"))
    assert report.sees_out
    check_reports([report], str(tmp_path))


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (NodeReport("n2", HERE, "0.0.1", True, True), rf"node n2 has .*0\.0\.1, the driver .*{__version__}.*install"),
        (NodeReport("n2", "3.8.1", __version__, True, True), r"node n2 has Python 3\.8\.1"),
        (NodeReport("n2", HERE, __version__, False, True), r"node n2 does not see the working folder .*s3://bucket"),
    ],
)
def test_a_node_that_cannot_take_part_is_named_with_the_remedy(report: NodeReport, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_reports([report], "/out")


@pytest.mark.parametrize("content", [None, b"of another"])
def test_another_folder_at_the_same_path_is_not_the_working_folder(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "seen").write_bytes(content)
    assert not report_node(str(tmp_path), "seen", b"token")["sees_out"]


def child(module: str, *arguments: str) -> dict[str, Any]:
    """What a program with a cluster of its own prints last."""
    command = [sys.executable, "-m", f"tests.pipeline.{module}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def run_in_cluster(job: Job, how: str) -> dict[str, Any]:
    """Run the job of `make_job` in a cluster of three raylets."""
    return child("cluster_driver", str(job.out.parent / "job.yaml"), how)


def shards_of(out: Path) -> dict[str, str]:
    manifest = json.loads((out / "dataset" / "manifests" / "000001.json").read_text())
    return {entry["path"]: entry["sha256"] for entry in [*manifest["shards"], manifest["catalog"]]}


@pytest.mark.slow
def test_a_cluster_gives_what_one_machine_gives_also_when_a_node_dies(
    shared_ray: Engine, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for seed in range(12):
        write_video(videos / f"{seed:02d}.mp4", 20 + seed, seed)
    values = {
        "sources": [{"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}],
        "annotate": ["tests.pipeline.fakes:Brightness"],
        "execution": {"workers": 2},
    }
    assert run_job(make_job(out="alone", **values)).exit_code == 0
    expected = shards_of(tmp_path / "alone")
    for how in ("calm", "kill"):
        told = run_in_cluster(make_job(out=how, **values), how)
        assert told["exit"] == 0 and told["notes"] == [], told
        assert told["tables"]["ingest"] == [12, 12] and told["tables"]["pack"] == [12, 12]
        assert shards_of(tmp_path / how) == expected
    told = run_in_cluster(make_job(out="blind", **values), "blind")
    assert "node elsewhere does not see the working folder" in told["refused"]


@pytest.mark.slow
def test_a_guarded_cluster_takes_its_token_and_no_other() -> None:
    told = child("token_driver")
    assert told["right"] == "joined"
    for name in ("wrong", "none"):
        assert told[name].startswith("refused no Ray cluster can be joined") and "RAY_AUTH_TOKEN_PATH" in told[name]
