"""Wan 2.1's autoencoder, read by diffusers from a folder on this machine.

B batch, C latent channels, n groups of 4 frames after the first frame, H W picture size.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldloom.catalogs.errors import UsageError
from worldloom.model.codecs.codec import Codec
from worldloom.model.config import WAN_LATENT_CHANNELS

WEIGHTS = "diffusion_pytorch_model.safetensors"
"""What diffusers names the weights of an autoencoder."""
HOW = "save AutoencoderKLWan with diffusers' save_pretrained, or download the `vae` folder of a Wan 2.1 release"


class WanCodec(Codec):
    """AutoencoderKLWan; latents are the means of the posterior, normalised by the release's mean and deviation.

    Args:
        folder: with `config.json` and `diffusion_pytorch_model.safetensors`, or one whose `vae` folder has them.
        dtype: of its weights; the results are float32.

    Raises:
        UsageError: diffusers is missing, or the folder is, or it holds another model.
    """

    def __init__(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        self.name = f"wan:{folder}"
        self.channels = WAN_LATENT_CHANNELS
        path = _with_weights(Path(folder))
        self.version = _digest(path / WEIGHTS)
        self._vae = _load(path).to(dtype=dtype).eval().requires_grad_(False)
        config = self._vae.config
        if config.z_dim != WAN_LATENT_CHANNELS:
            raise UsageError(f"{path}: an autoencoder of {config.z_dim} channels; Wan 2.1 has {WAN_LATENT_CHANNELS}")
        shape = (1, -1, 1, 1, 1)
        self._mean = torch.tensor(config.latents_mean).reshape(shape)
        self._deviation = torch.tensor(config.latents_std).reshape(shape)

    def to(self, device: torch.device | str) -> WanCodec:
        """Move the weights."""
        self._vae.to(device)
        self._mean, self._deviation = self._mean.to(device), self._deviation.to(device)
        return self

    @torch.no_grad()
    def _encode(self, video: Tensor) -> Tensor:
        mean = self._vae.encode(video.to(self._mean.device, self._vae.dtype)).latent_dist.mode()
        return (mean.float() - self._mean) / self._deviation

    @torch.no_grad()
    def _decode(self, latents: Tensor) -> Tensor:
        latents = latents.to(self._mean.device).float() * self._deviation + self._mean
        return self._vae.decode(latents.to(self._vae.dtype)).sample.float()


def _with_weights(folder: Path) -> Path:
    for path in (folder, folder / "vae"):
        if (path / WEIGHTS).is_file() and (path / "config.json").is_file():
            return path
    raise UsageError(f"{folder}: no config.json with {WEIGHTS} here or in its folder vae; {HOW}")


def _load(path: Path) -> Any:
    try:
        from diffusers import AutoencoderKLWan
    except ImportError:
        raise UsageError("the codec wan needs diffusers: pip install 'worldloom[wan]'") from None
    try:
        return AutoencoderKLWan.from_pretrained(path, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{path}: not an AutoencoderKLWan ({error}); {HOW}") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
