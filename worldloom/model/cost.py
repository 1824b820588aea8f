"""What a model part costs, counted term by term: for the README, the dry run and MFU.

A multiply-add is two floating-point operations. Norms, activations, RoPE and softmax are left out: under 1 % here.
D width, N tokens, L text tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from worldloom.model.config import DiTConfig

WIDE_BYTES = 4
"""Bytes of a value where the model computes in float32."""


@dataclass(frozen=True)
class Cost:
    """Costs add up: `a + b`, and `sum(parts, Cost())`.

    Attributes:
        parameters: numbers to learn.
        flops: of one forward pass of one sample.
        activation_bytes: kept by the forward pass of one sample for the backward pass.
        state_bytes: held between chunks for one sample: the memory's state, caches.
    """

    parameters: int = 0
    flops: int = 0
    activation_bytes: int = 0
    state_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.parameters + other.parameters,
            self.flops + other.flops,
            self.activation_bytes + other.activation_bytes,
            self.state_bytes + other.state_bytes,
        )


def linear_flops(tokens: int, width_in: int, width_out: int) -> int:
    """2 tokens in out."""
    return 2 * tokens * width_in * width_out


def attention_flops(queries: int, keys: int, width: int) -> int:
    """q k^T and its product with v: 4 queries keys D, over all heads."""
    return 4 * queries * keys * width


def full_self_attention_flops(config: DiTConfig, tokens: int) -> int:
    """One layer's self-attention branch as Wan has it: q, k, v, o of all tokens, all attending to all."""
    return 4 * linear_flops(tokens, config.dim, config.dim) + attention_flops(tokens, tokens, config.dim)


def dit_parameters(config: DiTConfig) -> int:
    """Parameters of `DiT(config)`.

    Attention: 4 (D^2 + D) and 2 D of norms. MLP: 2 D ffn + ffn + D. Modulation: 6 D per block, 2 D in the head.
    """
    width, channels = config.dim, config.in_channels + config.extra_channels
    attention = 4 * _linear(width, width) + 2 * width * config.qk_norm
    block = 6 * width + attention + _linear(width, config.ffn_dim) + _linear(config.ffn_dim, width)
    text = 0
    if config.text_dim:
        block += attention + 2 * width * config.cross_attn_norm
        text = _linear(config.text_dim, width) + _linear(width, width)
    time = _linear(config.freq_dim, width) + _linear(width, width) + _linear(width, 6 * width)
    patch = _linear(channels * config.patch_values, width)
    head = 2 * width + _linear(width, config.in_channels * config.patch_values)
    return patch + text + time + config.num_layers * block + head


def dit_flops(
    config: DiTConfig, tokens_target: int, tokens_context: int = 0, self_attention_flops: int | None = None
) -> int:
    """One forward pass of one sample.

    Per layer: self-attention; cross-attention (q, o of N, k, v of L tokens, N times L); MLP (4 N D ffn). Once: patches
    of N, the head of the target's tokens, the text, and the time twice (t and 0).

    Args:
        config: sizes.
        tokens_target: tokens of the frames that are kept.
        tokens_context: tokens of the other frames.
        self_attention_flops: of one layer's branch, where a memory does not let all attend to all.
    """
    width, tokens, words = config.dim, tokens_target + tokens_context, config.text_len
    if self_attention_flops is None:
        self_attention_flops = full_self_attention_flops(config, tokens)
    block = self_attention_flops + 2 * linear_flops(tokens, width, config.ffn_dim)
    text = 0
    if config.text_dim:
        block += 2 * linear_flops(tokens, width, width) + 2 * linear_flops(words, width, width)
        block += attention_flops(tokens, words, width)
        text = linear_flops(words, config.text_dim, width) + linear_flops(words, width, width)
    time = 2 * (linear_flops(1, config.freq_dim, width) + linear_flops(1, width, 7 * width))
    patch = linear_flops(tokens, (config.in_channels + config.extra_channels) * config.patch_values, width)
    head = linear_flops(tokens_target, width, config.in_channels * config.patch_values)
    return patch + text + time + config.num_layers * block + head


def dit_activation_bytes(config: DiTConfig, tokens: int, mixed: bool = False, value_bytes: int = 2) -> int:
    """What the backward pass needs of one sample, with full self-attention and fused kernels.

    Per layer and token, in the dtype of the weights and widths D: self-attention 6 (input, q, k, v, result, its
    projection) and 2 before the norms of q and k; MLP 2 (input, output) and twice its hidden width; cross-attention 4
    (stream, input, q, result) and 1 before the norm of q, and per text token 2 (k, v) and 1. In float32: input and
    result of the norms before modulation (4), and, where clean and noisy tokens mix, scale and gate (4). The head: 1
    and 2 in float32. With `checkpoint_blocks` each layer keeps its input alone, and one layer at a time is whole.

    Args:
        config: sizes.
        tokens: N.
        mixed: whether clean and noisy tokens mix.
        value_bytes: of the weights' dtype.
    """
    width, norms = config.dim, int(config.qk_norm)
    plain = tokens * ((8 + 2 * norms) * width + 2 * config.ffn_dim)
    if config.text_dim:
        plain += tokens * (4 + norms) * width + config.text_len * (2 + norms) * width
    block = plain * value_bytes + tokens * width * (4 + 4 * mixed) * WIDE_BYTES
    head = tokens * width * (value_bytes + 2 * WIDE_BYTES)
    if config.checkpoint_blocks:
        return config.num_layers * tokens * width * value_bytes + block + head
    return config.num_layers * block + head


def dit_cost(
    config: DiTConfig, tokens_target: int, tokens_context: int = 0, self_attention_flops: int | None = None
) -> Cost:
    """Cost of the transformer on one sample in bfloat16; its text counts where the model takes one.

    Args:
        config: sizes.
        tokens_target: tokens of the frames that are kept.
        tokens_context: tokens of the other frames.
        self_attention_flops: of one layer's branch, where a memory does not let all attend to all.
    """
    return Cost(
        parameters=dit_parameters(config),
        flops=dit_flops(config, tokens_target, tokens_context, self_attention_flops),
        activation_bytes=dit_activation_bytes(config, tokens_target + tokens_context, mixed=tokens_context > 0),
    )


def _linear(width_in: int, width_out: int) -> int:
    return width_in * width_out + width_out
