from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogs.example_clip import example_clip
from worldloom.catalogs.clip import Camera, Depth, same_value
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import (
    MEMBERS,
    SCHEMA_VERSION,
    arrays_depth,
    clip_to_json,
    clip_to_members,
    depth_arrays,
    members_to_clip,
    read_npz,
    write_npz,
)


def there_and_back(clip):
    return members_to_clip(clip.key, clip_to_members(clip))


def test_a_clip_comes_back_whole() -> None:
    clip = example_clip(3, b"video")
    back = there_and_back(clip)
    # Depth is stored in steps of ln(z): what comes back is within its stated error, and stays from then on.
    np.testing.assert_allclose(back.depth.z, clip.depth.z, rtol=5e-4)
    clip.depth = back.depth
    assert same_value(back, clip)
    assert same_value(there_and_back(back), back)


def test_the_example_has_everything_there_is() -> None:
    """Else the round trip above proves less than it seems."""
    clip = example_clip(0, b"video")
    assert set(clip_to_members(clip)) == set(MEMBERS) - {"latents.safetensors"}
    assert all(getattr(clip, name) for name in ("events", "quality", "captions", "annotations"))
    assert clip.camera.up is not None
    assert np.isnan(clip.camera.c2w).any()
    assert np.isnan(clip.subjects.box).any()


def test_scalars_stay_scalars() -> None:
    """A 0-d array that comes back as 1-d turns `metric` into `['metric']`."""
    arrays = {"scale": np.array("metric"), "step": np.array(0.5), "empty": np.zeros((0, 3)), "flag": np.array(True)}
    back = read_npz(write_npz(arrays))
    for name, value in arrays.items():
        assert same_value(back[name], value)


def test_absent_annotations_stay_absent() -> None:
    clip = example_clip()
    for name in ("camera", "actions", "subjects", "depth", "hands", "revisits"):
        setattr(clip, name, None)
    members = clip_to_members(clip)
    assert set(members) == {"json", "camera.npz"}  # pts_s lie with the camera
    assert same_value(there_and_back(clip), clip)


def test_equal_clips_are_equal_bytes() -> None:
    assert clip_to_members(example_clip(1)) == clip_to_members(example_clip(1))
    assert clip_to_members(example_clip(1)) != clip_to_members(example_clip(2))


def test_memory_layout_does_not_change_bytes() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert write_npz({"a": array, "b": array.T}) == write_npz({"b": np.ascontiguousarray(array.T), "a": array[::1]})


def test_numpy_reads_our_npz() -> None:
    members = clip_to_members(example_clip())
    with np.load(io.BytesIO(members["camera.npz"]), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["c2w"], example_clip().camera.c2w)
        assert str(archive["scale"]) == "metric"


def test_the_video_is_read_from_its_path(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"video")
    assert clip_to_members(example_clip(0, tmp_path / "x.mp4"))["mp4"] == b"video"
    assert clip_to_members(example_clip(0, tmp_path / "x.mp4"), b"other")["mp4"] == b"other"


def test_the_record_is_plain_json_with_exact_fractions() -> None:
    record = json.loads(clip_to_members(example_clip())["json"])
    assert record["schema_version"] == SCHEMA_VERSION
    assert record["fps"] == "30000/1001"
    assert [event["kind"] for event in record["events"]] == ["pair", "entry"]
    assert record["captions"][0]["text"] == "a walk through a « hall »"


@settings(max_examples=30, deadline=None)
@given(
    low=st.floats(1e-3, 10),
    ratio=st.floats(1, 1e6),
    seed=st.integers(0, 2**31),
)
def test_depth_keeps_its_stated_error(low: float, ratio: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = (low * ratio ** rng.random((2, 5, 7))).astype(np.float32)
    valid = rng.random(z.shape) > 0.3
    depth = Depth(np.array([0, 9], np.int32), np.where(valid, z, np.nan), valid, np.ones(2, np.float32), "metric", 0.01)
    back = arrays_depth(depth_arrays(depth))
    np.testing.assert_array_equal(back.valid, valid)
    np.testing.assert_allclose(back.z[valid], z[valid], rtol=5e-4)
    assert np.isnan(back.z[~valid]).all()
    assert same_value(arrays_depth(depth_arrays(back)), back)


def test_depth_without_a_valid_pixel_is_stored() -> None:
    nothing = np.zeros((1, 4, 4), bool)
    depth = Depth(np.array([3], np.int32), np.full((1, 4, 4), np.nan, np.float32), nothing, np.zeros(1), "none", 1.0)
    assert not arrays_depth(depth_arrays(depth)).valid.any()
    depth.valid = ~nothing  # what is called valid and is no positive number is not
    depth.z[0, 0] = [-1, 0, np.inf, 2]
    assert arrays_depth(depth_arrays(depth)).valid.sum() == 1


def test_objects_are_neither_written_nor_read() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        write_npz({"x": np.array([{}], dtype=object)})
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="npz"):
        read_npz(buffer.getvalue())


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldloom.catalogs.sample._MAX_NPZ_BYTES", 1 << 20)
    data = write_npz({"x": np.zeros(1 << 20)})
    assert len(data) < 1 << 15
    with pytest.raises(BadInput, match="2 GiB"):
        read_npz(data)


