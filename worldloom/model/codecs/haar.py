"""A codec without weights: blocks of 4 x 8 x 8 pixels in an orthonormal Haar basis, on any machine.

Each block of 3 colours, 4 frames and 8 x 8 pixels becomes 768 numbers: a colour rotation, two temporal levels, three
spatial levels. A codec with C channels keeps those C of them that are largest on average; with all 768 it is exact.
On rendered worlds 16 channels keep 22.6 dB, 48 24.8 dB and 192 29.7 dB (`python benchmarks/haar.py`).
The first frame stands alone: it is encoded as a group of four equal frames and decoded as the last of its group.
Blocks know nothing of each other, so latent j depends on frames 4j - 3 to 4j alone.

B batch, C latent channels, F latent frames, H W picture size, h w latent size.
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from worldloom.model.codecs.codec import STRIDE, Codec

VALUES = 768
"""Numbers in one block: 3 colours x 4 frames x 8 rows x 8 columns."""
TEMPORAL_BANDS = ("mean of 4", "halves", "neighbours")
SPATIAL_BANDS = (
    "mean",
    "rows 8",
    "columns 8",
    "both 8",
    "rows 4",
    "columns 4",
    "both 4",
    "rows 2",
    "columns 2",
    "both 2",
)
"""Rows: the difference of an upper and a lower half; the number is the size in pixels of the square it spans."""

# fmt: off
DEVIATIONS = (
    (
        (8.1075, 1.6681, 1.4763, 0.5166, 0.6651, 0.5830, 0.2070, 0.2633, 0.2407, 0.0960),
        (1.7814, 0.6591, 0.8983, 0.3549, 0.3297, 0.4046, 0.1586, 0.1587, 0.1775, 0.0758),
        (0.9613, 0.3934, 0.7696, 0.3271, 0.2408, 0.3786, 0.1516, 0.1329, 0.1717, 0.0744),
    ),
    (
        (2.8831, 0.5734, 0.4719, 0.1929, 0.2327, 0.1936, 0.0758, 0.0930, 0.0838, 0.0332),
        (0.6788, 0.2650, 0.3278, 0.1412, 0.1304, 0.1552, 0.0622, 0.0609, 0.0694, 0.0281),
        (0.4002, 0.1704, 0.3058, 0.1355, 0.1001, 0.1546, 0.0605, 0.0522, 0.0694, 0.0276),
    ),
    (
        (2.1586, 0.3766, 0.3148, 0.1247, 0.1479, 0.1305, 0.0513, 0.0591, 0.0540, 0.0241),
        (0.4511, 0.1676, 0.2183, 0.0906, 0.0820, 0.0979, 0.0402, 0.0393, 0.0434, 0.0196),
        (0.2553, 0.1037, 0.1924, 0.0840, 0.0615, 0.0946, 0.0389, 0.0335, 0.0425, 0.0192),
    ),
)
# fmt: on
"""Standard deviation of each subband of video in [-1, 1], by colour (brightness, red-blue, green-magenta), temporal
band and spatial band; measured on rendered worlds by `python benchmarks/haar.py`."""
AVERAGES = (-7.55, 2.99, 0.96)
"""Mean of the first subband of each colour, measured likewise; the mean of every other subband is 0."""


class HaarCodec(Codec):
    """The embedded codec.

    Args:
        channels: C, 1 to 768.
    """

    version = "1"

    def __init__(self, channels: int) -> None:
        if not 1 <= channels <= VALUES:
            raise ValueError(f"haar codec with {channels} channels; 1 to {VALUES} expected")
        self.name = f"haar:{channels}"
        self.channels = channels
        vectors, deviations, means = ordered_basis()
        vectors, deviations = vectors[:channels], deviations[:channels, None]
        self._analysis = (vectors / deviations).float().T
        self._synthesis = (vectors * deviations).float()
        self._means = (means[:channels] / deviations[:, 0]).float()

    def to(self, device: torch.device | str) -> HaarCodec:
        """Move the basis."""
        self._analysis, self._synthesis = self._analysis.to(device), self._synthesis.to(device)
        self._means = self._means.to(device)
        return self

    def _encode(self, video: Tensor) -> Tensor:
        values = blocks(video.to(self._analysis)) @ self._analysis - self._means
        return values.permute(0, 4, 1, 2, 3)

    def _decode(self, latents: Tensor) -> Tensor:
        values = latents.to(self._synthesis).permute(0, 2, 3, 4, 1) + self._means
        return frames(values @ self._synthesis)


def blocks(video: Tensor) -> Tensor:
    """Video (B, 3, 1 + 4n, H, W) as blocks (B, 1 + n, h, w, 768), its first frame four times."""
    first = video[:, :, :1].expand(-1, -1, STRIDE[0] - 1, -1, -1)
    batch, colours, length, rows, columns = (video := torch.cat([first, video], dim=2)).shape
    split = video.reshape(batch, colours, length // 4, 4, rows // 8, 8, columns // 8, 8)
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(batch, length // 4, rows // 8, columns // 8, VALUES)


def frames(blocks: Tensor) -> Tensor:
    """Inverse of `blocks`: (B, F, h, w, 768) to (B, 3, 4F - 3, 8h, 8w); of the first group the last frame stays."""
    batch, groups, rows, columns, _ = blocks.shape
    split = blocks.reshape(batch, groups, rows, columns, 3, 4, 8, 8).permute(0, 4, 1, 5, 2, 6, 3, 7)
    return split.reshape(batch, 3, 4 * groups, 8 * rows, 8 * columns)[:, :, 3:]


def ordered_basis() -> tuple[Tensor, Tensor, Tensor]:
    """Basis vectors (768, 768), largest subband first, and the deviation and mean (768,) of each; float64.

    Vectors of one subband stay in the order of their place in the block.
    """
    vectors, bands = basis()
    deviations = torch.tensor([DEVIATIONS[colour][time][space] for colour, time, space in bands], dtype=torch.float64)
    means = torch.tensor(
        [AVERAGES[colour] if (time, space) == (0, 0) else 0.0 for colour, time, space in bands], dtype=torch.float64
    )
    order = torch.sort(deviations, descending=True, stable=True).indices
    return vectors[order], deviations[order], means[order]


def basis() -> tuple[Tensor, list[tuple[int, int, int]]]:
    """Orthonormal vectors (768, 768) over colour, frame, row, column; the colour, temporal and spatial band of each."""
    vectors, bands = [], []
    parts = product(enumerate(_colours()), _temporal(), _spatial())
    for (colour, mix), (time, over_frames), (space, over_pixels) in parts:
        vectors.append(torch.einsum("c,t,yx->ctyx", mix, over_frames, over_pixels).flatten())
        bands.append((colour, time, space))
    return torch.stack(vectors), bands


def _colours() -> Tensor:
    """Rows: brightness, red against blue, green against both; a rotation, so exactly invertible, unlike YCbCr."""
    mix = torch.tensor([[1, 1, 1], [1, 0, -1], [-1, 2, -1]], dtype=torch.float64)
    return mix / mix.norm(dim=1, keepdim=True)


def _temporal() -> list[tuple[int, Tensor]]:
    """Two levels of Haar over 4 frames: the temporal band and its vector (4,)."""
    rows = ((0, (1, 1, 1, 1)), (1, (1, 1, -1, -1)), (2, (1, -1, 0, 0)), (2, (0, 0, 1, -1)))
    vectors = ((band, torch.tensor(row, dtype=torch.float64)) for band, row in rows)
    return [(band, vector / vector.norm()) for band, vector in vectors]


def _spatial() -> list[tuple[int, Tensor]]:
    """Three levels of Haar over 8 x 8 pixels: the spatial band and its picture (8, 8).

    Level by level, coarse first, a square of 8, 4 or 2 pixels is split into halves along rows, columns or both.
    """
    pictures = [(0, torch.full((8, 8), 1 / 8, dtype=torch.float64))]
    for level, size in enumerate((8, 4, 2)):
        step = torch.cat([torch.ones(size // 2), -torch.ones(size // 2)]).double()
        flat = torch.ones(size, dtype=torch.float64)
        for kind, (over_rows, over_columns) in enumerate(((step, flat), (flat, step), (step, step))):
            wavelet = torch.outer(over_rows, over_columns) / math.sqrt(size * size)
            for top, left in product(range(0, 8, size), repeat=2):
                picture = torch.zeros(8, 8, dtype=torch.float64)
                picture[top : top + size, left : left + size] = wavelet
                pictures.append((1 + 3 * level + kind, picture))
    return pictures
