"""Checkpoints of the transformer: the original release's names, those of diffusers, and files of both.

Nothing here unpickles objects: safetensors, and the release's `.pth` through torch's tensors-only reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.model.config import DiTConfig
from worldloom.model.dit import DiT

Layout = Literal["original", "diffusers"]

OUTSIDE = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
}
"""Original name to diffusers name, outside the blocks."""

IN_BLOCK = {
    "modulation": "scale_shift_table",
    "norm3": "norm2",  # diffusers numbers the norms by their order in the block
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    **{
        f"{original}.{part}": f"{diffusers}.{renamed}"
        for original, diffusers in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for part, renamed in (
            ("q", "to_q"),
            ("k", "to_k"),
            ("v", "to_v"),
            ("o", "to_out.0"),
            ("norm_q", "norm_q"),
            ("norm_k", "norm_k"),
        )
    },
}
"""Original name to diffusers name, after `blocks.i.`."""

UNUSED = ("pos_embed", "pos_embed_temporal")
"""Tensors in Infinite-World's checkpoint that no code reads."""
COMPANIONS = ("action_encoder.", "latent_encoder.")
"""Parts of a world model that stand beside the transformer in Infinite-World's checkpoint."""
WEIGHTS_NAME = "diffusion_pytorch_model"
"""Both releases name their weights so."""
WAN_HEAD_DIM = 128
"""Width of a head in every Wan 2.1 model; used where no config.json says otherwise."""


def to_diffusers(name: str) -> str:
    """Name in diffusers of a tensor of the original release.

    Raises:
        KeyError: the transformer has no such tensor.
    """
    return _translate(name, OUTSIDE, IN_BLOCK)


def to_original(name: str) -> str:
    """Name in the original release of a tensor of diffusers; inverse of `to_diffusers`.

    Raises:
        KeyError: the transformer has no such tensor.
    """
    return _translate(name, _inverse(OUTSIDE), _inverse(IN_BLOCK))


def load_dit(path: str | Path) -> tuple[DiTConfig, dict[str, Tensor]]:
    """Read the transformer of a checkpoint: an original one, one of diffusers, or Infinite-World's.

    Sizes are read off the tensors; `config.json` beside them gives the number of heads, eps and text length, without
    it heads are 128 wide, as in every Wan 2.1 model.

    Args:
        path: a `.safetensors`, `.pth` or `.ckpt` file, or a folder with safetensors (or its `transformer` folder).

    Returns:
        The configuration, and the tensors by original names, as `DiT(config).load_state_dict` takes them.

    Raises:
        UsageError: no such file, or a folder without safetensors.
        BadInput: not a transformer that this code knows; the tensors at fault are named.
    """
    files = _files(Path(path))
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors.update(read_tensors(file))
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith((*UNUSED, *COMPANIONS))}
    state = _original_names(tensors, path)
    config = _config_of(state, _read_config(files[0].parent / "config.json"), path)
    _check(config, state, path)
    return config, state


def save_dit(folder: str | Path, config: DiTConfig, state: Mapping[str, Tensor], layout: Layout = "original") -> None:
    """Write `diffusion_pytorch_model.safetensors` and `config.json`, as the original release or diffusers reads them.

    Args:
        folder: made if it is missing.
        config: of the transformer.
        state: its tensors by original names.
        layout: whose names.

    Raises:
        UsageError: a transformer without text or query norms in the layout of diffusers, which always has both.
        BadInput: tensors that do not belong to `config`.
    """
    folder = Path(folder)
    if layout == "diffusers" and not (config.text_dim and config.qk_norm):
        raise UsageError(f"{folder}: diffusers has no Wan without text or query norms; save in the original layout")
    _check(config, state, folder)
    rename = to_diffusers if layout == "diffusers" else str
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {rename(name): tensor.detach().contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / f"{WEIGHTS_NAME}.safetensors", metadata={"format": "pt"})
    described = _describe_diffusers(config) if layout == "diffusers" else _describe_original(config)
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def read_tensors(file: str | Path) -> dict[str, Tensor]:
    """All tensors of a `.safetensors`, `.pth` or `.ckpt` file, by the names in the file.

    Raises:
        UsageError: no such file.
        BadInput: the file is damaged, or holds other things than tensors.
    """
    file = Path(file)
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        tensors = torch.load(file, weights_only=True, mmap=True, map_location="cpu")
    except Exception as error:  # torch's reader has errors of many kinds for a damaged or unsafe file
        raise BadInput("unreadable_weights", f"cannot be read as tensors ({error})", where=file) from None
    tensors = tensors.get("state_dict", tensors) if isinstance(tensors, dict) else tensors
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise BadInput("not_weights", "a table of named tensors was expected", where=file)
    return dict(tensors)


