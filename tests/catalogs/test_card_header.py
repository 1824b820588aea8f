from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.catalogs.example_clip import example_clip, example_dataset
from worldloom.catalogs.card_figures import CardFigures, card_figures
from worldloom.catalogs.card_header import front_matter
from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation
from worldloom.catalogs.manifest import Manifest, ShardEntry, latest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return latest(example_dataset(tmp_path_factory.mktemp("header")))


def figures(folder: Path, licences: Sequence[str], *labels: str, **attributes: Any) -> CardFigures:
    rows = []
    for number, licence in enumerate(licences):
        clip = example_clip(number)
        clip.provenance = type(clip.provenance)("folder", "x", f"{number:064x}", licence)
        clip.annotations |= {name: Annotation("ok", "somebody", "1") for name in labels}
        clip.attributes = attributes
        rows.append(catalog_row(clip, split="train"))
    return card_figures(folder / write_catalog(folder, rows).path)


def header(manifest: Manifest, found: CardFigures) -> dict[str, Any]:
    """As a reader of YAML sees it."""
    text = front_matter(manifest, found)
    assert text.startswith("---\n") and text.endswith("\n---")
    values = yaml.safe_load(text.strip("-"))
    assert isinstance(values, dict)
    return values


def test_the_hub_reads_the_header(manifest: Manifest, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    found = figures(tmp_path, ["CC-BY-4.0", "MIT"], "captions", "hands", "depth")
    card = hub.DatasetCard(front_matter(manifest, found) + "\n\n# walks\n")
    data = card.data.to_dict()
    assert data["license"] == ["cc-by-4.0", "mit"] and data["pretty_name"] == "walks"
    assert data["task_categories"] == ["image-to-video", "text-to-video", "robotics", "depth-estimation"]
    assert data["size_categories"] == ["n<1K"] and data["language"] == ["und"]
    assert {"hand-pose", "captions", "camera-pose"} <= set(data["tags"])
    assert yaml.safe_load(str(card.data)) == data, "what the hub writes of it says the same"


def test_every_shard_is_in_its_split_and_the_catalog_is_a_table_of_its_own(manifest: Manifest, tmp_path: Path) -> None:
    clips, catalog = header(manifest, figures(tmp_path, ["MIT"]))["configs"]
    assert clips["config_name"] == "clips" and clips["default"] is True
    paths = {one["split"]: one["path"] for one in clips["data_files"]}
    assert paths == {
        split: [shard.path for shard in manifest.shards if shard.split == split] for split in ("test", "train")
    }
    assert catalog["data_files"] == [{"split": "catalog", "path": manifest.catalog.path}]
    shard = manifest.shards[0].model_dump()
    many = [ShardEntry(**{**shard, "path": f"shards/a-b-{n}.tar", "split": "a-b"}) for n in range(501)]
    (side,) = header(manifest.model_copy(update={"shards": tuple(many)}), figures(tmp_path, ["MIT"]))["configs"][0][
        "data_files"
    ]
    assert re.fullmatch(r"\w+", side["split"]), "what the hub takes for the name of a split"
    assert side["path"] == "shards/a-b-*.tar"


@pytest.mark.parametrize(
    ("licences", "values"),
    [
        (["MIT"], {"license": "mit"}),
        (["MIT", "MIT"], {"license": "mit"}),
        ([""], {"license": "unknown"}),
        (["", "MIT"], {"license": "other", "license_name": "several"}),
        (["Our Own, v2!"], {"license": "other", "license_name": "our-own-v2"}),
        (["CC-BY-SA-2.5"], {"license": "other", "license_name": "cc-by-sa-2.5", "license_link": "https://creativecommons.org/licenses/by-sa/2.5/"}),
        (["CC BY-NC-ND", "MIT"], {"license": "other", "license_name": "several"}),
    ],
)  # fmt: skip
def test_licences_are_told_in_the_words_of_the_hub(
    manifest: Manifest, tmp_path: Path, licences: list[str], values: dict[str, Any]
) -> None:
    found = header(manifest, figures(tmp_path, licences))
    assert {name: value for name, value in found.items() if name.startswith("license")} == values


def test_the_language_of_captions_is_what_an_attribute_says(manifest: Manifest, tmp_path: Path) -> None:
    assert header(manifest, figures(tmp_path, ["MIT"], "captions", language="en"))["language"] == ["en"]
    assert header(manifest, figures(tmp_path, ["MIT"], "captions", language="no: <b>"))["language"] == ["und"]
    assert "language" not in header(manifest, figures(tmp_path, ["MIT"], language="en"))


def test_hostile_names_stay_inside_their_quotes(manifest: Manifest, tmp_path: Path) -> None:
    hostile = "x\"\n---\nlicense: mit # 'y' \u2028 {{a}}".replace("\n", " ")
    found = header(manifest.model_copy(update={"name": hostile}), figures(tmp_path, ["other: [x]\n---\n"]))
    assert found["pretty_name"] == hostile
    assert found["license"] == "other" and re.fullmatch(r"[a-z0-9.+-]+", found["license_name"])