def test_a_header_that_claims_more_than_there_is_is_refused() -> None:
    body = io.BytesIO()
    np.lib.format.write_array_header_1_0(body, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", body.getvalue() + bytes(64))
    with pytest.raises(BadInput, match="does not fit"):
        read_npz(buffer.getvalue())


def test_nothing_is_unpacked_before_its_name_shape_and_type_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = example_clip()
    members = clip_to_members(clip)
    unpacked: list[int] = []
    read, read_all = zipfile.ZipExtFile.read, zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *args: unpacked.append(len(out := read(*args))) or out)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *args: unpacked.append(len(out := read_all(*args))) or out)
    much = np.zeros(1 << 22)
    for member, name, array in (
        ("camera.npz", "surprise", much),
        ("camera.npz", "pts_s", much),
        ("camera.npz", "c2w", much),
        ("camera.npz", "scale", np.array("x" * (1 << 20))),
        ("hands.npz", "names", np.array(["x" * 2000] * 2)),
        ("hands.npz", "joints", np.zeros((12, 1 << 16, 3), np.float32)),
        ("depth.npz", "log_steps", np.zeros((2, 1 << 11, 1 << 10), np.uint16)),
        ("subjects.npz", "box", np.zeros((2, 1 << 16, 4), np.float32)),
    ):
        hostile = write_npz({**read_npz(members[member]), name: array})
        unpacked.clear()
        with pytest.raises(BadInput, match=name) as refusal:
            members_to_clip(clip.key, {**members, member: hostile})
        assert refusal.value.reason == "bad_sample" and member in str(refusal.value)
        assert max(unpacked) <= 1 << 16, (member, name)


def test_only_what_numpy_writes_is_unpacked() -> None:
    def archive(compression: int, names: list[str]) -> bytes:
        body, buffer = io.BytesIO(), io.BytesIO()
        np.save(body, np.zeros(3))
        with zipfile.ZipFile(buffer, "w", compression) as out:
            for name in names:
                out.writestr(name, body.getvalue())
        return buffer.getvalue()

    assert set(read_npz(archive(zipfile.ZIP_STORED, ["a.npy", "b.npy"]))) == {"a", "b"}
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(BadInput, match="not deflated"):
            read_npz(archive(compression, ["a.npy"]))
    with pytest.raises(BadInput, match="64 arrays"):
        read_npz(archive(zipfile.ZIP_STORED, [f"{number}.npy" for number in range(65)]))
    with pytest.raises(BadInput, match="twice"):
        read_npz(archive(zipfile.ZIP_STORED, ["a.npy", "a"]))


def test_large_arrays_come_back() -> None:
    array = np.random.default_rng(0).random((1 << 14, 3))
    for size in (1, 1 << 13, 1 << 14):
        np.testing.assert_array_equal(read_npz(write_npz({"x": array[:size], "y": array[0]}))["x"], array[:size])


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04 and then nothing"])
def test_what_is_no_npz_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput) as refusal:
        read_npz(data, where="a.camera.npz")
    assert refusal.value.reason == "bad_npz"
    assert "a.camera.npz" in str(refusal.value)


