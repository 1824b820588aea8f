"""Random numbers that are a pure function of what they are for, so that nothing random has to be saved."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(purpose: str, *numbers: int) -> int:
    """63 bits from the purpose and its numbers, e.g. `seed_of("noise", seed, step)`."""
    text = "\0".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(purpose: str, *numbers: int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(seed_of(purpose, *numbers)))


def torch_generator(purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator of torch for one purpose; draws are moved to the device afterwards, so that all devices agree."""
    import torch

    return torch.Generator().manual_seed(seed_of(purpose, *numbers))
