"""`worldloom generate`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldloom import console
from worldloom.catalogs.errors import BadInput, UsageError

if TYPE_CHECKING:
    import numpy as np

    from worldloom.catalogs.clip import Clip
    from worldloom.train.evaluate.walk import Sampling

LEAST_HEIGHT = 320
"""Smaller pictures are enlarged for the video, so that the keys on them can be read (ours)."""


def generate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training run, or one checkpoint of it.")],
    image: Annotated[Path | None, typer.Option(help="The first frame: a picture.")] = None,
    clip: Annotated[
        str | None,
        typer.Option(metavar="DATASET[:KEY]", help="First frame and actions of a clip; compares with what was seen."),
    ] = None,
    actions: Annotated[
        str | None,
        typer.Option(help="Keys, e.g. 'w w a a' (w s a d move, i k j l turn), or a JSON file as Infinite-World's."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The video to write.")] = Path("walk.mp4"),
    hold: Annotated[int, typer.Option(min=1, help="Frames that each key is held.")] = 16,
    fps: Annotated[float, typer.Option(min=1, help="Of the video; a clip keeps its own.")] = 16.0,
    steps: Annotated[int, typer.Option(min=1, help="Of the sampler, per chunk.")] = 30,
    shift: Annotated[float | None, typer.Option(help="Of the noise times; default as trained.")] = None,
    guidance: Annotated[float, typer.Option(min=0, help="Above 1, actions weigh more, at twice the cost.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    keys: Annotated[bool, typer.Option("--keys/--no-keys", help="Draw the actions on the video.")] = True,
) -> None:
    """Generate a walk, chunk by chunk, from a picture and actions; or walk again where a clip's camera walked."""
    if (image is None) == (clip is None):
        raise UsageError("give the first frame: either --image PICTURE or --clip DATASET[:KEY]")
    if image is not None and actions is None:
        raise UsageError("give --actions, for example --actions 'w w a a'")
    labels = _actions(actions, hold) if actions is not None else None
    from worldloom.train.evaluate.walk import Sampling

    sampling = Sampling(steps=steps, shift=shift, guidance=guidance, seed=seed)
    if image is not None:
        assert labels is not None
        _from_image(checkpoint, image, labels, sampling, out, fps, keys)
    else:
        assert clip is not None
        _like_clip(checkpoint, clip, labels, sampling, out, keys)
    console.say(f"video: {out}")
    console.following(f"worldloom generate {checkpoint} --image PICTURE --actions 'wj wj*4 d l'")


def _actions(text: str, hold: int) -> np.ndarray:
    """(A, 2) of a keyboard string, or of a file."""
    import numpy as np

    if text.endswith(".json"):
        from worldloom.catalogs.formats.infinite_world import read_infinite_world

        read = read_infinite_world(text)
        return np.stack([read.move, read.view], axis=1)
    from worldloom.catalogs.keyboard import parse_keys

    return parse_keys(text, hold)


def _from_image(
    checkpoint: Path, image: Path, labels: np.ndarray, sampling: Sampling, out: Path, fps: float, keys: bool
) -> None:
    import numpy as np

    from worldloom.train.crop import crop_for
    from worldloom.train.evaluate.walk import follow, size_for
    from worldloom.train.saved_run import open_checkpoint

    picture = _picture(image)
    height, width = picture.shape[:2]
    model, codec, recipe, _ = open_checkpoint(checkpoint)
    crop = crop_for(height, width, size_for(recipe, height, width))
    assert crop is not None
    with console.StageProgress() as progress:
        progress.start("frames", len(labels))
        made = follow(
            model,
            codec,
            recipe,
            crop.pictures(picture[None]),
            labels,
            sampling,
            lambda n: progress.advance("frames", n),
        )
        progress.finish("frames", f"{made.shape[2]} x {made.shape[1]}")
    _write(out, made, np.concatenate([labels, [[9, 9]]]), Fraction(fps).limit_denominator(1001), keys)


def _like_clip(
    checkpoint: Path, place: str, labels: np.ndarray | None, sampling: Sampling, out: Path, keys: bool
) -> None:
    """Walk where a clip's camera walked, and say how near the pictures come."""
    import numpy as np

    from worldloom.report.content import WalkContent
    from worldloom.report.training import walk_picture, walk_words
    from worldloom.train.evaluate.walk import walk_again
    from worldloom.train.saved_run import open_checkpoint

    clip = _clip(place)
    if labels is not None:
        clip = _with_actions(clip, labels)
    model, codec, recipe, _ = open_checkpoint(checkpoint)
    with console.StageProgress() as progress:
        progress.start("frames", None)
        walk = walk_again(
            model, codec, recipe, clip, sampling=sampling, advance=lambda n: progress.advance("frames", n)
        )
        progress.finish("frames", f"{walk.true.shape[2]} x {walk.true.shape[1]}")
    content = WalkContent(clip.key, walk.true, walk.codec, walk.generated, walk.actions, walk.fps)
    picture = out.with_suffix(".png")
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(walk_picture(content))
    side_by_side = np.concatenate([walk.true, walk.generated], axis=2)
    _write(out, side_by_side, walk.actions, Fraction(walk.fps).limit_denominator(1001), keys)
    console.say(f"{clip.key}: {walk_words(content)}")
    console.say(f"picture: {picture}; the video shows what was seen on the left, what was made on the right")


def _clip(place: str) -> Clip:
    from worldloom.catalogs.dataset import ShardDataset

    path, _, key = place.partition(":")
    dataset = ShardDataset(path)
    if not key:
        return dataset[0]
    found = [one for one in dataset.keys if one.startswith(key)]
    if len(found) != 1:
        raise UsageError(
            f"{path}: {'no clip' if not found else f'{len(found)} clips'} with a key that begins with {key}"
        )
    return dataset.get(found[0])


def _with_actions(clip: Clip, labels: np.ndarray) -> Clip:
    """The clip with other actions, 9 where they end."""
    from dataclasses import replace

    import numpy as np

    from worldloom.catalogs.clip import Actions

    padded = np.full((clip.frames, 2), 9, np.uint8)
    count = min(len(labels), clip.frames - 1)
    padded[:count] = labels[:count]
    unknown = np.full((clip.frames, 4), np.nan)
    return replace(clip, actions=Actions(padded[:, 0], padded[:, 1], unknown[:, :2].astype(np.float32), unknown))


def _picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8."""
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such picture") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise BadInput("not_a_picture", f"cannot be read as a picture ({error})", where=path) from None


def _write(out: Path, frames: np.ndarray, actions: np.ndarray, fps: Fraction, keys: bool) -> None:
    import cv2

    from worldloom.catalogs.encode import Encoder
    from worldloom.report.keypad import with_keypad

    height, width = frames.shape[1:3]
    factor = max(1, -(-LEAST_HEIGHT // height))
    out.parent.mkdir(parents=True, exist_ok=True)
    with Encoder(out, width * factor, height * factor, fps) as encoder:
        for frame, (move, view) in zip(frames, actions, strict=True):
            large = cv2.resize(frame, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
            encoder.write(with_keypad(large, int(move), int(view)) if keys else large)
