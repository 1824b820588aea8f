"""What a world model is made of: the transformer, the codec it speaks to, the actions and the memory.

`ModelConfig` is what a recipe and a checkpoint hold. Channel counts follow from the codec and the memory, so that
nobody writes them twice; a written one that disagrees is an error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from worldloom.catalogs.config import Strict
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.model.memory.none_config import NoMemoryConfig

WAN_LATENT_CHANNELS = 16
"""Channels of the Wan 2.1 autoencoder."""
LEAST_HEAD_DIM = 6
"""One complex pair for each of time, rows and columns."""


class DiTConfig(Strict):
    """The transformer of Wan 2.1; defaults are those of its release where it has one for all sizes.

    Attributes:
        dim: width D of a token.
        ffn_dim: width of the hidden layer of each block's MLP.
        num_heads: attention heads; `dim` is a multiple of it, and dim / num_heads even and at least 6.
        num_layers: blocks.
        patch_size: latent frames, rows and columns in one token. The memories speak of frames, so the first is 1.
        freq_dim: width of the sinusoidal embedding of the noise time; even.
        in_channels: latent channels, in and out.
        extra_channels: channels after the latent ones that only the input has (HPMC: 4 of its mask).
        text_dim: width of a text token, 4096 for Wan; 0: no cross-attention and no text embedding.
        text_len: text tokens attended to; shorter texts are padded with zeros.
        eps: of all norms.
        qk_norm: RMS norm of queries and keys over all heads together.
        cross_attn_norm: affine layer norm before cross-attention.
        checkpoint_blocks: recompute each block in the backward pass: less memory, one more forward.
    """

    dim: int = Field(ge=1)
    ffn_dim: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    num_layers: int = Field(ge=1)
    patch_size: tuple[int, int, int] = (1, 2, 2)
    freq_dim: int = Field(default=256, ge=2, multiple_of=2)
    in_channels: int = Field(default=WAN_LATENT_CHANNELS, ge=1)
    extra_channels: int = Field(default=0, ge=0)
    text_dim: int = Field(default=0, ge=0)
    text_len: int = Field(default=512, ge=1)
    eps: float = Field(default=1e-6, gt=0)
    qk_norm: bool = True
    cross_attn_norm: bool = True
    checkpoint_blocks: bool = False

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads

    @property
    def patch_values(self) -> int:
        """Latent positions in one token."""
        return self.patch_size[0] * self.patch_size[1] * self.patch_size[2]

    @model_validator(mode="after")
    def _heads_fit(self) -> DiTConfig:
        if self.dim % self.num_heads:
            raise ValueError(f"dim {self.dim} is not a multiple of num_heads {self.num_heads}")
        if self.head_dim % 2 or self.head_dim < LEAST_HEAD_DIM:
            raise ValueError(f"dim / num_heads is {self.head_dim}; RoPE needs an even number of at least 6")
        if self.patch_size[0] != 1 or min(self.patch_size) < 1:
            raise ValueError("patch_size must be (1, rows, columns) with positive rows and columns")
        return self


WAN_1_3B = DiTConfig(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30, text_dim=4096)
"""Wan 2.1 text to video, 1.3B."""


class ActionConfig(Strict):
    """How the actions of a chunk become one vector per latent frame.

    Attributes:
        kind: `released`: Infinite-World's encoder, which sees three frames ahead and whose norm mixes all time.
            `causal`: ours, for streaming: an action changes no latent at or before its own frame.
        dim_embed: width of each of the two embeddings, of move and of view (Infinite-World, released code: 256).
    """

    kind: Literal["released", "causal"] = "released"
    dim_embed: int = Field(default=256, ge=1)


MemoryConfig = Annotated[HPMCConfig | NoMemoryConfig, Field(discriminator="kind")]
"""Every memory a recipe can choose; `kind` says which."""


class ModelConfig(Strict):
    """A whole world model.

    Attributes:
        codec: `haar:N` (the embedded one with N channels, 1 to 768) or `wan:FOLDER` (AutoencoderKLWan, 16 channels).
        actions: the action encoder; None: the model takes no actions.
        memory: what the model knows of the past.
        dit: the transformer; `in_channels` is filled from the codec and `extra_channels` from the memory.
    """

    codec: str
    actions: ActionConfig | None = ActionConfig()
    memory: MemoryConfig = NoMemoryConfig()
    dit: DiTConfig

    @field_validator("codec")
    @classmethod
    def _codec_is_known(cls, codec: str) -> str:
        codec_channels(codec)
        return codec

    @field_validator("dit", mode="before")
    @classmethod
    def _fill_channels(cls, dit: Any, info: ValidationInfo) -> Any:
        # Fields are checked in the order they are written, so codec and memory are known here unless they failed.
        if not {"codec", "memory"} <= info.data.keys():
            return dit
        right = {
            "in_channels": codec_channels(info.data["codec"]),
            "extra_channels": info.data["memory"].extra_channels,
        }
        if isinstance(dit, DiTConfig):
            values = {name: getattr(dit, name) for name in dit.model_fields_set}
        elif isinstance(dit, dict):
            values = dit
        else:
            return dit
        for name, source in (("in_channels", "codec"), ("extra_channels", "memory")):
            if values.get(name, right[name]) != right[name]:
                raise ValueError(f"{name} is {values[name]}, but the {source} has {right[name]}; leave it out")
        return {**right, **values}


def codec_channels(codec: str) -> int:
    """Latent channels of a codec by its name.

    Raises:
        ValueError: no such codec.
    """
    family, _, rest = codec.partition(":")
    if family == "wan" and rest:
        return WAN_LATENT_CHANNELS
    if family == "haar" and rest.isascii() and rest.isdigit() and 1 <= int(rest) <= 768:
        return int(rest)
    raise ValueError(f"codec '{codec}' is none of haar:N (N from 1 to 768) and wan:FOLDER")
