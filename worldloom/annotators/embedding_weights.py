"""Image encoders whose weights lie in a local folder: what is in it, its digest, and how pictures are prepared.

Looking at a folder imports neither torch nor transformers; only `load_encoder` does. Nothing is downloaded, nothing is
unpickled, and no code of the folder is run.
"""

from __future__ import annotations

import functools
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from worldloom.catalogs.config import Strict, digest, load
from worldloom.catalogs.errors import UsageError

FAMILIES = ("clip", "clip_vision_model", "dinov2", "dinov2_with_registers", "siglip", "siglip_vision_model")
"""`model_type` in config.json of the models that are known to work; others are refused."""

WEIGHTS, INDEX, CONFIG, PREPROCESSOR = (
    "model.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "preprocessor_config.json",
)
HOW = "save the model and its image processor into one folder with transformers' save_pretrained"
MOST_JSON_BYTES = 16_000_000
"""Of one json file; the index of a model of ten thousand tensors has one."""

Side = Annotated[int, Field(ge=8, le=2048)]
Three = tuple[float, float, float]


class Preprocessing(Strict):
    """From a frame to what an encoder takes; the values of `preprocessor_config.json`.

    Attributes:
        shortest_edge: pixels of the shorter side after resizing, or
        size: (height, width) after resizing, whatever the frame's sides were.
        crop: (height, width) of the middle that is kept; all of it where not given.
        resample: Pillow's number of the filter: 2 bilinear, 3 bicubic.
        rescale: factor on 0..255.
        mean: per channel, after rescaling.
        std: per channel.
    """

    shortest_edge: Side | None = None
    size: tuple[Side, Side] | None = None
    crop: tuple[Side, Side] | None = None
    resample: Literal[0, 1, 2, 3] = 3
    rescale: Annotated[float, Field(gt=0, le=1)] = 1 / 255
    mean: Three
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

    def prepared(self, frames: np.ndarray) -> np.ndarray:
        """Pixels of frames, as the image processors of transformers make them with Pillow.

        Args:
            frames: (n, H, W, 3) uint8 RGB.

        Returns:
            (n, 3, h, w) float32.
        """
        from PIL import Image

        height, width = frames.shape[1:3]
        if self.size is not None:
            new = self.size
        else:
            short = self.shortest_edge or min(height, width)
            long = int(short * max(height, width) / min(height, width))
            new = (short, long) if height <= width else (long, short)
        filter_ = Image.Resampling(self.resample)
        pixels = np.stack([np.asarray(Image.fromarray(one).resize(new[::-1], filter_)) for one in frames])
        if self.crop is not None:
            top, left = (new[0] - self.crop[0]) // 2, (new[1] - self.crop[1]) // 2
            pixels = pixels[:, top : top + self.crop[0], left : left + self.crop[1]]
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        values: np.ndarray = (pixels * np.float64(self.rescale)).astype(np.float32)
        return np.ascontiguousarray(((values - mean) / std).transpose(0, 3, 1, 2))


class Encoder(NamedTuple):
    """A folder with an image encoder.

    Attributes:
        folder: where it lies.
        family: one of `FAMILIES`.
        digest: of the contents of all files that decide what it computes; the same wherever the folder lies.
        preprocessing: of the frames.
    """

    folder: Path
    family: str
    digest: str
    preprocessing: Preprocessing


def look_at(folder: Path) -> Encoder:
    """What lies in a folder. Weights are read once to be hashed, and again only after they have changed.

    Raises:
        UsageError: transformers is not installed; or the folder is missing, incomplete, of an unknown model, or its
            weights are no safetensors.
    """
    if find_spec("transformers") is None:
        raise UsageError("annotate: 'embedding' needs transformers: pip install 'worldloom[embeddings]'")
    if not folder.is_dir():
        raise UsageError(f"annotate: embedding.weights: no such folder: {folder}; {HOW}, nothing is downloaded")
    family = str(_json(folder / CONFIG).get("model_type"))
    if family not in FAMILIES:
        raise UsageError(f"{folder / CONFIG}: model_type '{family}' is none of {', '.join(FAMILIES)}")
    files = [CONFIG, PREPROCESSOR, *_weight_files(folder)]
    preprocessing = _preprocessing(folder / PREPROCESSOR)
    whole = digest([(name, _sha256_of(folder / name)) for name in files])
    return Encoder(folder, family, whole, preprocessing)


