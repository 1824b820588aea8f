from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.catalogs.plain_card import plain_figures
from worldloom.catalogs import catalog_columns as module
from worldloom.catalogs.card_figures import card_figures
from worldloom.catalogs.card_text import readme
from worldloom.catalogs.catalog import catalog_table, read_catalog, write_catalog
from worldloom.catalogs.catalog_row import OPERATIONS
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit

EXTRA = ("weather", "aaa", "pose2")
COUNTED = {
    "events": ("count", "pairs"),
    "revisits": ("pairs",),
    "subjects": ("count",),
    "captions": ("count",),
    "depth": ("frames",),
}


def maybe(rng: np.random.Generator, value: Any, share: float = 0.7) -> Any:
    return value if rng.random() < share else None


def note(rng: np.random.Generator) -> dict[str, Any]:
    status = str(rng.choice(["ok", "absent", "failed"]))
    return {
        "status": maybe(rng, status, 0.9),
        "method": f"method {rng.integers(4)}",
        "version": str(rng.integers(2)),
        "reason": str(rng.choice(["", "no parallax", "too | dark", "crash", "late"])) if status != "ok" else "",
        "confidence": maybe(rng, float(rng.random())),
        "notes": None,
    }


def row(rng: np.random.Generator, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "key": f"{number:08d}",
        "split": str(rng.choice(["train", "test", "night | <b>"])),
        "shard": "shards/train-0.tar",
        "offset": 0,
        "length": 0,
        "members": [],
        "fps": float(rng.choice([16, 24, 30000 / 1001, 12, 25, 50, 60])),
        "frames": int(rng.integers(1, 400)),
        "height": int(rng.choice([480, 720])),
        "width": int(rng.choice([832, 480, 1280])),
        "seconds": round(float(rng.random() * 30), 6),
        "source": {
            "kind": str(rng.choice(["folder", "worlds"])),
            "uri": f"{number}.mp4",
            "sha256": maybe(rng, f"{rng.integers(40):064x}"),
            "licence": str(rng.choice(["", "CC-BY-4.0", "unknown", "MIT"])),
        },
        "parents": [f"{number - 1:08d}"] if rng.random() < 0.3 else [],
    }
    if rng.random() < 0.8:
        made["attributes"] = {
            "scene": str(rng.choice(["hall", "park", "<b>|x", "a_b_"])),
            "views": float(rng.integers(0, 50)),
            "indoor": bool(rng.integers(2)),
        }
        if rng.random() < 0.5:
            del made["attributes"][str(rng.choice(["scene", "views", "indoor"]))]
    names = [*OPERATIONS[:-2], "captions", *EXTRA]
    for name in names:
        if rng.random() < 0.8:
            made[name] = note(rng) if rng.random() < 0.9 else {}
            made[name] |= {figure: maybe(rng, int(rng.integers(9))) for figure in COUNTED.get(name, ())}
    if "pose" in made:
        made["pose"]["posed_share"] = maybe(rng, float(rng.random()))
        made["pose"]["scale"] = maybe(rng, str(rng.choice(["metric", "relative", ""])))
    if "quality" in made:
        made["quality"] |= {"sharpness": maybe(rng, float(rng.random())), "brightness": float(rng.random())}
    if "revisits" in made:
        made["revisits"]["density"] = maybe(rng, float(rng.random()))
    if "actions" in made:
        made["actions"]["uncertain_share"] = maybe(rng, float(rng.random()))
        for group in ("move", "view"):
            made["actions"][group] = [None, [], rng.integers(0, 90, 10).tolist()][rng.integers(3)]
    return made


def dataset_of(rows: list[dict[str, Any]], folder: Path) -> tuple[Manifest, pa.Table]:
    sizes = {"train": 1_234_567, "test": 50_000}
    (folder / "shards").mkdir()
    for split, size in sizes.items():
        (folder / f"shards/{split}-0.tar").write_bytes(bytes(size))
    shards = tuple(
        ShardEntry(path=f"shards/{split}-0.tar", bytes=size, sha256="0" * 64, split=split, samples=1)
        for split, size in sorted(sizes.items())
    )
    entry = write_catalog(folder, rows)
    manifest = commit(folder, Manifest(number=1, name="walks", samples=len(rows), shards=shards, catalog=entry))
    return manifest, read_catalog(folder / entry.path)


@pytest.mark.parametrize("batch", [7, 1 << 16])
@pytest.mark.parametrize("clips", [0, 1, 2, 9, 60, 300])
def test_the_card_is_what_counting_row_by_row_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: int, batch: int
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", batch)
    for seed in range(4):
        rng = np.random.default_rng([clips, seed])
        (folder := tmp_path / str(seed)).mkdir()
        manifest, table = dataset_of([row(rng, number) for number in range(clips)], folder)
        found, plain = card_figures(folder / manifest.catalog.path), plain_figures(table)
        assert found.attributes == plain.attributes and found.labels == plain.labels and found.leaks == plain.leaks
        assert found.spreads == plain.spreads and list(found.spreads) == list(plain.spreads)
        assert found.sources == plain.sources and found.licences == plain.licences
        assert readme(manifest, found) == readme(manifest, plain), "splits and classes are arrays"


def test_nothing_is_said_of_an_operation_that_wrote_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [row(rng, number) for number in range(5)]
    for one in rows:
        one["shots"] = {"status": None}
    _, table = dataset_of(rows, tmp_path)
    assert "shots" in table.column_names
    (catalog,) = tmp_path.glob("catalog-*.parquet")
    assert "shots" not in card_figures(catalog).labels


def without_seconds(table: pa.Table) -> pa.Table:
    return table.drop_columns(["seconds"])


def with_a_split_missing(table: pa.Table) -> pa.Table:
    splits = pa.array([None, *table["split"].to_pylist()[1:]], pa.string())
    return table.set_column(table.column_names.index("split"), "split", splits)


def with_nine_classes(table: pa.Table) -> pa.Table:
    counts = pa.array([[1] * 9] * len(table), pa.list_(pa.int32()))
    actions = pa.StructArray.from_arrays([counts], names=["move"])
    return table.set_column(table.column_names.index("actions"), "actions", actions)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_seconds, "column seconds is missing"),
        (with_a_split_missing, "column split has 1 values missing"),
        (with_nine_classes, "actions.move does not count 10 classes"),
    ],
)
def test_a_catalog_that_is_none_is_named(tmp_path: Path, damage: Callable[[pa.Table], pa.Table], message: str) -> None:
    rng = np.random.default_rng(0)
    table = damage(catalog_table([row(rng, number) for number in range(5)]))
    pq.write_table(table, tmp_path / "catalog.parquet")
    with pytest.raises(BadInput, match=message) as refused:
        card_figures(tmp_path / "catalog.parquet")
    assert refused.value.reason == "bad_catalog"


def test_a_file_that_is_no_catalog_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalog.parquet").write_bytes(b"PAR1 and nothing else")
    for name in ("catalog.parquet", "none.parquet"):
        with pytest.raises(BadInput, match=name):
            card_figures(tmp_path / name)
