from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogs.edited import KEYS, build, clip, six_clips
from worldloom.catalogs.origins import Leak, family_links, linked, named_splits, source_identity, split_leaks
from worldloom.catalogs.verify import verify

SMALL = st.lists(st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), min_size=3, max_size=3), max_size=25)


def table(rows: list[tuple[str, str, str, str, list[str]]]) -> pa.Table:
    keys, splits, uris, digests, parents = zip(*rows, strict=True)
    source = [{"uri": uri, "sha256": digest} for uri, digest in zip(uris, digests, strict=True)]
    return pa.table(
        {"key": keys, "split": splits, "source": source, "parents": pa.array(parents, pa.list_(pa.string()))}
    )


@pytest.mark.parametrize(
    "uri",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=3",
        "http://m.youtube.com/watch?list=x&v=dQw4w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ",
        "https://music.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://www.youtube.com/embed/dQw4w9WgXcQ",
        "https://youtube.com/shorts/dQw4w9WgXcQ?feature=share",
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ",
    ],
)
def test_a_video_has_one_identity_in_all_forms_of_its_address(uri: str) -> None:
    assert source_identity(uri) == "youtube:dQw4w9WgXcQ"


def test_addresses_that_do_not_tell_have_no_identity() -> None:
    nothing = ["walks/1.mp4", "", "file:///a/1.mp4", "https://www.youtube.com/watch?...", "https://host/watch?..."]
    nothing += ["https://www.youtube.com/", "https://www.youtube.com/playlist", "https://host/", "http://[broken/x"]
    assert [source_identity(uri) for uri in nothing] == [None] * len(nothing)
    assert source_identity("https://HOST.example/a//b.mp4") == source_identity("http://www.host.example/a/b.mp4")
    assert source_identity("https://host/a.mp4") != source_identity("https://host/b.mp4")
    assert source_identity("s3://bucket/a.mp4") == "bucket/a.mp4"


@given(SMALL)
@settings(deadline=None, max_examples=60)
def test_components_are_what_following_every_link_finds(rows: list[list[str | None]]) -> None:
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(3)]
    found = linked(len(rows), [(np.arange(len(rows)), column) for column in columns])
    for start in range(len(rows)):
        reached, todo = set(), [start]
        while todo:
            one = todo.pop()
            if one not in reached:
                reached.add(one)
                todo += [
                    other
                    for other in range(len(rows))
                    if any(rows[one][place] and rows[one][place] == rows[other][place] for place in range(3))
                ]
        assert set(np.flatnonzero(found == found[start]).tolist()) == reached


def test_parents_children_and_siblings_are_one_family() -> None:
    keys = pa.chunked_array([["a", "b"], ["c", "d", "e"]])
    parents = pa.chunked_array([pa.array([None, ["a"], ["gone"], ["b"], ["gone", "x"]], pa.list_(pa.string()))])
    found = linked(5, [family_links(keys, parents)])
    assert found[0] == found[1] == found[3] != found[2] == found[4]


def test_sound_splits_leak_nothing() -> None:
    assert split_leaks(table([("a", "train", "1.mp4", "11", []), ("b", "test", "2.mp4", "22", [])])) == []
    assert split_leaks(table([("a", "train", "1.mp4", "", []), ("b", "test", "1.mp4", "", [])])) == [], "nothing known"


def test_a_source_on_two_sides_is_named_once() -> None:
    leaks = split_leaks(
        table(
            [
                ("a", "train", "walks/1.mp4", "11" * 32, []),
                ("b", "test", "walks/1.mp4", "11" * 32, []),
                ("c", "val", "walks/1.mp4", "11" * 32, ["a"]),
                ("d", "train", "https://youtu.be/dQw4w9WgXcQ", "22", []),
                ("e", "test", "https://www.youtube.com/embed/dQw4w9WgXcQ", "33", []),
                ("f", "train", "3.mp4", "44", []),
                ("g", "test", "4.mp4", "55", ["f"]),
            ]
        )
    )
    assert leaks[0] == Leak("source", f"walks/1.mp4 (sha256:{'11' * 8})", (("test", 1), ("train", 1), ("val", 1)))
    assert leaks[1].name.startswith("https://youtu.be/") and leaks[1].splits == (("test", 1), ("train", 1))
    assert leaks[2] == Leak("derived", "f", (("test", 1), ("train", 1)))
    assert len(leaks) == 3
    assert str(leaks[2]) == (
        "split leak: clip, with what was derived from it, f has clips in 2 splits (1 in 'test' and 1 in 'train')"
    )
    assert named_splits(leaks, most=1) == [str(leaks[0]), "split leak: and 2 more"]


def test_verify_names_what_leaks_and_finds_nothing_damaged(tmp_path: Path) -> None:
    report = verify(build(tmp_path / "torn", six_clips()), deep=False)
    assert report.problems == []
    assert report.leaks == [Leak("derived", KEYS[1], (("test", 1), ("train", 2)))]
    sound = build(tmp_path / "sound", [("train", [clip(0), clip(1)]), ("test", [clip(2), clip(3, source=2)])])
    assert verify(sound, deep=False).leaks == []
