"""Generation chunk by chunk: the loop of Infinite-World (released code).

What exists is kept as pixels. For each chunk all of it is encoded anew and becomes the memory's history; the target's
first latent stands for the newest frame, which is thus generated again and dropped, and 4 (F - 1) frames are added.

B batch, C latent channels, F latents of a chunk, A actions, T frames that exist, T0 of them given, H W picture size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from worldloom.catalogs.actions import MOVES, UNCERTAIN
from worldloom.catalogs.errors import UsageError
from worldloom.model.codecs.codec import Codec
from worldloom.model.flow import euler, guide, schedule
from worldloom.model.memory.lifecycle import Chunk, Query
from worldloom.model.world import WorldModel

CHUNK_LATENTS = 21
STEPS = 30
SHIFT = 7.0
"""Chunk length, sampling steps and time shift of Infinite-World's release."""
NO_OP = 0
"""What short action lists are padded with (Infinite-World, released code)."""


def generate(
    model: WorldModel,
    codec: Codec,
    start: Tensor,
    actions: Tensor,
    *,
    chunks: int | None = None,
    chunk_latents: int = CHUNK_LATENTS,
    steps: int = STEPS,
    shift: float = SHIFT,
    guidance: float = 1.0,
    seed: int = 0,
    on_step: Callable[[int, int, Tensor], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """Frames after the start, one chunk at a time.

    The same seed gives the same frames, however many chunks are taken: the noise of chunk c depends on (seed, c) alone.

    Args:
        model: its memory reads all frames before each chunk.
        codec: the one the model was trained with.
        start: (3, H, W) or (3, T0, H, W) in [-1, 1], T0 = 1 + 4n; H and W multiples of 16.
        actions: (A, 2) integers 0 to 9, move and view, one per frame counted from the first frame of `start`: entry i
            moves frame i to frame i + 1. Behind the last one stand no-ops; a 9 at the end is taken as it is.
        chunks: how many; None: as many as it takes to reach A frames, at least one.
        chunk_latents: F; a chunk adds 4 (F - 1) frames.
        steps: sampling steps per chunk.
        shift: of the times towards noise.
        guidance: 1: none; otherwise the unconditional velocity, of all actions 9, is computed too.
        seed: of the noise.
        on_step: called with chunk, step and latents (1, C, F, h, w) before that step.
        progress: called with steps done and steps in all.

    Yields:
        (3, 4 (F - 1), H, W) float32 on the CPU, in [-1, 1].

    Raises:
        UsageError: a start, actions or settings that do not fit the model.
    """
    buffer = start[:, None] if start.dim() == 3 else start
    _check(model, codec, buffer, actions, chunk_latents, guidance)
    buffer, actions = buffer.float().cpu(), actions.long().cpu()
    added = 4 * (chunk_latents - 1)
    if chunks is None:
        chunks = max(1, -(-(len(actions) - buffer.shape[1]) // added))
    for chunk in range(chunks):

        def watch(step: int, latents: Tensor, chunk: int = chunk) -> None:
            if on_step is not None:
                on_step(chunk, step, latents)
            if progress is not None:
                progress(chunk * steps + step, chunks * steps)

        with torch.no_grad():
            history = _encoded(model, codec, buffer)
            query = _query(history, actions, chunk_latents)
            noise = chunk_noise(seed, chunk, (1, codec.channels, chunk_latents, *query.size)).to(model.device)
            latents = sample(model, history, query, noise, steps, shift, guidance, watch)
            frames = codec.decode(latents)[0, :, 1:].float().cpu()
        buffer = torch.cat([buffer, frames], dim=1)
        if progress is not None:
            progress((chunk + 1) * steps, chunks * steps)
        yield frames


def sample(
    model: WorldModel,
    history: Chunk | None,
    query: Query,
    noise: Tensor,
    steps: int = STEPS,
    shift: float = SHIFT,
    guidance: float = 1.0,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Latents of one chunk: one plan, `steps` Euler steps, two velocities per step where there is guidance.

    Args:
        model: the model.
        history: what exists, or None.
        query: what comes.
        noise: (B, C, F, h, w), of any dtype; steps add up in it.
        steps: of sampling.
        shift: of the times towards noise.
        guidance: see `generate`.
        watch: called with step and latents before each step.

    Returns:
        Like `noise`.
    """
    plan = model.plan(history, query)
    unknown = replace(query, actions=None if query.actions is None else torch.full_like(query.actions, UNCERTAIN))
    done = 0

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        nonlocal done
        if watch is not None:
            watch(done, x)
        done += 1
        noisy = x.to(model.dtype)
        conditional = model.velocity(noisy, t, plan, query)
        if guidance == 1:
            return conditional
        return guide(conditional, model.velocity(noisy, t, plan, unknown), guidance)

    return euler(velocity, noise, schedule(steps, shift))


def chunk_noise(seed: int, chunk: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise that depends on (seed, chunk) alone, drawn on the CPU for every device alike; float32."""
    words = hashlib.sha256(f"{seed}/{chunk}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(words[:7], "big"))
    return torch.randn(shape, generator=generator)


def chunk_actions(actions: Tensor, first: int, latents: int) -> Tensor:
    """Entries 4t - 4 to 4t' for latents t to t': before the clip 9, behind its actions 0.

    Args:
        actions: (A, 2).
        first: t.
        latents: F = t' - t + 1.

    Returns:
        (4F + 1, 2).
    """
    begin = 4 * first - 4
    length = 4 * latents + 1
    cut = actions[max(0, begin) : max(0, begin + length)]
    before = actions.new_full((max(0, -begin), 2), UNCERTAIN)
    behind = actions.new_full((length - len(before) - len(cut), 2), NO_OP)
    return torch.cat([before, cut, behind])


def _encoded(model: WorldModel, codec: Codec, buffer: Tensor) -> Chunk:
    """All pixels that exist, as latents on the model's device."""
    latents = codec.encode(buffer[None].to(model.device)).to(model.dtype)
    return Chunk(latents, torch.arange(latents.shape[2], dtype=torch.float32, device=model.device))


def _query(history: Chunk, actions: Tensor, latents: int) -> Query:
    """The chunk that starts at the newest latent."""
    newest = history.latents.shape[2] - 1
    device = history.latents.device
    time = torch.arange(newest, newest + latents, dtype=torch.float32, device=device)
    rows, columns = history.latents.shape[3:]
    return Query(time, (rows, columns), actions=chunk_actions(actions, newest, latents)[None].to(device))


def _check(
    model: WorldModel, codec: Codec, buffer: Tensor, actions: Tensor, chunk_latents: int, guidance: float
) -> None:
    if buffer.dim() != 4 or buffer.shape[0] != 3 or buffer.shape[1] % 4 != 1:
        raise UsageError(f"the start is {tuple(buffer.shape)}; expected (3, H, W), or (3, 1 + 4n, H, W)")
    if buffer.shape[2] % 16 or buffer.shape[3] % 16:
        raise UsageError(f"the start is {buffer.shape[2]} x {buffer.shape[3]} pixels; crop it to multiples of 16")
    if actions.dim() != 2 or actions.shape[1] != 2:
        raise UsageError(f"actions are {tuple(actions.shape)}; expected (frames, 2): move and view")
    least, most = (int(actions.min()), int(actions.max())) if len(actions) else (0, 0)
    if least < 0 or most >= len(MOVES):
        raise UsageError(f"actions are {least} to {most}; 0 to {len(MOVES) - 1} exist")
    if codec.channels != model.config.dit.in_channels:
        raise UsageError(
            f"codec {codec.name} has {codec.channels} channels, the model {model.config.dit.in_channels}; "
            f"it was made for {model.config.codec}"
        )
    if chunk_latents < 2:
        raise UsageError(f"a chunk of {chunk_latents} latents adds no frame; take at least 2")
    if guidance != 1 and model.action_encoder is None:
        raise UsageError("this model takes no actions, so there is nothing to guide; leave guidance at 1")
