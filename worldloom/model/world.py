"""The world model: transformer, memory and action encoder as one module, and how it lies on disk.

B batch, C latent channels, F target latents, L text tokens, h w latent size.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from worldloom.catalogs.config import load as load_config
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.model.actions_encoder import ActionEncoder
from worldloom.model.config import ModelConfig
from worldloom.model.cost import Cost, dit_cost
from worldloom.model.dit import DiT
from worldloom.model.memory.lifecycle import Chunk, Plan, Query, State
from worldloom.model.memory.registry import build_memory
from worldloom.model.weights import read_tensors

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


class WorldModel(nn.Module):
    """Predicts velocities of the frames to come from what was and what is done.

        plan = model.plan(history, query)                 # once per chunk
        velocity = model.velocity(noisy, t, plan, query)  # once per step

    Works on the meta device too.

    Args:
        config: all of it; see `ModelConfig`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.dit = DiT(config.dit)
        self.memory = build_memory(config.memory, config.dit)
        self.action_encoder = None if config.actions is None else ActionEncoder(config.actions, config.dit.dim)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.dit.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.dit.patch_embedding.weight.dtype

    def plan(self, history: Chunk | None, query: Query, state: State | None = None) -> Plan:
        """Read the past, once per chunk; gradients flow into the memory.

        Args:
            history: what exists, or None.
            query: what comes.
            state: of a memory that carries one over; None: a new one.

        Raises:
            UsageError: the memory needs cameras and there are none.
        """
        self.memory.check(history, query)
        if state is None:
            batch = 1 if history is None else len(history.latents)
            state = self.memory.init(batch, self.device, self.dtype)
        return self.memory.begin(state, history, query)

    def velocity(
        self,
        noisy: Tensor,
        t: Tensor,
        plan: Plan,
        query: Query,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Velocity of the target.

        Args:
            noisy: (B, C, F, h, w) target at noise time t.
            t: (B,) in [0, 1].
            plan: from `plan`.
            query: its actions are read here; a model without action encoder does not look at them.
            text: (B, L, text_dim), where the model takes text.
            text_mask: (B, L), 0 where `text` is padding.

        Returns:
            (B, C, F, h, w), at least float32.

        Raises:
            UsageError: the model takes actions and the query has none.
        """
        tokens = None
        if self.action_encoder is not None:
            if query.actions is None:
                raise UsageError("this model takes actions and got none; give 9 (uncertain) where they are not known")
            tokens = self.action_encoder(query.actions)
        sequence = self.memory.assemble(plan, noisy)
        return self.dit(sequence, t, self.memory, plan, tokens, text, text_mask)

    def cost(self, frames: int, h: int, w: int, history: int) -> Cost:
        """Cost of one plan and one step on one sample.

        Args:
            frames: F, in latents.
            h: latent rows.
            w: latent columns.
            history: latents that exist.
        """
        _, patch_rows, patch_columns = self.config.dit.patch_size
        per_frame = (h // patch_rows) * (w // patch_columns)
        target, context = frames * per_frame, self.memory.context_frames(history) * per_frame
        attention = self.memory.self_attention_flops(target, context)
        cost = dit_cost(self.config.dit, target, context, attention) + self.memory.cost(frames, h, w, history)
        return cost if self.action_encoder is None else cost + self.action_encoder.cost(frames)

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` and `config.json`; the folder is made where it is missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(self.config.model_dump(mode="json"), indent=2)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> WorldModel:
        """A saved model, on the CPU, in the dtype it was saved in.

        Raises:
            UsageError: a file is missing, or the configuration has an unknown key.
            BadInput: `unreadable_weights`, or `other_model`: a tensor is missing, superfluous or of another shape.
        """
        folder = Path(folder)
        tensors = read_tensors(folder / WEIGHTS)
        with torch.device("meta"):
            model = cls(load_config(ModelConfig, _read_json(folder / CONFIG), where=str(folder / CONFIG)))
        _check(model.state_dict(), tensors, folder / WEIGHTS)
        model.load_state_dict(tensors, assign=True)
        return model


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; a saved model is {WEIGHTS} and {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise BadInput("unreadable_config", f"cannot be read as JSON ({error})", where=path) from None
    if not isinstance(values, dict):
        raise BadInput("unreadable_config", "a table of settings was expected", where=path)
    return values


def _check(expected: dict[str, Tensor], found: dict[str, Tensor], where: Path) -> None:
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} belongs to no part of this model" for name in found if name not in expected]
    faults += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    if faults:
        shown = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
        raise BadInput("other_model", shown, where=where, remedy=f"Does the {CONFIG} beside it belong to it?")
