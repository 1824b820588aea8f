from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.example_clip import example_clip, example_dataset, example_video
from tests.catalogs.formats.paths import some_trajectory
from tests.pipeline.conftest import write_video
from tests.pipeline.passes.test_ingest_video import ingest_all, only
from worldloom.catalogs.clip import Clip, Provenance, same_value
from worldloom.catalogs.edits import remove
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import clip_to_members, write_npz
from worldloom.catalogs.shards import write_shard
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.settings import Ingest
from worldloom.pipeline.sources.webdataset import WebDatasetSource


def source(path: Path, **values: Any) -> WebDatasetSource:
    return WebDatasetSource.model_validate({"kind": "webdataset", "path": path, **values})


def tar(path: Path, *members: tuple[str, bytes], **fields: Any) -> Path:
    """A tar by Python; fields are set in every header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def with_span(clip: Clip) -> Provenance:
    """Its origin, the span as ingest writes it: source times of its first and last frame."""
    return replace(clip.provenance, span_s=(float(clip.pts_s[0]), float(clip.pts_s[-1])))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 20, 0).read_bytes()


def test_a_dataset_of_ours_comes_back_with_everything(tmp_path: Path) -> None:
    """Record and frames, arrays of every kind; what annotators called absent is asked for again."""
    dataset = example_dataset(tmp_path)
    found = ingest_all(source(dataset, licence="not this one"), tmp_path / "out", min_seconds=0)
    assert len(found) == 5
    clips = {only(clips).key: only(clips) for clips in found.values()}
    for number in range(5):
        old = example_clip(number)
        new = clips[old.key]
        for member in ("camera", "actions", "subjects", "hands", "events", "revisits", "captions"):
            assert same_value(getattr(new, member), getattr(old, member)), member
        assert new.depth is not None and old.depth is not None
        np.testing.assert_allclose(new.depth.z, old.depth.z, rtol=1e-3)
        assert new.provenance == with_span(old)
        assert new.annotations["pose"] == old.annotations["pose"]
        assert new.annotations["ingest"].notes["copied"] is True
        np.testing.assert_array_equal(new.frames, old.frames)
        assert isinstance(new.video, Path)
        assert new.video.read_bytes() == example_video(tmp_path / "again.mp4", number).read_bytes()


def test_labels_come_along_where_their_line_is_there_and_parents_and_attributes_too(tmp_path: Path) -> None:
    clip = example_clip(0, example_video(tmp_path / "a.mp4"))
    line = clip.annotations["pose"]
    clip.annotations |= {name: replace(line, method="labels") for name in ("actions", "revisits")}
    clip.provenance = replace(clip.provenance, parents=("p" * 26,), operations=("reverse:loop",), licence="")
    clip.attributes = {"scene": "hall", "floor": 2.0}
    write_shard(tmp_path / "in.tar", [(clip.key, clip_to_members(clip))])
    (item,) = source(tmp_path).items()
    new = only(ingest_all(source(tmp_path, licence="CC0-1.0"), tmp_path / "out", min_seconds=0)[item.uri])
    assert item.uri == f"in.tar/{clip.key}"
    assert same_value(new.actions, clip.actions) and same_value(new.revisits, clip.revisits)
    assert new.annotations["actions"].method == "labels"
    assert new.provenance == replace(with_span(clip), licence="CC0-1.0")
    assert new.attributes == clip.attributes
    slow = only(ingest_all(source(tmp_path), tmp_path / "slow", min_seconds=0, fps=15)[item.uri])
    assert slow.actions is None and slow.camera is not None and slow.key != clip.key
    less = only(ingest_all(source(tmp_path, give=["pose"]), tmp_path / "less", min_seconds=0)[item.uri])
    assert less.subjects is None and less.actions is None and less.camera is not None


def claimed(folder: Path, number: int, key: str) -> WebDatasetSource:
    """A dataset with one clip, which says it is another one: key, origin and times are the other's."""
    folder.mkdir()
    clip, other = example_clip(number, example_video(folder / "a.mp4", number)), example_clip(0)
    clip = replace(clip, key=key, provenance=other.provenance, pts_s=other.pts_s, camera=None, captions=[])
    write_shard(folder / "in.tar", [(key, clip_to_members(clip))])
    return source(folder)


