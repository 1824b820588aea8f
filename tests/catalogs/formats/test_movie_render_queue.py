"""Names, passes and ids of Movie Render Queue, below the source."""

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.cryptomatte import object_id, read_cryptomatte, write_cryptomatte
from worldloom.catalogs.formats.exr import write_exr
from worldloom.catalogs.formats.movie_render_queue import (
    DepthPass,
    IdPass,
    Numbered,
    name_pattern,
    pass_channel,
    read_depth,
    read_ids,
    sorted_out,
)


def test_names_by_the_queues_words():
    found = name_pattern("{sequence_name}.{frame_number}").fullmatch("Seq.v2.0012")
    assert found["sequence"] == "Seq.v2" and found["frame"] == "0012"
    assert name_pattern("{sequence}.{frame}").fullmatch("Seq.-003")["frame"] == "-003"
    assert name_pattern("{pass}_{frame}").fullmatch("WorldDepth_7")["pass"] == "WorldDepth"
    assert name_pattern("a+{frame}").fullmatch("aa1") is None
    with pytest.raises(ValueError, match="did you mean"):
        name_pattern("{sequense}.{frame}")


def test_sequences_of_one_folder_are_told_apart(tmp_path):
    names = ["A.0001.png", "A.0002.png", "B.0001.png", "B.0001.jpeg", "other.txt", "C.mp4"]
    shots = sorted_out([tmp_path / name for name in names], "{sequence}.{frame}", ["FinalImage"])
    assert set(shots) == {(tmp_path, "A"), (tmp_path, "B")}
    assert shots[tmp_path, "A"][""].numbers == [1, 2]
    assert shots[tmp_path, "B"][""].problem()[0] == "doubled_frames"


def test_a_pass_at_the_end_of_a_name_is_no_sequence(tmp_path):
    names = ["A.FinalImage.0001.png", "A.WorldDepth.0001.exr", "A_objectid.0001.png", "B.0001.png", "WorldDepth.2.exr"]
    passes = ["FinalImage", "WorldDepth", "ObjectId"]
    shots = sorted_out([tmp_path / name for name in names], "{sequence}.{frame}", passes)
    found = {sequence: sorted(one) for (_, sequence), one in shots.items()}
    assert found == {"A": ["", "ObjectId", "WorldDepth"], "B": [""], "": ["WorldDepth"]}


def test_murmur_hash_as_published():
    # Cryptomatte specification 1.2, and the reference vectors of MurmurHash3_x86_32.
    assert object_id("hello") == 0x248BFA47
    assert object_id("hello, world") == 0x149BBB7F


def test_cryptomatte_masks_come_back(tmp_path):
    rng = np.random.default_rng(0)
    who = rng.integers(0, 3, (20, 30))
    write_cryptomatte(tmp_path / "c.exr", {f"BP_{name}": who == i for i, name in enumerate("abc")})
    masks = read_cryptomatte(tmp_path / "c.exr", ("BP_[ab]",))
    assert set(masks) == {"BP_a", "BP_b"}
    np.testing.assert_array_equal(masks["BP_a"], who == 0)
    write_exr(tmp_path / "d.exr", {"R": np.zeros((4, 4), np.float32)})
    with pytest.raises(BadInput) as caught:
        read_cryptomatte(tmp_path / "d.exr", ("*",))
    assert caught.value.reason == "no_cryptomatte"
    for manifest in ("[", '{"a": "xyz"}', '{"a": 5}', '["a"]', '{"a": "fffffffff"}'):
        text = {"cryptomatte/1/name": "R", "cryptomatte/1/manifest": manifest}
        write_exr(tmp_path / "d.exr", {"R": np.zeros((4, 4), np.float32)}, text)
        with pytest.raises(BadInput) as caught:
            read_cryptomatte(tmp_path / "d.exr", ("*",))
        assert caught.value.reason == "bad_cryptomatte"