def load_encoder(encoder: Encoder, device: str) -> Any:
    """The torch module in float32, on a device, in evaluation mode.

    Raises:
        UsageError: the weights do not fit the configuration, some are missing, or there is no such device.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("annotate: embedding.device: torch sees no GPU here; set device: cpu")
    try:
        model, told = transformers.AutoModel.from_pretrained(
            encoder.folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:  # safetensors, the configuration and the model each raise their own
        raise UsageError(f"{encoder.folder}: cannot be loaded ({str(error)[:500]}); {HOW}") from None
    if told["missing_keys"] or told["mismatched_keys"]:
        lacking = sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]]))
        raise UsageError(f"{encoder.folder}: {len(lacking)} tensors are missing or misshapen, {lacking[0]}; {HOW}")
    return model.to(device).eval().requires_grad_(False)


def encode(model: Any, pixels: np.ndarray) -> np.ndarray:
    """(n, d) float32 of (n, 3, h, w): what the model projects pictures to, else its pooled output."""
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode():
        values = torch.from_numpy(pixels).to(next(model.parameters()).device)
        whole = hasattr(model, "get_image_features")
        found = model.get_image_features(pixel_values=values) if whole else model(pixel_values=values)
        pooled = found if isinstance(found, torch.Tensor) else found.pooler_output
        return np.asarray(pooled.float().cpu().numpy())


def _weight_files(folder: Path) -> list[str]:
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        instead = f"; {pickled[0]} is pickled and is not read" if pickled else ""
        raise UsageError(f"{folder}: no {WEIGHTS}{instead}; {HOW}")
    names = _json(folder / INDEX).get("weight_map")
    files = sorted({str(name) for name in names.values()}) if isinstance(names, dict) else []
    for name in files:
        if not name.endswith(".safetensors") or Path(name).name != name or not (folder / name).is_file():
            raise UsageError(f"{folder / INDEX}: it names '{name}', which is no .safetensors in this folder; {HOW}")
    if not files:
        raise UsageError(f"{folder / INDEX}: it names no weights; {HOW}")
    return [INDEX, *files]


def _preprocessing(path: Path) -> Preprocessing:
    values = _json(path)
    off = [name for name in ("do_resize", "do_rescale", "do_normalize") if values.get(name) is False]
    if off:
        raise UsageError(f"{path}: {off[0]} is false; only processors that resize, rescale and normalise are known")
    size, crop = _size(values.get("size")), values.get("crop_size") if values.get("do_center_crop") else None
    asked = {
        **size,
        "crop": _size(crop, square=True).get("size"),
        "resample": values.get("resample", 3),
        "rescale": values.get("rescale_factor", 1 / 255),
        "mean": values.get("image_mean"),
        "std": values.get("image_std"),
    }
    found = load(Preprocessing, asked, where=str(path))
    edges = found.size or (found.shortest_edge, found.shortest_edge)
    if edges[0] is None or edges[1] is None:
        raise UsageError(f"{path}: size: shortest_edge, or height and width, are expected")
    if found.crop is not None and (found.crop[0] > edges[0] or found.crop[1] > edges[1]):
        raise UsageError(f"{path}: crop_size {found.crop} is larger than the resized picture")
    return found


def _size(value: Any, square: bool = False) -> dict[str, Any]:
    """Sizes as transformers has written them over the years: a number, an edge, or height and width."""
    if isinstance(value, dict) and "height" in value:
        return {"size": (value["height"], value.get("width"))}
    if isinstance(value, dict):
        value = value.get("shortest_edge")
    if value is None:
        return {}
    return {"size": (value, value)} if square else {"shortest_edge": value}


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes, {MOST_JSON_BYTES} at most are read")
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path.parent}: no {path.name}; {HOW}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({str(error)[:200]})") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a mapping was expected, found {type(values).__name__}")
    return values


def _sha256_of(path: Path) -> str:
    state = path.stat()
    return _sha256(str(path), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
