"""From a memory's configuration to the memory. A new design is added here and in `MemoryConfig`."""

from __future__ import annotations

from worldloom.model.config import DiTConfig
from worldloom.model.memory.hpmc import HPMC
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.model.memory.lifecycle import Memory
from worldloom.model.memory.none import NoMemory
from worldloom.model.memory.none_config import NoMemoryConfig


def build_memory(config: HPMCConfig | NoMemoryConfig, dit: DiTConfig) -> Memory:
    """The memory a configuration describes.

    Args:
        config: one of the memories' configurations; its class decides.
        dit: the transformer it serves, for its channels and width.

    Raises:
        ValueError: the transformer was not built for this memory's extra channels.
    """
    if dit.extra_channels != config.extra_channels:
        raise ValueError(
            f"memory '{config.kind}' adds {config.extra_channels} channels to the input, "
            f"the transformer has room for {dit.extra_channels}"
        )
    if isinstance(config, HPMCConfig):
        return HPMC(config, dit)
    return NoMemory(config)
