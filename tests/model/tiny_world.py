"""A world model small enough for a test, with weights that let every part matter."""

import torch

from worldloom.model.config import ModelConfig
from worldloom.model.memory.lifecycle import Chunk, Query
from worldloom.model.world import WorldModel

HPMC = {"kind": "hpmc", "hidden": 16, "num_heads": 2, "groups": 4}
DIT = {"dim": 24, "ffn_dim": 40, "num_heads": 2, "num_layers": 2, "freq_dim": 16}


def tiny_config(memory=HPMC, **fields):
    actions = {"kind": "released", "dim_embed": 6}
    return ModelConfig(**{"codec": "haar:5", "actions": actions, "memory": memory, "dit": DIT, **fields})


def tiny_world(memory=HPMC, seed=0, **fields):
    """Random weights everywhere: the release's zero head and small gates would hide mistakes."""
    torch.manual_seed(seed)
    model = WorldModel(tiny_config(memory, **fields))
    for name, parameter in model.named_parameters():
        if "latent_encoder" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def chunk_of(frames, batch=1, channels=5, h=4, w=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return Chunk(torch.randn(batch, channels, frames, h, w, generator=generator), torch.arange(frames).float())


def query_of(frames, first=0, batch=1, h=4, w=4, seed=2):
    generator = torch.Generator().manual_seed(seed)
    actions = torch.randint(0, 10, (batch, 4 * frames + 1, 2), generator=generator)
    return Query(torch.arange(first, first + frames).float(), (h, w), actions=actions)
