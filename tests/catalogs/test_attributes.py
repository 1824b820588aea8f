"""Attributes: any column of any table becomes a plain value under a plain name, and the catalog has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalogs.example_clip import example_clip
from worldloom.catalogs.attributes import attributes_problem, plain_attributes
from worldloom.catalogs.catalog import catalog_table, columns_of_rows, matching, united, write_catalog_of
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import clip_to_members, members_to_clip

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(max_size=90), VALUES, max_size=8))
def test_whatever_a_table_holds_becomes_attributes(values: dict[str, object]) -> None:
    found = plain_attributes(values)
    assert attributes_problem(found) == ""
    assert plain_attributes(found) == found


def test_names_values_and_clashes() -> None:
    found = plain_attributes({
        "Title (en)": " a ", "title-en": "b", "Views": 5, "2024": True, "none": None, "nan": float("nan"), "empty": " ",
        "tags": ["x", 1], "huge": 10**400,
    })  # fmt: skip
    assert found == {
        "title_en": "a", "title_en_2": "b", "views": 5.0, "c_2024": True, "tags": '["x", 1]',
        "huge": str(10**400),
    }  # fmt: skip


def clips(*attributes: dict[str, str | float | bool]) -> list[Clip]:
    return [replace(example_clip(), key=f"{n:026d}", attributes=one) for n, one in enumerate(attributes)]


def test_a_sample_brings_them_back_and_one_without_has_no_word_of_them() -> None:
    with_some, without = clips({"scene": "kitchen", "views": 5.0, "indoor": True}, {})
    assert members_to_clip(with_some.key, clip_to_members(with_some)).attributes == with_some.attributes
    assert b"attributes" not in clip_to_members(without)["json"]
    assert members_to_clip(without.key, clip_to_members(without)).attributes == {}


@pytest.mark.parametrize("bad", ['{"A": 1}', '{"a": null}', '{"a": [1]}', "[1]", '{"a": "%s"}' % ("x" * 5000)])
def test_a_sample_of_somebody_else_is_held_to_plain_names_and_values(bad: str) -> None:
    (clip,) = clips({"a": 1.0})
    members = clip_to_members(clip)
    members["json"] = members["json"].replace(b'{"a": 1.0}', bad.encode())
    with pytest.raises(BadInput, match="attributes"):
        members_to_clip(clip.key, members)


def test_the_catalog_can_be_asked_for_them(tmp_path: Path) -> None:
    rows = [catalog_row(one) for one in clips({"scene": "a", "views": 5.0}, {"scene": "b", "views": 7.0}, {})]
    table = catalog_table(rows)
    assert matching(table, "attributes.views > 5").tolist() == [1]
    assert matching(table, "attributes.scene IS NULL").tolist() == [2]
    assert matching(columns_of_rows(rows, ["attributes"]), "attributes.scene = 'a'").tolist() == [0]
    assert "attributes" not in catalog_table(rows[2:]).column_names


def test_names_that_mean_numbers_here_and_texts_there_are_texts_in_whatever_order(tmp_path: Path) -> None:
    rows = [catalog_row(one) for one in clips({"id": 5.0}, {"id": "x"}, {}, {"id": True, "more": 0.5})]
    parts = [catalog_table(rows[n : n + 1]) for n in range(4)]
    assert united(parts)["attributes"].to_pylist() == [
        {"id": "5", "more": None}, {"id": "x", "more": None}, None, {"id": "true", "more": 0.5},
    ]  # fmt: skip
    entries = {write_catalog_of(tmp_path / str(n), some).sha256 for n, some in enumerate((parts, parts[::-1]))}
    assert entries == {write_catalog_of(tmp_path / "all", [catalog_table(rows)]).sha256}


def test_an_operation_may_not_take_the_name() -> None:
    (clip,) = clips({})
    clip.annotations["attributes"] = clip.annotations["pose"]
    with pytest.raises(ValueError, match="attributes"):
        catalog_row(clip)
    assert pa.types.is_struct(catalog_table([catalog_row(one) for one in clips({"a": 1.0})])["attributes"].type)
