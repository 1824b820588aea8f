"""OpenEXR: what is written is read again, and what lies, is too large or damaged is refused before it costs."""

import struct

import numpy as np
import OpenEXR
import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.exr import exr_info, read_exr, read_exr_rgb, to_linear, to_srgb, write_exr

H, W = 24, 40


@pytest.fixture
def channels():
    rng = np.random.default_rng(1)
    return {
        "R": rng.random((H, W)).astype(np.float16),
        "G": rng.random((H, W)).astype(np.float16),
        "B": rng.random((H, W)).astype(np.float16),
        "A": np.ones((H, W), np.float16),
        "FinalImageMovieRenderQueue_WorldDepth.R": (rng.random((H, W)) * 1e5).astype(np.float32),
        "id.I": rng.integers(0, 2**32, (H, W), dtype=np.uint32),
    }


def reason(call, *args, **kwargs):
    with pytest.raises(BadInput) as caught:
        call(*args, **kwargs)
    return caught.value.reason


@pytest.mark.parametrize("compression", ["none", "zips", "zip", "piz"])
def test_what_is_written_is_read_again(tmp_path, channels, compression):
    write_exr(tmp_path / "a.exr", dict(channels), {"unreal/camera/curPos/x": "1.5"}, compression)
    info = exr_info(tmp_path / "a.exr")
    assert info.size == (W, H)
    assert info.channels["R"] == "half" and info.channels["id.I"] == "uint"
    assert info.text["unreal/camera/curPos/x"] == "1.5"
    assert info.layers()["FinalImageMovieRenderQueue_WorldDepth"] == ["R"]
    for name, value in read_exr(tmp_path / "a.exr").items():
        np.testing.assert_array_equal(value, channels[name].astype(value.dtype))
        assert value.dtype == (np.uint32 if name == "id.I" else np.float32)
    assert list(read_exr(tmp_path / "a.exr", ["id.I"])) == ["id.I"]


def test_every_byte_of_srgb_survives_half_floats(tmp_path):
    rgb = np.stack(np.meshgrid(np.arange(256), np.arange(3)), axis=-1).astype(np.uint8)
    rgb = np.dstack([rgb, rgb[..., :1]])
    light = to_linear(rgb)
    np.testing.assert_array_equal(to_srgb(light), rgb)
    write_exr(tmp_path / "a.exr", {name: light[..., i].astype(np.float16) for i, name in enumerate("RGB")})
    assert np.abs(read_exr_rgb(tmp_path / "a.exr").astype(int) - rgb).max() == 0


def test_exposure_and_curve():
    light = np.array([[[0.25, 1.0, 3.0]]], np.float32)
    np.testing.assert_array_equal(to_srgb(light, 1.0), to_srgb(2 * light))
    assert to_srgb(light)[0, 0, 2] == 255
    assert to_srgb(light, curve="reinhard")[0, 0].tolist() == to_srgb(light / (1 + light))[0, 0].tolist()
    assert to_srgb(np.array([np.nan, np.inf, -1.0], np.float32)).tolist() == [0, 255, 0]


def test_alpha_lies_over_black_already(tmp_path, channels):
    write_exr(tmp_path / "a.exr", dict(channels))
    write_exr(tmp_path / "b.exr", {**channels, "A": np.zeros((H, W), np.float16)})
    np.testing.assert_array_equal(read_exr_rgb(tmp_path / "a.exr"), read_exr_rgb(tmp_path / "b.exr"))


def test_the_layer_of_the_picture_is_found_or_named(tmp_path, channels):
    beauty = {f"FinalImageMovieRenderQueue_Beauty.{one}": channels[one] for one in "RGB"}
    depth = {f"FinalImageMovieRenderQueue_WorldDepth.{one}": channels["R"] for one in "RGB"}
    write_exr(tmp_path / "a.exr", {**beauty, **depth})
    write_exr(tmp_path / "b.exr", dict(channels))
    np.testing.assert_array_equal(read_exr_rgb(tmp_path / "a.exr"), read_exr_rgb(tmp_path / "b.exr"))
    named = read_exr_rgb(tmp_path / "a.exr", layer="FinalImageMovieRenderQueue_WorldDepth")
    assert not np.array_equal(named, read_exr_rgb(tmp_path / "b.exr"))
    write_exr(tmp_path / "c.exr", depth)
    assert reason(read_exr_rgb, tmp_path / "c.exr") == "exr_no_channel"
    assert reason(read_exr, tmp_path / "c.exr", ["Z"]) == "exr_no_channel"


