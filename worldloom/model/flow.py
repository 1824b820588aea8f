"""Flow matching in one convention, stated here and used everywhere.

    x_t = (1 - t) x_0 + t noise,   t in [0, 1],   velocity = noise - x_0 = d x_t / d t

so t = 0 is data, t = 1 is noise, and sampling integrates from 1 down to 0. A network sees 1000 t (Wan's range).
Shapes: B batch; x is (B, ...) with any trailing axes, t is (B,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

TimeKind = Literal["uniform", "logit_normal"]


def interpolate(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x_0 + t noise.

    Args:
        x0: (B, ...) data.
        noise: like `x0`.
        t: (B,) in [0, 1].

    Returns:
        x_t, in the dtype of `x0`.
    """
    t = _spread(t, x0)
    return ((1 - t) * x0 + t * noise).to(x0.dtype)


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """What the network learns: noise - x_0, the same at every t."""
    return noise - x0


def x0_from(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Data from a point and its velocity: x_t - t v."""
    return (x_t - _spread(t, x_t) * v).to(x_t.dtype)


def noise_from(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Noise from a point and its velocity: x_t + (1 - t) v."""
    return (x_t + (1 - _spread(t, x_t)) * v).to(x_t.dtype)


def shift(t: Tensor, factor: float) -> Tensor:
    """Move times towards noise: s t / (1 + (s - 1) t); keeps 0 and 1 (SD3, eq. 23; Infinite-World: s = 7).

    Args:
        t: any shape, in [0, 1].
        factor: s > 0; 1 changes nothing.

    Raises:
        ValueError: a factor that is not positive.
    """
    if not factor > 0:
        raise ValueError(f"shift is {factor}; it must be positive (1 changes nothing)")
    return factor * t / (1 + (factor - 1) * t)


def unshift(t: Tensor, factor: float) -> Tensor:
    """Inverse of `shift`: t / (s - (s - 1) t), which is a shift by 1 / s."""
    return shift(t, 1 / factor)


def sample_times(count: int, generator: torch.Generator, kind: TimeKind = "uniform", factor: float = 1.0) -> Tensor:
    """Times to train at.

    Args:
        count: B.
        generator: a CPU generator; it alone decides the draw.
        kind: `uniform` on [0, 1) (Infinite-World's default) or `logit_normal`: sigmoid of N(0, 1) (SD3).
        factor: shift applied afterwards (Infinite-World: 7 at 448 x 896).

    Returns:
        (B,) float32 in [0, 1].

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "uniform":
        t = torch.rand(count, generator=generator, dtype=torch.float64)
    elif kind == "logit_normal":
        t = torch.randn(count, generator=generator, dtype=torch.float64).sigmoid()
    else:
        raise ValueError(f"kind of times '{kind}' is none of uniform, logit_normal")
    return shift(t, factor).float()


def schedule(steps: int, factor: float = 7.0) -> Tensor:
    """Times to sample at: linspace(1000, 1, steps) / 1000, shifted, then 0 (Infinite-World, released code).

    Returns:
        (steps + 1,) float64, falling strictly from 1 to 0.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"{steps} sampling steps; at least one is needed")
    times = shift(torch.linspace(1000, 1, steps, dtype=torch.float64) / 1000, factor)
    return torch.cat([times, times.new_zeros(1)])


def euler(velocity_fn: Callable[[Tensor, Tensor], Tensor], noise: Tensor, times: Tensor | Sequence[float]) -> Tensor:
    """Integrate d x / d t = velocity from the first time to the last; exact where the velocity is constant.

    Args:
        velocity_fn: (x (B, ...), t (B,) float32) -> velocity like x.
        noise: (B, ...) x at the first time; its dtype is the one steps are added up in.
        times: falling, as from `schedule`.

    Returns:
        x at the last time, like `noise`.
    """
    x = noise
    steps = [float(time) for time in times]
    for now, after in pairwise(steps):
        t = torch.full((len(x),), now, dtype=torch.float32, device=x.device)
        x = x - (now - after) * velocity_fn(x, t).to(x.dtype)
    return x


def guide(v_cond: Tensor, v_uncond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: v_u + scale (v_c - v_u); 1 is the conditional velocity, 0 the unconditional one."""
    return v_uncond + scale * (v_cond - v_uncond)


def _spread(t: Tensor, x: Tensor) -> Tensor:
    """t (B,) as (B, 1, ..., 1), at least float32: a t rounded to bfloat16 would be another noise level."""
    return t.to(torch.promote_types(x.dtype, torch.float32)).reshape(-1, *[1] * (x.dim() - 1))