def _translate(name: str, outside: Mapping[str, str], in_block: Mapping[str, str]) -> str:
    head, rest, table = "", name, outside
    if name.startswith("blocks."):
        _, layer, rest = name.split(".", 2)
        head, table = f"blocks.{layer}.", in_block
    for part, renamed in table.items():
        if rest == part or rest.startswith(part + "."):
            return head + renamed + rest[len(part) :]
    raise KeyError(name)


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {renamed: part for part, renamed in table.items()}


def _files(path: Path) -> list[Path]:
    """The weight files that a path means."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder")
    for folder in (path, path / "transformer"):
        # An original folder also holds the codec and the text encoder, so the transformer's own name goes first.
        for pattern in (f"{WEIGHTS_NAME}*.safetensors", "*.safetensors"):
            if found := sorted(folder.glob(pattern)):
                return found
    raise UsageError(f"{path}: no .safetensors in this folder; name the weight file itself if it is a .pth or .ckpt")


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput("bad_config", f"not valid JSON ({error})", where=file) from None
    return values if isinstance(values, dict) else {}


def _original_names(tensors: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    if not any(name.startswith(("condition_embedder.", "proj_out.")) for name in tensors):
        return dict(tensors)
    state, unknown = {}, []
    for name, tensor in tensors.items():
        try:
            state[to_original(name)] = tensor
        except KeyError:
            unknown.append(name)
    if unknown:
        raise _unfit(path, [f"unknown {name}" for name in unknown])
    return state


def _config_of(state: Mapping[str, Tensor], written: Mapping[str, Any], path: str | Path) -> DiTConfig:
    """Sizes from the tensors' shapes, the rest from config.json."""
    names = ("patch_embedding.weight", "head.head.weight", "time_embedding.0.weight", "blocks.0.ffn.0.weight")
    if missing := [name for name in names if name not in state]:
        raise _unfit(path, [f"missing {name}" for name in missing])
    if state["patch_embedding.weight"].dim() != 5:
        raise _unfit(path, ["patch_embedding.weight has no five axes"])
    dim, channels, *patch = state["patch_embedding.weight"].shape
    in_channels = len(state["head.head.weight"]) // prod(patch)
    text = state.get("text_embedding.0.weight")
    heads = written.get("num_heads", written.get("num_attention_heads", max(1, dim // WAN_HEAD_DIM)))
    optional = {name: written[name] for name in ("eps", "text_len") if name in written}
    try:
        return DiTConfig(
            dim=dim,
            ffn_dim=len(state["blocks.0.ffn.0.weight"]),
            num_heads=heads,
            num_layers=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
            patch_size=(patch[0], patch[1], patch[2]),
            freq_dim=state["time_embedding.0.weight"].shape[1],
            in_channels=in_channels,
            extra_channels=channels - in_channels,
            text_dim=0 if text is None else text.shape[1],
            qk_norm="blocks.0.self_attn.norm_q.weight" in state,
            cross_attn_norm=text is None or "blocks.0.norm3.weight" in state,
            **optional,
        )
    except (ValidationError, ValueError) as error:
        raise BadInput("not_a_dit", f"its sizes make no transformer ({error})", where=path) from None


def _check(config: DiTConfig, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Names and shapes are exactly those of `DiT(config)`."""
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in DiT(config).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    faults = [f"missing {name}" for name in expected if name not in found]
    faults += [f"unknown {name}" for name in found if name not in expected]
    faults += [
        f"{name} is {found[name]}, expected {shape}"
        for name, shape in expected.items()
        if found.get(name, shape) != shape
    ]
    if faults:
        raise _unfit(path, faults)


def _unfit(path: str | Path, faults: Iterable[str]) -> BadInput:
    faults = list(faults)
    more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
    remedy = "Text-to-video weights of Wan 2.1 are read, original or diffusers."
    if any("img" in fault or "image" in fault or "add_k_proj" in fault for fault in faults):
        remedy = "This is an image-to-video model, which is not supported; take the text-to-video one."
    message = f"tensors do not fit this transformer: {', '.join(faults[:4])}{more}."
    return BadInput("not_a_dit", message, where=path, remedy=remedy)


def _describe_original(config: DiTConfig) -> dict[str, Any]:
    names = ("dim", "ffn_dim", "freq_dim", "num_heads", "num_layers", "text_dim", "text_len", "eps")
    return {
        "_class_name": "WanModel",
        "model_type": "t2v",
        "in_dim": config.in_channels + config.extra_channels,
        "out_dim": config.in_channels,
        "patch_size": list(config.patch_size),
        "qk_norm": config.qk_norm,
        "cross_attn_norm": config.cross_attn_norm,
        **{name: getattr(config, name) for name in names},
    }


def _describe_diffusers(config: DiTConfig) -> dict[str, Any]:
    names = ("text_dim", "freq_dim", "ffn_dim", "num_layers", "cross_attn_norm", "eps")
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": list(config.patch_size),
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.in_channels + config.extra_channels,
        "out_channels": config.in_channels,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
        **{name: getattr(config, name) for name in names},
    }
