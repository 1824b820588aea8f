import pytest
import torch

from worldloom.catalogs.errors import UsageError
from worldloom.model.codecs.haar import DEVIATIONS, HaarCodec, basis, blocks, frames, ordered_basis
from worldloom.model.codecs.registry import codec_from


def noise(length=9, h=16, w=24, batch=1, seed=0):
    return torch.rand(batch, 3, length, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def picture(length=9, h=32, w=48):
    """A smooth scene that slides by, with an edge in it."""
    t, y, x = torch.meshgrid(*(torch.arange(n).float() for n in (length, h, w)), indexing="ij")
    waves = [torch.sin((x + 0.7 * t) / 5 + k) * torch.cos(y / 6 - k) * 0.5 for k in range(3)]
    edge = ((x + t) % 20 < 7).float() * 0.4
    return torch.stack([wave + edge - 0.2 for wave in waves])[None]


def test_basis_is_orthonormal():
    vectors, bands = basis()
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(768, dtype=torch.float64), rtol=0, atol=1e-12)
    assert len(set(bands)) == 90


def test_all_channels_are_exact():
    codec = HaarCodec(768)
    for video in (noise(batch=2), picture(), torch.ones(1, 3, 1, 8, 8), -torch.ones(1, 3, 5, 8, 8)):
        assert (codec.decode(codec.encode(video)) - video).abs().max() < 1e-5


def test_shapes():
    latents = HaarCodec(48).encode(noise(17, batch=2))
    assert latents.shape == (2, 48, 5, 2, 3) and latents.dtype == torch.float32
    assert HaarCodec(48).decode(latents).shape == (2, 3, 17, 16, 24)


def test_blocks_there_and_back():
    video = noise(13)
    assert torch.equal(frames(blocks(video)), video)


@pytest.mark.parametrize("channels", [48, 768])
def test_future_frames_leave_earlier_latents_alone(channels):
    codec, video = HaarCodec(channels), noise(17)
    before = codec.encode(video)
    for first in (1, 5, 8, 16):
        changed = video.clone()
        changed[:, :, first:] = noise(17, seed=1)[:, :, first:]
        latest = (first - 1) // 4 + 1  # latents 0 .. latest - 1 hold frames up to first - 1 alone
        after = codec.encode(changed)
        assert torch.equal(before[:, :, :latest], after[:, :, :latest])
        assert not torch.equal(before[:, :, latest:], after[:, :, latest:])


def test_first_latent_alone_is_the_first_frame():
    codec, video = HaarCodec(768), noise(9)
    latents = codec.encode(video)
    torch.testing.assert_close(codec.decode(latents[:, :, :1]), video[:, :, :1], rtol=0, atol=1e-5)
    torch.testing.assert_close(codec.encode(video[:, :, :1]), latents[:, :, :1])
    vectors, bands = basis()
    moving = [k for k, (_, time, _) in enumerate(bands) if time]
    assert (blocks(video)[:, 0].double() @ vectors[moving].T).abs().max() < 1e-6


def test_quality_rises_with_channels():
    video, last = picture(), 0.0
    for channels in (3, 16, 48, 192, 400, 767):
        codec = HaarCodec(channels)
        psnr = float(-10 * ((codec.decode(codec.encode(video)) - video) / 2).square().mean().log10())
        assert psnr > last
        last = psnr


def test_larger_subbands_come_first():
    deviations = ordered_basis()[1]
    assert (deviations[:-1] >= deviations[1:]).all() and deviations[-1] > 0
    assert deviations[0] == DEVIATIONS[0][0][0]


def test_more_channels_only_add():
    video = noise()
    torch.testing.assert_close(HaarCodec(48).encode(video)[:, :16], HaarCodec(16).encode(video))


def test_decoded_video_is_clamped():
    assert HaarCodec(16).decode(100 * torch.randn(1, 16, 2, 2, 2)).abs().max() <= 1


def test_names_and_shapes_are_checked():
    assert codec_from("haar:48").channels == 48
    assert codec_from("haar:7").to("cpu").name == "haar:7"
    with pytest.raises(UsageError, match="haar:N"):
        codec_from("haar:0")
    with pytest.raises(ValueError, match="1 to 768"):
        HaarCodec(769)
    with pytest.raises(ValueError, match="multiples of 8"):
        HaarCodec(16).encode(torch.zeros(1, 3, 4, 16, 16))
    with pytest.raises(ValueError, match="expects"):
        HaarCodec(16).decode(torch.zeros(1, 15, 4, 2, 2))
