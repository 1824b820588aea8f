"""Rotary positions in time, rows and columns, on free grids: times need not be whole or contiguous.

An axis with p pairs turns its pair k by position / 10000^(k / p), so the product of a query and a key depends on the
difference of their positions alone. A head's pairs are shared out among the three axes (Wan 2.1).
Shapes: B batch, F frames, h rows, w columns of tokens, N = F h w tokens, P = head_dim / 2 pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

THETA = 10_000.0


def axis_split(head_dim: int) -> tuple[int, int, int]:
    """Pairs for time, rows and columns (Wan 2.1): a third each, rounded down, the rest to time.

    128 gives (22, 21, 21); 32 gives (6, 5, 5).

    Raises:
        ValueError: an odd width, or one without a pair for each axis.
    """
    pairs, odd = divmod(head_dim, 2)
    if odd or pairs < 3:
        raise ValueError(f"head_dim is {head_dim}; RoPE needs an even number of at least 6")
    third = pairs // 3
    return pairs - 2 * third, third, third


def rotations(time: Tensor, rows: Tensor, columns: Tensor, head_dim: int) -> Tensor:
    """Cosine and sine of every token's angles.

    Args:
        time: (F,) positions of the frames, any real numbers.
        rows: (h,) positions of the token rows, Wan: 0, 1, ...
        columns: (w,) positions of the token columns.
        head_dim: width of a head.

    Returns:
        (F h w, P, 2) float64: cosine and sine; tokens run over columns fastest, then rows, then time.
        A slice of tokens is a slice of the first axis.
    """
    grid = (len(time), len(rows), len(columns))
    angles = []
    for axis, (positions, pairs) in enumerate(zip((time, rows, columns), axis_split(head_dim), strict=True)):
        # Wan counts each axis's exponents by that axis's own width.
        exponents = torch.arange(pairs, dtype=torch.float64, device=positions.device) / pairs
        turned = positions.double()[:, None] * THETA**-exponents
        shape = [1, 1, 1, pairs]
        shape[axis] = grid[axis]
        angles.append(turned.reshape(shape).expand(*grid, pairs))
    angle = torch.cat(angles, dim=-1).reshape(-1, head_dim // 2)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """Turn each interleaved pair (x_2k, x_2k+1) of each token by its angle k.

    Args:
        x: (B, N, heads, head_dim) queries or keys.
        rotations: (N, P, 2) of the same tokens; the arithmetic runs in its dtype.

    Returns:
        Like `x`.
    """
    pairs = x.to(rotations.dtype).unflatten(-1, (-1, 2))
    cosine, sine = rotations[:, None, :, 0], rotations[:, None, :, 1]
    even, odd = pairs[..., 0], pairs[..., 1]
    turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1)
    return turned.flatten(-2).to(x.dtype)