@pytest.mark.parametrize("first", [0, 1])
def test_a_claimed_key_replaces_no_video_of_another_clip(tmp_path: Path, first: int) -> None:
    """Nor do annotators' answers about one count for the other."""
    key = example_clip(0).key
    sources = [claimed(tmp_path / str(number), number, key) for number in (0, 1)]
    numbers = (first, 1 - first)
    found, seen = [], []
    for number in numbers:
        (item,) = sources[number].items()
        rules = Ingest(min_seconds=0).model_dump(mode="json")
        result = ingest_video({"item": asdict(item), "ingest": rules, "out": str(tmp_path / "out")})
        (about,) = result["facts"]["clips"]
        assert about["key"] == key
        seen.append(about["source"])
        found.append(only(ingest_all(sources[number], tmp_path / "out", min_seconds=0)[item.uri]))
    for number, clip in zip(numbers, found, strict=True):
        assert clip.key == key and isinstance(clip.video, Path)
        assert clip.video.read_bytes() == (tmp_path / str(number) / "a.mp4").read_bytes()
    assert seen[0] != seen[1]


def test_what_was_taken_down_is_not_taken_over(tmp_path: Path) -> None:
    dataset = example_dataset(tmp_path)
    key = example_clip(1).key
    remove(dataset, [key])
    assert any(path.name.endswith("00000.tar") for path in (dataset / "shards").iterdir()), "the old shard still lies"
    keys = [item.detail["key"] for item in source(dataset).items()]
    assert len(keys) == 4 and key not in keys


def test_samples_of_others_bring_columns_captions_and_cameras(tmp_path: Path, video: bytes) -> None:
    poses = some_trajectory(20).c2w
    npz = write_npz({"extrinsics": np.linalg.inv(poses), "K": np.array([[50.0, 0, 32], [0, 51, 24], [0, 0, 1]])})
    told = {"caption": "a hall", "views": 7, "meta": {"place": "Lund", "lens": {"mm": 24}}, "licence": "CC-BY-4.0"}
    tar(
        tmp_path / "deep" / "00000.tar",
        ("one.json", json.dumps(told).encode()),
        ("one.mp4", video),
        ("one.cam.npz", npz),
        ("./two.mp4", video),
        ("two.txt", b"a garden\n"),
        ("six.mp4", video),
        ("six.json", b"[]"),
    )
    camera = {"member": "cam.npz", "poses": "extrinsics", "intrinsics": "K", "direction": "w2c"}
    columns = {"place": "meta.place", "lens_mm": "meta.lens.mm", "missing": "meta.none"}
    values: dict[str, Any] = {"licence_key": "licence", "attributes": columns, "camera": camera, "licence": "fallback"}
    found = ingest_all(source(tmp_path, **values), tmp_path / "out")
    one = only(found["deep/00000.tar/one"])
    assert one.camera is not None
    np.testing.assert_allclose(one.camera.c2w, poses, atol=1e-9)
    np.testing.assert_allclose(one.camera.intrinsics[0], [50, 51, 32, 24])
    assert [(caption.text, caption.writer) for caption in one.captions] == [("a hall", "source:webdataset")]
    assert one.attributes == {"place": "Lund", "lens_mm": 24.0} and one.provenance.licence == "CC-BY-4.0"
    two = only(found["deep/00000.tar/two"])
    assert two.captions[0].text == "a garden" and two.provenance.licence == "fallback" and two.camera is None
    assert isinstance(found["deep/00000.tar/six"], BadInput) and "no mapping" in found["deep/00000.tar/six"].message
    plain = only(ingest_all(source(tmp_path), tmp_path / "plain")["deep/00000.tar/one"])
    assert plain.attributes == {"views": 7.0, "licence": "CC-BY-4.0"} and plain.camera is None


def test_long_keys_that_begin_alike_are_two_items(tmp_path: Path, video: bytes) -> None:
    """Items of one name make the whole job refuse; these are two problems."""
    tar(tmp_path / "a.tar", *((f"{'k' * 210}{name}.mp4", video) for name in "ab"))
    items = list(source(tmp_path).items())
    assert [item.problem and item.problem[0] for item in items] == ["bad_name", "bad_name"]
    assert len({item.id for item in items}) == 2


def test_what_webdataset_writes_is_read(tmp_path: Path, video: bytes) -> None:
    """In a process of its own: importing webdataset brings torch."""
    pytest.importorskip("webdataset")
    (tmp_path / "a.mp4").write_bytes(video)
    script = (
        "import sys, webdataset\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "with webdataset.TarWriter(sys.argv[2]) as out:\n"
        "    out.write({'__key__': 'clip_0', 'mp4': data, 'json': {'caption': 'a hall', 'rating': 4}})\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.mp4", tmp_path / "b.tar"], check=True, timeout=120)
    clip = only(ingest_all(source(tmp_path), tmp_path / "out")["b.tar/clip_0"])
    assert clip.captions[0].text == "a hall" and clip.attributes == {"rating": 4.0}


