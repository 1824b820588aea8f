import pytest
import torch

from worldloom.catalogs.errors import UsageError
from worldloom.model.codecs.registry import codec_from

MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508]
MEAN += [0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743]
STD += [3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    diffusers = pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("wan")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(base_dim=4, num_res_blocks=1).eval()
    vae.save_pretrained(folder / "vae")
    return vae, folder


@torch.no_grad()
def test_latents_are_normalised_means(autoencoder):
    vae, folder = autoencoder
    codec = codec_from(f"wan:{folder}").to("cpu")
    video = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    latents = codec.encode(video)
    assert latents.shape == (1, 16, 2, 2, 2)
    mean, std = (torch.tensor(values).reshape(1, 16, 1, 1, 1) for values in (MEAN, STD))
    torch.testing.assert_close(latents, (vae.encode(video).latent_dist.mean - mean) / std)
    torch.testing.assert_close(codec.decode(latents), vae.decode(latents * std + mean).sample.clamp(-1, 1))
    assert codec.decode(latents).shape == video.shape
    assert codec.name == f"wan:{folder}" and len(codec.version) == 16


@torch.no_grad()
def test_future_frames_leave_the_first_latent_alone(autoencoder):
    codec = codec_from(f"wan:{autoencoder[1]}")
    video = torch.rand(1, 3, 5, 16, 16)
    changed = video.clone()
    changed[:, :, 1:] = 0
    torch.testing.assert_close(codec.encode(video)[:, :, :1], codec.encode(changed)[:, :, :1])


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="no config"):
        codec_from(f"wan:{tmp_path / 'nowhere'}")


def test_other_weights_are_refused(autoencoder, tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKLWan"}')
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"none")
    with pytest.raises(UsageError, match="not an AutoencoderKLWan"):
        codec_from(f"wan:{tmp_path}")