def test_parts_carry_their_name(tmp_path, channels):
    scan = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    beauty = OpenEXR.Part(dict(scan), {one: channels[one].copy() for one in "RGB"}, "FinalImage")
    depth = OpenEXR.Part(dict(scan), {"Z": channels["FinalImageMovieRenderQueue_WorldDepth.R"].copy()}, "depth")
    OpenEXR.File([beauty, depth]).write(str(tmp_path / "m.exr"))
    write_exr(tmp_path / "b.exr", dict(channels))
    np.testing.assert_array_equal(read_exr_rgb(tmp_path / "m.exr"), read_exr_rgb(tmp_path / "b.exr"))
    read = read_exr(tmp_path / "m.exr", ["depth.Z"])["depth.Z"]
    np.testing.assert_array_equal(read, channels["FinalImageMovieRenderQueue_WorldDepth.R"])


def test_the_display_window_is_the_picture(tmp_path, channels):
    box = (np.array([-2, -1], np.int32), np.array([W - 3, H - 2], np.int32))  # where the pixels lie
    shown = (np.array([0, 0], np.int32), np.array([W - 1, H - 1], np.int32))
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    values = channels["FinalImageMovieRenderQueue_WorldDepth.R"]
    OpenEXR.File({**header, "dataWindow": box, "displayWindow": shown}, {"Z": values.copy()}).write(
        str(tmp_path / "o.exr")
    )
    read = read_exr(tmp_path / "o.exr")["Z"]
    np.testing.assert_array_equal(read[: H - 1, : W - 2], values[1:, 2:])
    assert not read[H - 1 :].any() and not read[:, W - 2 :].any()


def test_other_primaries_are_refused(tmp_path, channels):
    write_exr(tmp_path / "a.exr", {one: channels[one] for one in "RGB"})
    info = exr_info(tmp_path / "a.exr")
    assert info.chromaticities == ()
    aces = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, "chromaticities": aces}
    OpenEXR.File(header, {one: channels[one].copy() for one in "RGB"}).write(str(tmp_path / "b.exr"))
    assert reason(read_exr_rgb, tmp_path / "b.exr") == "exr_colours"


def test_tiled_pictures_are_refused(tmp_path, channels):
    header = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
    OpenEXR.File(header, {"R": channels["R"].copy()}).write(str(tmp_path / "t.exr"))
    assert reason(exr_info, tmp_path / "t.exr") == "exr_layout"
    scan = {"type": OpenEXR.scanlineimage}
    parts = [
        OpenEXR.Part(scan, {"R": channels["R"].copy()}, "a"),
        OpenEXR.Part(header, {"R": channels["G"].copy()}, "b"),
    ]
    OpenEXR.File(parts).write(str(tmp_path / "m.exr"))
    assert reason(exr_info, tmp_path / "m.exr") == "exr_layout"


def test_claims_are_checked_before_pixels_are_read(tmp_path, channels):
    write_exr(tmp_path / "a.exr", dict(channels))
    data = (tmp_path / "a.exr").read_bytes()
    window = data.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    compression = data.index(b"compression\0compression\0") + len(b"compression\0compression\0") + 4

    def with_bytes(at, value):
        (tmp_path / "x.exr").write_bytes(data[:at] + value + data[at + len(value) :])
        return tmp_path / "x.exr"

    assert reason(read_exr, with_bytes(window, struct.pack("<4i", 0, 0, 2**30, 2**30))) == "too_large"
    assert reason(read_exr, with_bytes(window, struct.pack("<4i", 5, 5, 0, 0))) == "bad_exr"
    assert reason(read_exr, with_bytes(compression, b"\x0b")) == "exr_layout"
    assert reason(read_exr, with_bytes(0, b"abcd")) == "bad_exr"
    assert reason(read_exr, tmp_path / "absent.exr") == "no_file"


def test_too_many_channels(tmp_path):
    write_exr(tmp_path / "a.exr", {f"c{i}": np.zeros((2, 2), np.float16) for i in range(70)})
    assert reason(exr_info, tmp_path / "a.exr") == "too_large"


def test_cut_or_flipped_anywhere_it_gives_pixels_or_a_reason(tmp_path, channels, capfd):
    write_exr(tmp_path / "a.exr", dict(channels))
    data = (tmp_path / "a.exr").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for case in range(150):
        damaged = bytearray(data)
        if case % 3 == 0:
            damaged = damaged[: int(rng.integers(0, len(data)))]
        else:
            for at in rng.integers(0, len(data) if case % 3 == 1 else 700, 4):
                damaged[int(at)] = int(rng.integers(0, 256))
        (tmp_path / "x.exr").write_bytes(damaged)
        try:
            read = read_exr(tmp_path / "x.exr")
        except BadInput as error:
            refused += 1
            assert error.reason in {"bad_exr", "exr_layout", "too_large"}
        else:
            assert len({value.shape for value in read.values()}) == 1
    assert refused >= 50  # at least every file that was cut
    said = capfd.readouterr()
    assert not said.err and not said.out