def test_every_truncation_of_a_sample_is_a_bad_input() -> None:
    clip = example_clip()
    members = clip_to_members(clip)
    for name in members:
        for share in (0.0, 0.3, 0.9):
            cut = {**members, name: members[name][: int(share * len(members[name]))]}
            with pytest.raises(BadInput):
                members_to_clip(clip.key, cut)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": SCHEMA_VERSION + 1},
        {"fps": "0/0"},
        {"fps": "fast"},
        {"provenance": {}},
        {"provenance": None},
        {"events": [{"subject": 1, "surprise": 2}]},
        {"frames": "many"},
        {"key": "somebody-else"},
        {"annotations": {"pose": {"status": "ok"}}},
    ],
)
def test_records_that_are_none_are_a_bad_input(change: dict) -> None:
    clip = example_clip()
    members = clip_to_members(clip)
    members["json"] = json.dumps(clip_to_json(clip) | change).encode()
    with pytest.raises(BadInput) as refusal:
        members_to_clip(clip.key, members)
    assert refusal.value.reason == "bad_sample"
    assert clip.key in str(refusal.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_no_record_is_a_bad_input(text: bytes) -> None:
    clip = example_clip()
    with pytest.raises(BadInput):
        members_to_clip(clip.key, {**clip_to_members(clip), "json": text})


def test_missing_arrays_and_members_are_named() -> None:
    clip = example_clip()
    members = clip_to_members(clip)
    with pytest.raises(BadInput, match="no json member"):
        members_to_clip(clip.key, {"mp4": b""})
    for name in ("camera.npz", "actions.npz", "subjects.npz", "depth.npz", "hands.npz"):
        arrays = read_npz(members[name])
        arrays.popitem()
        arrays["stranger"] = np.zeros(3)
        with pytest.raises(BadInput) as refusal:
            members_to_clip(clip.key, {**members, name: write_npz(arrays)})
        assert refusal.value.reason == "bad_sample"


def test_a_camera_without_extras_comes_back_without_them() -> None:
    clip = example_clip()
    clip.camera = Camera.known(np.tile(np.eye(4), (12, 1, 1)), np.array([1.0, 1, 1, 1]), "none")
    back = there_and_back(clip).camera
    assert same_value(back, clip.camera)
    assert back.up is None
    assert not back.translation_known.any()


@pytest.mark.parametrize(
    ("member", "name", "wrong"),
    [
        ("camera.npz", "c2w", np.float64(3.5)),
        ("camera.npz", "valid", np.ones(12)),
        ("subjects.npz", "id", np.array(["a", "b"])),
        ("subjects.npz", "label", np.array(["only one"])),
        ("subjects.npz", "box", np.zeros((2, 12))),
        ("depth.npz", "log_steps", np.zeros((2, 8, 12))),
        ("hands.npz", "joints", np.zeros((12, 3, 3))),
        ("actions.npz", "surprise", np.zeros(3)),
    ],
)
def test_arrays_that_are_not_what_the_member_holds_are_named(member: str, name: str, wrong: np.ndarray) -> None:
    clip = example_clip()
    members = clip_to_members(clip)
    members[member] = write_npz({**read_npz(members[member]), name: wrong})
    with pytest.raises(BadInput, match=name) as refusal:
        members_to_clip(clip.key, members)
    assert refusal.value.reason == "bad_sample"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"frames": 2**31}, "frames"),
        ({"width": -1}, "width"),
        ({"fps": "1/0"}, "fps"),
        ({"fps": "-30/1"}, "fps"),
        ({"quality": {"sharpness": "high"}}, "quality.sharpness"),
        ({"captions": [{"text": 3, "writer": "x"}]}, "captions.0.text"),
        ({"events": [{"subject": "x", "first_hidden": 1, "first_visible": 2}]}, "subject"),
        ({"annotations": {"pose": {"status": "fine", "method": "m", "version": "1"}}}, "annotations.pose.status"),
        ({"revisits": {"pairs": [[1, 2, 3]], "overlap": [], "density": 0, "from_depth": True}}, "revisits.pairs.0"),
    ],
)
def test_values_of_other_types_or_out_of_bounds_are_named(change: dict, word: str) -> None:
    clip = example_clip()
    members = clip_to_members(clip)
    members["json"] = json.dumps({**json.loads(members["json"]), **change}).encode()
    with pytest.raises(BadInput, match=word) as refusal:
        members_to_clip(clip.key, members)
    assert refusal.value.reason == "bad_sample"


def test_a_record_holds_no_secrets_of_its_source() -> None:
    clip = example_clip()
    values = json.loads(clip_to_members(clip)["json"])
    values["provenance"]["uri"] = "https://me:word@example.org/walks/0.mp4?sig=abc"
    back = members_to_clip(clip.key, {"json": json.dumps(values).encode()})
    assert back.provenance.uri == "https://example.org/walks/0.mp4?..."
