"""`worldloom export`, as typed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.catalogs.edited import build
from tests.catalogs.exports.walks import walk
from worldloom.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.fixture(scope="module")
def of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with three clips, one of them without a camera."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "job.yaml").write_text("name: walks\n")
    build(folder / "dataset", [("train", [walk(0), walk(1), dataclasses.replace(walk(2), camera=None)])])
    return folder


def test_the_table_accounts_for_every_clip(of_a_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "export", of_a_run, "every=5", "pictures=jpg", "--to", "colmap", "--out", tmp_path / "x")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["in", "3"] in rows and ["exported", "2"] in rows and ["skipped", "no_pose", "1"] in rows
    assert f"next: colmap gui --import_path {tmp_path / 'x'}/" in out
    assert json.loads((tmp_path / "x" / "export.json").read_text())["options"] == {"pictures": "jpg", "every": 5}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "colmp", "--out", "x"], "did you mean 'colmap'?"),
        (["--to", "colmap", "--out", "x", "evry=2"], "did you mean 'every'?"),
        (["--to", "colmap", "--out", "x", "every=0"], "greater than or equal to 1"),
        (["--to", "colmap", "--out", "x", "every"], "expected key=value"),
        (["--to", "colmap"], "--out DIR"),
        (["--to", "tum", "--out", "x", "--where", "source.licence = 'MIT'"], "no clip fits"),
        (["--to", "tum", "--out", "x", "--split", "trian"], "did you mean 'train'?"),
    ],
)
def test_wrong_usage_is_told(
    of_a_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "export", of_a_run, *words)
    assert code == 2 and told in err and not any(tmp_path.iterdir())
