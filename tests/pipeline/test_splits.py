from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloom.catalogs.config import load
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.settings import Split
from worldloom.pipeline.splits import draw_sides, empty_sides, rows_to_split

Row = dict[str, Any]
RULES = [
    {"test": 0.3},
    {"test": 0.3, "val": 0.2},
    {"by": "clip", "test": 0.5},
    {"by": "scene", "test": 0.25, "shares": {"night": 0.25}},
]


def rows_of(rows: list[Row]) -> pa.Table:
    names = ("key", "sha256", "uri", "parents", "value", "duplicates", "split")
    return rows_to_split({name: [row.get(name) for row in rows] for name in names})


def split_of(rows: list[Row], rules: dict[str, Any]) -> dict[str, str]:
    found = draw_sides(rows_of(rows), Split(**rules))
    return {row["key"]: found.names[side] for row, side in zip(rows, found.side.tolist(), strict=True)}


@st.composite
def catalogs(draw: st.DrawFn, prefix: str = "") -> list[Row]:
    """Clips of a few sources, addresses, scenes and groups, some derived from others."""
    rows: list[Row] = []
    for number in range(draw(st.integers(1, 24))):
        some = draw(st.lists(st.integers(0, max(0, number - 1)), max_size=1 if number else 0))
        rows.append(
            {
                "key": f"{prefix}key{number}",
                "sha256": f"{prefix}{draw(st.integers(0, 12)):02d}",
                "uri": draw(st.sampled_from(["1.mp4", f"https://host/{prefix}a", f"https://host/{prefix}b"])),
                "parents": [rows[one]["key"] for one in some],
                "value": draw(st.sampled_from([None, f"{prefix}hall", f"{prefix}park", f"{prefix}street"])),
                "duplicates": draw(st.sampled_from([None, None, None, 7 if prefix else 1, 8 if prefix else 2])),
            }
        )
    return rows


def bound(one: Row, other: Row, rules: dict[str, Any]) -> bool:
    """Whether two clips may not be parted."""
    by = rules.get("by", "source")
    same = {name: one[name] is not None and one[name] == other[name] for name in ("sha256", "duplicates", "value")}
    address = one["uri"] == other["uri"] and "://" in one["uri"]
    family = one["key"] in other["parents"] or other["key"] in one["parents"]
    family = family or bool(set(one["parents"]) & set(other["parents"]))
    source = by != "clip" and (same["sha256"] or address)
    return source or family or same["duplicates"] or (by == "scene" and same["value"])


@pytest.mark.parametrize("rules", RULES)
@given(rows=catalogs())
@settings(deadline=None, max_examples=60)
def test_what_belongs_together_is_never_parted(rules: dict[str, Any], rows: list[Row]) -> None:
    side = split_of(rows, rules)
    for one in rows:
        for other in rows:
            assert side[one["key"]] == side[other["key"]] or not bound(one, other, rules)