def test_distance_becomes_z(tmp_path):
    """A wall at 3 m, square to the camera: every pixel has the same z, and distances grow to the corners."""
    k = np.array([40.0, 40.0, 30.0, 20.0])
    u, v = np.meshgrid(np.arange(60) + 0.5, np.arange(40) + 0.5)
    distance = 300 * np.sqrt(1 + ((u - 30) / 40) ** 2 + ((v - 20) / 40) ** 2)
    write_exr(tmp_path / "d.exr", {"R": distance.astype(np.float32)})
    for height in (40, 20, 17):
        z, valid = read_depth(tmp_path / "d.exr", DepthPass(measure="distance", height=height), k)
        assert valid.all() and z.shape[0] == height
        np.testing.assert_allclose(z, 3, rtol=1e-6)


def test_the_sky_has_no_depth(tmp_path):
    stored = np.array([[100, 65504, np.inf, np.nan, 0, -5, 2e5]], np.float32)
    write_exr(tmp_path / "d.exr", {"Z": stored})
    z, valid = read_depth(tmp_path / "d.exr", DepthPass(), np.ones(4))
    assert valid.tolist() == [[True, False, False, False, False, False, False]] and z[0, 0] == 1


def test_the_channel_of_a_pass(tmp_path):
    flat = np.zeros((2, 2), np.float16)
    write_exr(tmp_path / "a.exr", {"R": flat, "FinalImageMovieRenderQueue_WorldDepth.R": flat})
    assert pass_channel(tmp_path / "a.exr", "WorldDepth") == "FinalImageMovieRenderQueue_WorldDepth.R"
    write_exr(tmp_path / "b.exr", {"Z": flat})
    assert pass_channel(tmp_path / "b.exr", "WorldDepth") == "Z"
    write_exr(tmp_path / "c.exr", {"Other.R": flat})
    with pytest.raises(BadInput) as caught:
        pass_channel(tmp_path / "c.exr", "WorldDepth")
    assert caught.value.reason == "exr_no_channel"


def test_ids_as_numbers_and_colours(tmp_path):
    who = np.zeros((10, 12), np.uint8)
    who[2:4, 3:6], who[5:7, 7:9] = 3, 9
    cv2.imwrite(str(tmp_path / "n.png"), who)
    write_exr(tmp_path / "n.exr", {"Stencil.R": who.astype(np.float32)})
    for path in (tmp_path / "n.png", tmp_path / "n.exr"):
        masks, size = read_ids(path, IdPass(kind="number", name="Stencil"))
        assert size == (12, 10)
        assert set(masks) == {"3", "9"}
        np.testing.assert_array_equal(masks["9"], who == 9)
        assert set(read_ids(path, IdPass(kind="number", name="Stencil", subjects={"3": "dog"}))[0]) == {"3"}
    red = np.zeros((10, 12, 3), np.uint8)
    red[who == 3] = (250, 3, 0)
    cv2.imwrite(str(tmp_path / "c.png"), red[..., ::-1])
    np.testing.assert_array_equal(
        read_ids(tmp_path / "c.png", IdPass(subjects={"#ff0000": "dog"}))[0]["#ff0000"], who == 3
    )
    assert list(read_ids(tmp_path / "c.png", IdPass())[0]) == ["#fa0300"]
    cv2.imwrite(str(tmp_path / "noise.png"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    with pytest.raises(BadInput) as caught:
        read_ids(tmp_path / "noise.png", IdPass())
    assert caught.value.reason == "too_many_subjects"


def test_two_numbers_that_lie_far_apart_cost_no_memory():
    """Names of files are somebody else's, and they are looked at in the driver."""
    numbered = Numbered()
    for number in (-2, 0, 1, 4_000_000):
        numbered.add(number, Path(f"a.{number}.png"))
    tracemalloc.start()
    try:
        problem = numbered.problem()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problem is not None and problem[0] == "missing_frames"
    assert problem[1].startswith("3999999 pictures are missing between -2 and 4000000, the first is -1")
    assert peak < 1_000_000
