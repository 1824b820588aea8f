"""A transformer small enough for a test, with weights that let every part matter."""

import torch

from worldloom.model.config import DiTConfig
from worldloom.model.dit import DiT
from worldloom.model.memory.lifecycle import FrameSequence, Plan
from worldloom.model.memory.none import NoMemory
from worldloom.model.memory.none_config import NoMemoryConfig

TINY = DiTConfig(dim=24, ffn_dim=40, num_heads=2, num_layers=2, freq_dim=16, in_channels=3, text_dim=10, text_len=7)


class FullAttention(NoMemory):
    """The default branch of every memory: all attend to all."""

    def __init__(self):
        super().__init__(NoMemoryConfig())


def tiny_dit(config=TINY, seed=0, dtype=torch.float32):
    """Weights of order one everywhere: the release's zero head and small gates would hide mistakes."""
    torch.manual_seed(seed)
    dit = DiT(config)
    for parameter in dit.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return dit.to(dtype)


def row_of(latents, context=0, extra=None, time=None):
    """`latents` (B, C, S, h, w) whose first `context` frames are clean and not returned."""
    frames = latents.shape[2]
    is_context = torch.arange(frames) < context
    return FrameSequence(
        latents=latents,
        extra=extra,
        clean=is_context,
        context=is_context,
        time=torch.arange(frames).float() if time is None else time,
        keep=slice(context, frames),
    )


def run(dit, sequence, t, **inputs):
    return dit(sequence, t, FullAttention(), Plan(), **inputs)