@pytest.mark.parametrize("rules", RULES)
@given(rows=catalogs(), order=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_order_does_not_matter(rules: dict[str, Any], rows: list[Row], order: Any) -> None:
    mixed = list(rows)
    order.shuffle(mixed)
    assert split_of(mixed, rules) == split_of(rows, rules)


@pytest.mark.parametrize("rules", RULES)
@given(rows=catalogs(), others=catalogs(prefix="x"))
@settings(deadline=None, max_examples=60)
def test_unrelated_clips_move_nothing(rules: dict[str, Any], rows: list[Row], others: list[Row]) -> None:
    for one in others:
        one["uri"] = one["uri"].replace("1.mp4", "x1.mp4")
    both = split_of(rows + others, rules)
    assert {key: both[key] for key in split_of(rows, rules)} == split_of(rows, rules)


@given(rows=catalogs())
@settings(deadline=None, max_examples=60)
def test_a_share_at_the_end_moves_nothing_between_the_sides_before(rows: list[Row]) -> None:
    before, after = split_of(rows, {"test": 0.3}), split_of(rows, {"test": 0.3, "val": 0.3})
    assert all(after[key] == side or (side, after[key]) == ("train", "val") for key, side in before.items())


@given(rows=catalogs(), data=st.data())
@settings(deadline=None, max_examples=60)
def test_what_lies_in_a_dataset_keeps_its_split(rows: list[Row], data: st.DataObject) -> None:
    old = {row["key"]: data.draw(st.sampled_from(["train", "test", None])) for row in rows}
    placed = [{**row, "split": old[row["key"]]} for row in rows]
    found = draw_sides(rows_of(placed), Split(test=0.3))
    sides: dict[int, Counter[str]] = {}
    for row, unit in zip(placed, found.unit.tolist(), strict=True):
        if row["split"]:
            sides.setdefault(unit, Counter())[row["split"]] += 1
    for unit, side in zip(found.unit.tolist(), found.side.tolist(), strict=True):
        if unit in sides:
            assert sides[unit][found.names[side]] == max(sides[unit].values())
    assert any("in several splits" in note for note in found.notes) == any(len(one) > 1 for one in sides.values())


def test_shares_are_met_in_the_mean() -> None:
    rng = np.random.default_rng(5)
    rows = [{"key": f"k{n}", "sha256": f"{rng.integers(6000):064x}", "value": f"s{n % 3000}"} for n in range(9000)]
    for rules in ({"test": 0.1, "val": 0.2}, {"by": "scene", "test": 0.1, "val": 0.2}):
        if rules.get("by"):
            rows = [{**row, "sha256": row["key"]} for row in rows]
        found = draw_sides(rows_of(rows), Split(**rules))
        units = np.unique(np.stack([found.unit, found.side]), axis=1)
        counts = np.bincount(units[1], minlength=3) / units.shape[1]
        shares = dict(zip(found.names, counts, strict=True))
        # Four standard errors of 3000 draws.
        assert abs(shares["test"] - 0.1) < 4 * (0.1 * 0.9 / 3000) ** 0.5
        assert abs(shares["val"] - 0.2) < 4 * (0.2 * 0.8 / 3000) ** 0.5


def test_a_scene_keeps_its_side_when_more_of_it_comes() -> None:
    rows = [{"key": f"k{n}", "sha256": f"{n:064x}", "value": f"scene {n % 40}"} for n in range(1000, 1200)]
    more = [{"key": f"k{n}", "sha256": f"{n:064x}", "value": f"scene {n % 40}"} for n in range(400)]
    before, after = (split_of(some, {"by": "scene", "test": 0.5}) for some in (rows, rows + more))
    assert {key: after[key] for key in before} == before and set(before.values()) == {"train", "test"}


def test_a_clip_that_joins_two_units_brings_them_to_the_side_of_the_smaller_name() -> None:
    one, two = [{"key": f"a{n}", "sha256": f"{n:02d}", "duplicates": None} for n in range(2)], []
    for number in range(2, 40):
        two = [{"key": "b", "sha256": f"{number:02d}"}]
        before = split_of(one[:1] + two, {"test": 0.5})
        if before["a0"] != before["b"]:
            break
    both = split_of([{**one[0], "duplicates": 3}, {**two[0], "duplicates": 3}], {"test": 0.5})
    assert before["a0"] != before["b"] and set(both.values()) == {before["a0"]}


def test_pins_hold_what_they_name() -> None:
    rows = [
        {"key": f"k{n}", "sha256": f"{n % 20:02d}", "uri": f"{n % 20}.mp4", "value": f"s{n % 5}"} for n in range(60)
    ]
    pins = {"test": ("k1", "sha256:02", "3.mp4", "nobody"), "val": ("14.mp4",)}
    found = draw_sides(rows_of(rows), Split(pins=pins))
    side = {row["sha256"]: found.names[one] for row, one in zip(rows, found.side.tolist(), strict=True)}
    assert {digest for digest, name in side.items() if name == "test"} == {"01", "02", "03"}
    assert side["14"] == "val" and found.names == ("test", "train", "val")
    assert found.notes == ("compose.split.pins: 1 names belong to no clip: 'nobody'",)
    scenes = split_of(rows, {"by": "scene", "pins": {"test": ("s3",)}})
    assert {key for key, name in scenes.items() if name == "test"} == {f"k{n}" for n in range(60) if n % 5 == 3}
    with pytest.raises(UsageError, match=r"'s3' is pinned to 'test' and '13\.mp4' to 'val'"):
        split_of(rows, {"by": "scene", "pins": {"test": ("s3",), "val": ("13.mp4",)}})


def test_what_is_split_by_clip_or_lumps_together_is_told() -> None:
    rows = [{"key": f"k{n}", "sha256": "00" if n < 8 else f"{n:02d}"} for n in range(12)]
    assert "8 of 12 clips belong together" in " ".join(draw_sides(rows_of(rows), Split(test=0.2)).notes)
    assert "by clip" in " ".join(draw_sides(rows_of(rows), Split(by="clip", test=0.2)).notes)
    assert draw_sides(rows_of(rows), Split()).notes == ()
    assert draw_sides(rows_of([]), Split(test=0.2)).side.shape == (0,)


def test_a_side_without_clips_is_told() -> None:
    rules = Split(test=0.1, shares={"night": 0.2})
    assert empty_sides(rules, {"train": 3, "test": 1, "night": 2}) == ""
    assert "no source fell into 'test' and 'night'" in empty_sides(rules, {"train": 3})
    assert empty_sides(rules, {}) == "" and empty_sides(Split(test=1), {"test": 4}) == ""


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"by": "scenes"}, "scenes"),
        ({"by": "attributes."}, "attributes"),
        ({"by": "attributes.A b"}, "attributes"),
        ({"by": "weather.x"}, "weather"),
        ({"test": 0.7, "val": 0.4}, "add up to 1.1"),
        ({"shares": {"train": 0.5}}, "what is left"),
        ({"shares": {"val": 0.5}}, "key of its own"),
        ({"shares": {"a-b": 0.5}}, "a-b"),
        ({"tset": 0.1}, "did you mean 'test'"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        load(Split, values)


def test_rules_name_the_attribute() -> None:
    found = [
        Split(by=by).attribute
        for by in ("source", "clip", "scene", "subject", "attributes.scene", "attributes.light_2")
    ]
    assert found == ["", "", "scene", "subject", "scene", "light_2"]
