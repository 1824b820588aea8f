"""The demo's first half as a newcomer sees it, on two small worlds; the second half has a file of its own."""

from __future__ import annotations

import json
import re

import pytest

from worldloom import ShardDataset
from worldloom.demo import DOES, demo_job, run_demo

SMALL = {"frames": 33, "width": 240, "height": 136}


def test_the_job_of_the_demo_is_told_nothing_about_its_worlds(tmp_path):
    job = demo_job(tmp_path, 3, {})
    assert [source.kind for source in job.sources] == ["worlds"]
    assert job.sources[0].gives() == ()
    assert {entry.name for entry in job.annotate} >= {"pose", "actions", "subjects", "events", "depth", "revisits"}


@pytest.mark.slow
def test_the_demo_ends_with_a_report_and_does_nothing_twice(tmp_path, capsys):
    result = run_demo(tmp_path / "demo", worlds=2, workers=1, settings=SMALL, model=False)
    said = capsys.readouterr().out
    assert result.exit_code == 0, said
    for stage in ("ingest", "annotate", "pack", "verify", "score", "report"):
        assert f"- {DOES[stage]}" in said
        assert re.search(rf"^{stage}: \d+ in [\d.]+ (s|min)", said, re.MULTILINE), said

    page = result.report.read_text()
    assert page.count("data:image/") >= 3, "its pictures are inside"
    assert not re.search(r"""(src|href)=["']https?:""", page), "and nothing is fetched"
    assert "What became of every row" in page
    assert "ATE per scale group" in page

    dataset = ShardDataset(tmp_path / "demo" / "dataset")
    assert sorted(clip.frames for clip in dataset) == [33, 33, 65, 65], "the clips and their loops"
    card = json.loads((tmp_path / "demo" / "scorecard.json").read_text())
    assert {row["key"] for row in card["rows"]} >= {"pose.posed", "actions.move.f1_settled.given"}
    assert "ATE per scale group" in (tmp_path / "demo" / "dataset" / "README.md").read_text()

    again = run_demo(tmp_path / "demo", worlds=2, workers=1, settings=SMALL, model=False)
    said = capsys.readouterr().out
    assert again == result
    for stage in ("ingest", "annotate", "pack"):
        assert f"- {DOES[stage]}" not in said, "finished work is not done twice"
    assert "score: 0 in" in said
    assert "in an earlier run" in result.report.read_text()
