"""One video, or one folder of images, labelled without a job: what `worldloom annotate` runs in a child process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Annotation, Clip, Provenance, clip_key
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.pictures import read_picture
from worldloom.catalogs.sample import clip_to_members, members_to_clip
from worldloom.pipeline.chain import label
from worldloom.pipeline.sources.footage import Footage

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
CRF = 18


def annotate_one(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entry of the child: make clips of the input, label them, and write their members as files.

    Args:
        payload: `place`, a video or a folder of images; `out`, where files go; `names` of annotators; `height` in
            pixels at most; `fps` of a folder of images.

    Returns:
        Per clip its `key`, its `frames`, the `seconds` per annotator, and `annotations` by name: status and reason.

    Raises:
        BadInput: the input is no video, or holds no images.
    """
    place, out = Path(payload["place"]), Path(payload["out"])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=out) as scratch:
        if place.is_dir():
            clips = [clip_of_images(place, Path(scratch) / "images.mp4", Fraction(payload["fps"]), payload["height"])]
        else:
            clips = clips_of_video(place, Path(scratch), payload["height"])
        found = []
        for clip in clips:
            labelled, seconds = label(clip, payload["names"], Path(scratch))
            write_members(labelled, out)
            notes = {name: [note.status, note.reason] for name, note in labelled.annotations.items()}
            found.append({"key": clip.key, "frames": clip.frames, "seconds": seconds, "annotations": notes})
    return found


def clips_of_video(path: Path, scratch: Path, height: int) -> list[Clip]:
    """The clips that ingest makes of a video, one per shot."""
    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.parcel import record_members, unpack_parcel
    from worldloom.pipeline.passes.ingest_video import ingest_video
    from worldloom.pipeline.settings import Ingest
    from worldloom.pipeline.sources.source import SourceItem

    source = {"kind": "folder", "path": str(path.parent.absolute())}
    item = SourceItem(source, path.name, str(path.absolute()))
    rules = Ingest.model_validate({"height": height, "min_seconds": 0.0, "crf": CRF})
    answer = ingest_video({"item": vars(item), "ingest": rules.model_dump(mode="json"), "out": str(scratch)})
    members = unpack_parcel(answer["payload"])
    clips = []
    for key in (about["key"] for about in answer["facts"]["clips"]):
        mine, recipe = record_members(members, key)
        clip = members_to_clip(key, mine)
        clip.video = Layout(scratch).video(recipe, key)
        clips.append(clip)
    return clips


def clip_of_images(folder: Path, video: Path, fps: Fraction, height: int) -> Clip:
    """A folder of images, in name order, as one clip.

    Args:
        folder: of images of one size.
        video: where the mp4 is written.
        fps: frames per second.
        height: pixels at most; never made larger.

    Raises:
        BadInput: `no_images`, `not_image` or `mixed_sizes`.
    """
    from worldloom.catalogs.video import Encoder

    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    if len(paths) < 2:
        endings = ", ".join(IMAGE_ENDINGS)
        raise BadInput("no_images", f"{len(paths)} images found, at least 2 are needed ({endings})", where=folder)
    encoder: Encoder | None = None
    try:
        for picture in _pictures(paths, height):
            if encoder is None:
                encoder = Encoder(video, picture.shape[1], picture.shape[0], fps, CRF)
                size = picture.shape
            if picture.shape != size:
                message = (
                    f"the images differ in size ({size[1]} x {size[0]} and {picture.shape[1]} x {picture.shape[0]})"
                )
                raise BadInput("mixed_sizes", message, where=folder)
            encoder.write(picture)
        assert encoder is not None
        encoder.close()
    except BaseException:
        if encoder is not None:
            encoder.abandon()
        raise
    sha256 = Footage(pictures=tuple(paths)).digest()
    count = len(paths)
    return Clip(
        key=clip_key(sha256, 0, 0, count - 1),
        fps=fps,
        frames=count,
        height=size[0],
        width=size[1],
        pts_s=np.arange(count) / float(fps),
        provenance=Provenance("images", folder.name, sha256, span_s=(0.0, float((count - 1) / fps))),
        video=video,
        annotations={"ingest": Annotation("ok", "encode", "1")},
    )


def write_members(clip: Clip, out: Path) -> None:
    """The members of a sample as files, `<key>.mp4`, `<key>.json`, `<key>.camera.npz` and so on."""
    for name, data in clip_to_members(clip).items():
        (out / f"{clip.key}.{name}").write_bytes(data)


def read_members(key: str, out: Path) -> Clip:
    """The inverse of `write_members`."""
    prefix = f"{key}."
    return members_to_clip(key, {path.name.removeprefix(prefix): path.read_bytes() for path in out.glob(f"{prefix}*")})


def _pictures(paths: Sequence[Path], height: int) -> Iterator[np.ndarray]:
    import cv2

    cv2.setNumThreads(1)
    for path in paths:
        picture = read_picture(path)
        shrink = min(1.0, height / picture.shape[0])
        size = [max(2, 2 * int(side * shrink / 2 + 1e-6)) for side in (picture.shape[1], picture.shape[0])]
        if shrink < 1:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield np.ascontiguousarray(picture[: size[1], : size[0]])
