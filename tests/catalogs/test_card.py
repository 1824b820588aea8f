from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.catalogs.example_clip import example_clip, example_dataset
from worldloom.catalogs.card import renew_card, stale_copies, write_card
from worldloom.catalogs.card_figures import CardFigures, card_figures
from worldloom.catalogs.card_text import readme
from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.manifest import commit, latest
from worldloom.catalogs.storage import FolderStore
from worldloom.catalogs.verify import verify

ROOT = Path(__file__).parents[2]
SCORES = {
    "rows": [
        {
            "annotator": "pose",
            "measure": "ATE, median",
            "truth": "rendered worlds",
            "value": 0.5123,
            "unit": "% of the path",
            "n": 20,
            "of": "clips",
            "target": "<= 1",
            "command": "worldloom scorecard --clips 20",
        },
        {"annotator": "depth", "measure": "AbsRel", "value": None},
    ]
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = example_dataset(tmp_path_factory.mktemp("card"))
    write_card(dataset, SCORES)
    return dataset


def figures_of(rows: Sequence[Mapping[str, Any]], folder: Path) -> CardFigures:
    return card_figures(folder / write_catalog(folder, rows).path)


def catalog_of(dataset: Path) -> Path:
    return dataset / latest(dataset).catalog.path


def test_the_card_counts_what_is_there(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    assert "5 clips, 60 frames, 2.0 s" in text
    assert "| train | 4 | 48 |" in text
    assert "| test | 1 | 12 |" in text
    assert "| depth | 0 | 5 | 0 | sweep 1 | no parallax (5) |" in text
    assert "| folder | CC-BY-4.0 | 5 |" in text
    assert "10 events, 5 exit-entry pairs" in text
    assert "| class | move | % of test | % of train | view | % of test | % of train |" in text
    assert "| 1 | go forward | 100.0 | 100.0 | turn up | 0.0 | 0.0 |" in text
    assert "| quality.sharpness | 5 | 0.05 | 0.15 | 0.25 | 0.35 | 0.45 |" in text
    assert "lie in several splits (1 times)" in text, "the example has one source on both sides"
    assert "- no clip has actions, subjects, revisits, hands, captions: they were not asked for" in text
    assert "- only 0 of 5 clips have `depth`" in text


def test_the_card_states_how_true_the_labels_are(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    assert "| pose | ATE, median | 0.5123 % of the path | 20 clips, rendered worlds | &lt;= 1 |" in text
    assert "| depth | AbsRel | not measured |" in text
    assert "`worldloom scorecard --clips 20`" in text


def test_rebuilding_gives_the_same_card(dataset: Path) -> None:
    names = ("README.md", "croissant.json", "manifest.json", "scorecard.json")
    before = {name: (dataset / name).read_bytes() for name in names}
    for name in names[:3]:
        (dataset / name).unlink()
    write_card(dataset)
    assert {name: (dataset / name).read_bytes() for name in names} == before
    assert verify(dataset, deep=False).problems == []


def again(dataset: Path) -> None:
    """Commit the same files as the next manifest."""
    now = latest(dataset)
    commit(dataset, now.model_copy(update={"number": now.number + 1, "parent": now.number}))


def test_what_tells_of_an_older_manifest_is_found_and_written_anew(dataset: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    assert stale_copies(place) == {}
    again(place)
    assert stale_copies(place) == {"README.md": 1, "croissant.json": 1}
    (place / "manifest.json").write_bytes((place / "manifests" / "000001.json").read_bytes())
    found = verify(place, deep=False).problems
    assert [one.file for one in found] == ["manifest.json", "README.md", "croissant.json"]
    assert f"manifest 1, latest is 2; to write it anew: worldloom rollback {place} 2" in str(found[0])
    renew_card(place)
    assert stale_copies(place) == {} and verify(place, deep=False).problems == []
    assert json.loads((place / "manifest.json").read_text())["number"] == 2
    (place / "croissant.json").unlink()
    assert stale_copies(place) == {"croissant.json": 0} and verify(place, deep=False).problems == []
    (place / "README.md").write_text("# Our own words")
    (place / "croissant.json").write_text("{}")
    renew_card(place)
    assert (place / "README.md").read_text() == "# Our own words", "what tells of no manifest is somebody's own"


def test_the_card_of_an_older_manifest_never_stays(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another commits and writes its card after this one has read the manifest and before it writes the card."""
    place = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    write = FolderStore.write

    def late(store: FolderStore, name: str, data: bytes) -> None:
        if name == "README.md" and latest(place).number == 1:
            again(place)
            write_card(place)
        write(store, name, data)

    monkeypatch.setattr(FolderStore, "write", late)
    write_card(place)
    assert latest(place).number == 2 and stale_copies(place) == {}


def test_the_snippets_of_the_card_run(dataset: Path) -> None:
    pytest.importorskip("webdataset")
    snippets = re.findall(r"```python\n(.*?)```", (dataset / "README.md").read_text(), re.DOTALL)
    assert len(snippets) == 2
    assert all(len(snippet.strip().splitlines()) <= 10 for snippet in snippets)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", snippet], cwd=dataset, env=environment, capture_output=True, text=True, check=True
        ).stdout
        for snippet in snippets
    ]
    assert all(example_clip(i).key in outputs[0] for i in range(5))
    assert "(32, 48, 3)" in outputs[1]


def test_text_of_others_carries_no_markup(dataset: Path, tmp_path: Path) -> None:
    clip = example_clip()
    clip.provenance = type(clip.provenance)("folder", "x", "ab", "a|b\n<script>alert(1)</script>`x`")
    text = readme(latest(dataset), figures_of([catalog_row(clip, split="train")], tmp_path))
    assert "<script>" not in text
    assert "a\\|b &lt;script>" in text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("![x](https://evil.example/p.gif)", r"\!\[x\](https://evil.example/p.gif)"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("\\[x](y)", r"\\\[x\](y)"),
        ("&lt;b&gt; `x`", "&amp;lt;b&amp;gt; 'x'"),
    ],
)
def test_text_of_others_is_no_link_and_no_picture(dataset: Path, tmp_path: Path, hostile: str, shown: str) -> None:
    clip = example_clip()
    clip.provenance = type(clip.provenance)("folder", "x", "ab", hostile)
    manifest = latest(dataset).model_copy(update={"name": hostile})
    scores = [dict.fromkeys(("annotator", "measure", "truth", "unit", "of", "target"), hostile) | {"value": 1.0}]
    text = readme(manifest, figures_of([catalog_row(clip, split="train")], tmp_path), scores)
    body = text.partition("\n---\n")[2]
    assert f"# {shown}\n" in body and body.count(shown) == 9
    assert hostile not in body.replace(shown, "")


def test_a_command_of_others_stays_code(dataset: Path) -> None:
    """Between backticks only a backtick is markup; a command is there to be copied as it is."""
    commands = ["worldloom scorecard --where 'a < 3 & b[0]'", "x` <img src=x onerror=alert(1)>\n\n# Heading\n`y"]
    text = readme(latest(dataset), card_figures(catalog_of(dataset)), [{"command": one} for one in commands])
    lines = [line for line in text.splitlines() if line.startswith("Reproduce: ")]
    assert lines[0] == f"Reproduce: `{commands[0]}`"
    assert lines[1] == "Reproduce: `x' <img src=x onerror=alert(1)> # Heading 'y`"
    assert "# Heading" not in text.splitlines() and text.count("<img") == 1


def test_commonmark_sees_no_markup_in_text_of_others(dataset: Path) -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    hostile = "![x](https://evil.example/p.gif) [x](javascript:1) <img src=x onerror=y> `z` \n\n# Heading"
    scores = [dict.fromkeys(("annotator", "measure", "truth", "unit", "of", "target", "command"), hostile)]
    html = markdown.render(readme(latest(dataset), card_figures(catalog_of(dataset)), scores).partition("\n---\n")[2])
    assert "<table>" in html and "<img" not in html and "<a " not in html and "<h1>Heading" not in html


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"value": "fast"}, r"rows\.0\.value is str"),
        ({"value": True}, r"rows\.0\.value is bool"),
        ({"value": [1]}, r"rows\.0\.value is list"),
        ({"value": 10**400}, r"rows\.0\.value is too large"),
        ({"command": {"a": 1}}, r"rows\.0\.command is dict"),
        (5, "not a scorecard"),
    ],
)
def test_a_scorecard_of_other_values_is_named(tmp_path: Path, row: object, word: str) -> None:
    dataset = example_dataset(tmp_path, clips=1)
    (dataset / "scorecard.json").write_text(json.dumps({"rows": [row]}))
    with pytest.raises(BadInput, match=word) as refusal:
        write_card(dataset)
    assert "scorecard.json" in str(refusal.value) and refusal.value.reason == "bad_scorecard"


def clips_of(licences: Sequence[tuple[str, str]], **attributes: Any) -> list[dict[str, Any]]:
    """A row per kind of source and licence."""
    rows = []
    for number, (kind, licence) in enumerate(licences):
        clip = example_clip(number)
        clip.provenance = type(clip.provenance)(kind, f"{number}.mp4", f"{number:064x}", licence)
        clip.attributes = attributes
        rows.append(catalog_row(clip, split="train"))
    return rows


def test_what_may_not_be_passed_on_is_said(dataset: Path, tmp_path: Path) -> None:
    rows = clips_of([("egodex", "CC BY-NC-ND"), ("folder", "MIT"), ("folder", ""), ("realestate10k", "CC-BY-4.0")])
    text = readme(latest(dataset), figures_of(rows, tmp_path))
    assert "> **Do not pass on what is under CC BY-NC-ND (egodex; clips: 1).**" in text
    assert "> **Nobody stated the licence of some clips (1).**" in text
    assert "| CC BY-NC-ND | 1 | NO | no | yes |  |" in text
    assert "| CC-BY-4.0 | 1 | yes | yes | yes | https://creativecommons.org/licenses/by/4.0/ |" in text
    assert "| unknown | 1 | nobody said so |" in text
    assert "- `egodex`: R. Hoque" in text and "- `realestate10k`: T. Zhou" in text
    assert "- `folder`: the makers of the files" in text


def test_attributes_are_told_by_their_commonest_values(dataset: Path, tmp_path: Path) -> None:
    rows = clips_of([("folder", "MIT")] * 3, scene="hall | [x](y)", views=4.0)
    text = readme(latest(dataset), figures_of(rows, tmp_path))
    assert r"| scene | 3 | 1 | hall \| \[x\](y) (3) |" in text
    assert "| views | 3 | 1 | 4 to 4, 4 |" in text


def test_what_a_run_left_out_stays_on_the_card(tmp_path: Path) -> None:
    dataset = example_dataset(tmp_path, clips=1)
    assert "## Left out" not in Path(write_card(dataset)).read_text()
    rows = [{"pass": "ingest", "ended": "dropped", "reason": "too_short | <b>", "rows": 3}]
    line = "| ingest | dropped | too_short \\| &lt;b> | 3 |"
    assert line in Path(write_card(dataset, left_out=rows)).read_text()
    assert line in Path(write_card(dataset)).read_text(), "kept beside the card"
    write_card(dataset, left_out=[])
    assert "## Left out" not in (dataset / "README.md").read_text()
    for damaged in ("{}", '{"rows": [1]}', '{"rows": [{"pass": "ingest"}]}', "["):
        (dataset / "left_out.json").write_text(damaged)
        with pytest.raises(BadInput, match=r"left_out\.json") as refusal:
            write_card(dataset)
        assert refusal.value.reason == "bad_left_out"


def test_an_empty_catalog_has_a_card(dataset: Path, tmp_path: Path) -> None:
    assert "0 clips" in readme(latest(dataset), figures_of([], tmp_path))


def test_a_damaged_scorecard_is_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(BadInput, match=r"scores\.json"):
        write_card(dataset, tmp_path / "scores.json")