def raw(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "reason", "message"),
    [
        (
            lambda p: tar(p, ("a.mp4", b""), type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            "bad_shard",
            "a symbolic link",
        ),
        (lambda p: tar(p, ("a.mp4", b""), type=tarfile.LNKTYPE, linkname="b"), "bad_shard", "a hard link"),
        (lambda p: tar(p, ("a.mp4", b""), type=tarfile.CHRTYPE), "bad_shard", "a device"),
        (lambda p: tar(p, ("a.mp4", b""), type=tarfile.GNUTYPE_SPARSE), "bad_shard", "no regular file"),
        (lambda p: tar(p, ("../a.mp4", b"x")), "bad_shard", "leads out of the tar"),
        (lambda p: tar(p, ("/etc/a.mp4", b"x")), "bad_shard", "leads out of the tar"),
        (lambda p: raw(p, b"x" * 700), "bad_shard", "header at byte 0 is damaged"),
        (lambda p: raw(p, b""), "torn_shard", "before its first member"),
        (lambda p: raw(p, tar(p, ("a.mp4", b"x" * 5000)).read_bytes()[:3000]), "torn_shard", "inside member a.mp4"),
    ],
)
def test_a_tar_that_cannot_be_trusted_is_one_row(
    tmp_path: Path, make: Callable[[Path], Any], reason: str, message: str
) -> None:
    make(tmp_path / "a.tar")
    tar(tmp_path / "b.tar", ("k.mp4", b"x"))
    first, second = source(tmp_path).items()
    assert first.uri == "a.tar" and first.problem is not None and first.problem[0] == reason
    assert message in first.problem[1] and "nothing of this tar is read" in first.problem[1]
    assert second.uri == "b.tar/k" and second.problem is None


def test_scattered_and_doubled_members_cost_their_sample(tmp_path: Path) -> None:
    tar(
        tmp_path / "a.tar",
        ("x.mp4", b"1"), ("y.mp4", b"1"), ("x.json", b"{}"), ("z.mp4", b"1"), ("z.mp4", b"2"), ("f/g.mp4", b"1"),
        ("a b.mp4", b"1"), ("p.jpg", b"1"),
    )  # fmt: skip
    found = {item.uri: item.problem for item in source(tmp_path).items()}
    assert {uri: problem and problem[0] for uri, problem in found.items()} == {
        "a.tar/x": "bad_sample", "a.tar/y": None, "a.tar/z": "bad_sample", "a.tar/f/g": "bad_name",
        "a.tar/a b": "bad_name", "a.tar/p": "no_video",
    }  # fmt: skip
    assert found["a.tar/x"] == ("bad_sample", "its members are not contiguous, at x.json")


def test_records_that_lie_are_refused(tmp_path: Path) -> None:
    clip = example_clip(0, example_video(tmp_path / "a.mp4"))
    members = clip_to_members(clip)
    write_shard(tmp_path / "a.tar", [("b" * 26, members)])
    values = json.loads(members["json"])
    write_shard(tmp_path / "b.tar", [(clip.key, {**members, "json": json.dumps({**values, "frames": 13}).encode()})])
    write_shard(tmp_path / "c.tar", [(clip.key, {**members, "hands.npz": b"no npz"})])
    (tmp_path / "a.mp4").unlink()
    found = ingest_all(source(tmp_path, match="[abc].tar"), tmp_path / "out", min_seconds=0)
    reasons = [problem.reason for problem in found.values() if isinstance(problem, BadInput)]
    assert reasons == ["bad_sample", "bad_poses", "bad_npz"] or reasons == ["bad_sample", "bad_record", "bad_npz"]


def test_only_tars_that_match_are_opened(tmp_path: Path, video: bytes) -> None:
    for name in ("train/0.tar", "test/0.tar", ".hidden/0.tar"):
        tar(tmp_path / name, ("a.mp4", video))
    assert [item.uri for item in source(tmp_path, match="train/*.tar").items()] == ["train/0.tar/a"]
    assert len(list(source(tmp_path).items())) == 2
    before = next(iter(source(tmp_path).items())).fingerprint()
    tar(tmp_path / "test/0.tar", ("a.mp4", video + b"x"))
    assert next(iter(source(tmp_path).items())).fingerprint() != before


def test_another_rate_and_size_scale_what_is_given(tmp_path: Path) -> None:
    clip = example_clip(0, example_video(tmp_path / "a.mp4"))
    write_shard(tmp_path / "a.tar", [(clip.key, clip_to_members(clip))])
    rules = {"min_seconds": 0, "height": 16, "fps": 15}
    new = only(ingest_all(source(tmp_path, match="a.tar"), tmp_path / "out", **rules)[f"a.tar/{clip.key}"])
    assert new.camera is not None and new.subjects is not None and clip.camera is not None
    assert new.fps == Fraction(15) and new.height == 16
    np.testing.assert_allclose(new.camera.intrinsics[0], clip.camera.intrinsics[0] / 2)
