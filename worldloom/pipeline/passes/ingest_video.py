"""One video in, its clips out: what the child process of the ingest pass does.

Two passes over the video: the first finds time stamps, damage and shot changes, the second encodes every clip.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import TypeAdapter

from worldloom.annotators.shots import find_cuts
from worldloom.catalogs.cameras import resize_intrinsics
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation, Camera, Caption, Clip, Provenance, clip_key
from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import camera_arrays, clip_to_members, subjects_arrays, write_npz
from worldloom.catalogs.video import Encoder, VideoInfo, cfr_index, conforms, decode_source, probe
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.parcel import RECIPE, pack_parcel
from worldloom.pipeline.settings import AnySource, Ingest
from worldloom.pipeline.sources.source import Source, SourceItem, file_sha256


@dataclass(frozen=True)
class Survey:
    """What the first pass over a video found.

    Attributes:
        pts: (n,) int64, of every frame that decodes.
        pts_s: (n,) seconds.
        cuts: first frames of new shots.
        damaged: packets that do not decode, and frames that do so only in part.
        error: what ended the video before its end; empty where nothing did.
    """

    pts: np.ndarray
    pts_s: np.ndarray
    cuts: list[int]
    damaged: int
    error: str


@dataclass(frozen=True)
class Part:
    """One clip to be: source frames `start` to `stop` - 1, and which of them each frame of the clip shows."""

    start: int
    stop: int
    index: np.ndarray


def ingest_video(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make the clips of one source item.

    Args:
        payload: `item` (a `SourceItem` as plain data), `ingest` (the pass's configuration), `out` (working folder).

    Returns:
        `facts` (what the driver needs to know about each clip, and what was seen on the way) and `payload` (their
        records as a parcel); the mp4 files are in place by then.

    Raises:
        BadInput: the video cannot become a clip, for this reason.
    """
    cv2.setNumThreads(1)
    try:
        return _ingested(payload)
    except BadInput as error:
        # Rows name their file by its URI: where it lies on this machine is nobody's business later.
        reason = "not_video" if error.reason == "no_video_stream" else error.reason
        raise BadInput(reason, error.message, where=payload["item"]["uri"], remedy=error.remedy) from None


def _ingested(payload: Mapping[str, Any]) -> dict[str, Any]:
    item = SourceItem(**{**payload["item"], "sidecars": tuple(payload["item"]["sidecars"]), "problem": None})
    rules = Ingest.model_validate(payload["ingest"])
    layout = Layout(payload["out"])
    source: Source = TypeAdapter(AnySource).validate_python(item.source)
    with layout.scratch() as scratch:
        truth = None
        path = Path(item.path)
        if item.plan:
            path = scratch / "world.mp4"
            truth = source.render(item, path)
        sha256 = source.plan_sha256(item) if item.plan else file_sha256(path)
        video = _Video(item, source, rules, layout, path, sha256, truth)
        clips = video.clips(scratch)
        about = [_about(clip) for clip in clips]
        for clip in clips:
            assert isinstance(clip.video, Path)
            layout.store.take(clip.video, layout.video_name(rules.recipe(), clip.key))
    members: dict[str, bytes] = {}
    for clip in clips:
        files = {**_record_members(clip), RECIPE: rules.recipe().encode()}
        members |= {f"{clip.key}/{name}": data for name, data in files.items()}
    facts = video.facts | {"clips": about, "given": list(source.gives()), "sha256": sha256}
    return {"facts": facts, "payload": pack_parcel(members)}


def _record_members(clip: Clip) -> dict[str, bytes]:
    return clip_to_members(replace(clip, video=None))


def _about(clip: Clip) -> dict[str, Any]:
    """What the driver needs to know about a clip."""
    assert isinstance(clip.video, Path)
    return {
        "key": clip.key,
        "source": _source_digest(clip),
        "bytes": clip.video.stat().st_size,
        "row": catalog_row(clip),
    }


def _source_digest(clip: Clip) -> str:
    """What annotations of the clip depend on beside their recipes: its source, its frames, and what the source gave."""
    arrays = {"pts_s": clip.pts_s, **camera_arrays(clip.camera)}
    if clip.subjects is not None:
        arrays |= {f"subjects_{name}": value for name, value in subjects_arrays(clip.subjects).items()}
    return digest([clip.provenance.sha256, hashlib.sha256(write_npz(arrays)).hexdigest()])


class _Video:
    """The work on one video; `facts` says afterwards what was seen."""

    def __init__(
        self,
        item: SourceItem,
        source: Source,
        rules: Ingest,
        layout: Layout,
        path: Path,
        sha256: str,
        truth: Clip | None,
    ) -> None:
        self.item, self.source, self.rules, self.layout = item, source, rules, layout
        self.path, self.sha256, self.truth = path, sha256, truth
        self.info: VideoInfo = probe(path)
        trajectory = source.trajectory(item)
        self.camera = trajectory.camera(self.info.width, self.info.height) if trajectory is not None else None
        if truth is not None and "pose" in source.gives():
            self.camera = truth.camera
        cut = rules.shots and self.camera is None and truth is None
        self.survey = _survey(path, self.info, cut=cut)
        self.fps = Fraction(rules.fps).limit_denominator(1001) if rules.fps is not None else self.info.fps
        self.size = stored_size(self.info, rules.height)
        self.facts: dict[str, Any] = {"shots": len(self.survey.cuts) + 1, "damaged": self.survey.damaged}

    def clips(self, scratch: Path) -> list[Clip]:
        """Encode every part into `scratch`; records of the clips in order."""
        if self.camera is not None and len(self.camera) != len(self.survey.pts):
            message = f"{len(self.camera)} cameras belong to it, and it has {len(self.survey.pts)} frames"
            raise BadInput("bad_poses", message, where=self.item.uri)
        parts, short = self._parts()
        self.facts["too_short"] = short
        if not parts:
            raise self._nothing_left()
        drafts = [scratch / f"{number}.mp4" for number in range(len(parts))]
        copied = self._may_be_copied(parts)
        if copied:
            shutil.copyfile(self.path, drafts[0])
        else:
            self._encode(parts, drafts)
        clips = [self._record(part, copied=copied) for part in parts]
        for clip, draft in zip(clips, drafts, strict=True):
            self._keep_truth(clip, scratch)
            clip.video = draft
        return clips

    def _parts(self) -> tuple[list[Part], int]:
        """Shots cut into equal parts of at most `max_seconds`, and how many were too short to keep."""
        pts_s = self.survey.pts_s
        bounds = [0, *self.survey.cuts, len(pts_s)]
        parts, short = [], 0
        for first, end in pairwise(bounds):
            if first == end:
                continue
            frames = len(cfr_index(pts_s[first:end], self.fps))
            pieces = ceil(frames / self.fps / self.rules.max_seconds - 1e-9) if self.truth is None else 1
            edges = [first + round(i * (end - first) / pieces) for i in range(pieces + 1)]
            for start, stop in pairwise(edges):
                index = cfr_index(pts_s[start:stop], self.fps) + start
                if len(index) / self.fps + 1e-9 < self.rules.min_seconds:
                    short += 1
                else:
                    parts.append(Part(start, stop, index))
        return parts, short

    def _nothing_left(self) -> BadInput:
        survey, wanted = self.survey, f"at least {self.rules.min_seconds:g} s are asked for"
        seconds = float(len(survey.pts) / self.info.fps)
        if survey.error or survey.damaged:
            how = survey.error or f"{survey.damaged} damaged packets"
            message = f"only {len(survey.pts)} frames ({seconds:.2f} s) can be decoded ({how}), {wanted}"
            return BadInput("truncated", message, where=self.item.uri)
        return BadInput("too_short", f"{seconds:.2f} s in {self.facts['shots']} shots, {wanted}", where=self.item.uri)

    def _may_be_copied(self, parts: list[Part]) -> bool:
        whole = len(parts) == 1 and np.array_equal(parts[0].index, np.arange(len(self.survey.pts)))
        unchanged = self.size == (self.info.width, self.info.height) and self.fps == self.info.fps
        sound = not self.survey.damaged and not self.survey.error
        return whole and unchanged and sound and conforms(self.path)

    def _encode(self, parts: list[Part], drafts: list[Path]) -> None:
        shown: dict[int, tuple[int, int]] = {}
        for number, part in enumerate(parts):
            frames, counts = np.unique(part.index, return_counts=True)
            shown |= {int(frame): (number, int(count)) for frame, count in zip(frames, counts, strict=True)}
        last = {number: int(part.index[-1]) for number, part in enumerate(parts)}
        encoder: Encoder | None = None
        try:
            for frame, (_, rgb) in enumerate(decode_source(self.path, self.info.stream)):
                if frame not in shown:
                    continue
                number, count = shown[frame]
                if encoder is None:
                    encoder = Encoder(drafts[number], *self.size, self.fps, self.rules.crf)
                picture = fit(rgb, self.size)
                for _ in range(count):
                    encoder.write(picture)
                if frame == last[number]:
                    encoder.close()
                    encoder = None
        finally:
            if encoder is not None:
                encoder.abandon()

    def _record(self, part: Part, *, copied: bool) -> Clip:
        survey, item, (width, height) = self.survey, self.item, self.size
        pts = survey.pts
        key = clip_key(self.sha256, self.info.stream, int(pts[part.start]), int(pts[part.stop - 1]))
        operations = list(self.truth.provenance.operations) if self.truth is not None else []
        if (part.start, part.stop) != (0, len(pts)):
            operations.append(f"cut:{part.start}:{part.stop}")
        provenance = Provenance(
            kind=item.kind,
            uri=item.uri,
            sha256=self.sha256,
            licence=item.licence,
            retrieved_at=item.retrieved_at(),
            stream=self.info.stream,
            span_s=(float(survey.pts_s[part.start]), float(survey.pts_s[part.stop - 1])),
            operations=tuple(operations),
        )
        clip = Clip(key, self.fps, len(part.index), height, width, survey.pts_s[part.index], provenance)
        clip.annotations["ingest"] = self._ingest_line(copied=copied)
        if survey.damaged:
            clip.quality["damaged"] = float(survey.damaged)
        if item.caption:
            clip.captions = [Caption(item.caption, f"source:{item.kind}")]
        self._give(clip, part)
        return clip

    def _ingest_line(self, *, copied: bool) -> Annotation:
        info, survey = self.info, self.survey
        notes: dict[str, Any] = {
            "source_fps": f"{info.fps.numerator}/{info.fps.denominator}",
            "source_size": [info.width, info.height],
            "source_codec": info.codec,
            "variable_rate": info.variable,
            "copied": copied,
        }
        if survey.damaged:
            notes["damaged"] = survey.damaged
        if survey.error:
            notes["error"] = survey.error
        return Annotation("ok", "copy" if copied else "encode", "1", notes=notes)

    def _give(self, clip: Clip, part: Part) -> None:
        """What the source knows about the frames, through the same index map."""
        line = Annotation("ok", f"source:{self.item.kind}", "1")
        if self.camera is not None:
            same = is_cropped((self.info.width, self.info.height), self.size)
            scale = (1.0, 1.0) if same else (clip.width / self.info.width, clip.height / self.info.height)
            clip.camera = camera_at(self.camera, part.index, *scale)
            clip.annotations["pose"] = line
        if self.truth is not None and "subjects" in self.source.gives():
            clip.subjects = self.truth.subjects
            clip.annotations["subjects"] = line

    def _keep_truth(self, clip: Clip, scratch: Path) -> None:
        if self.truth is None:
            return
        if self.truth.frames != clip.frames:
            raise RuntimeError(f"{self.truth.frames} frames were rendered and {clip.frames} came out of ingest")
        truth = replace(
            self.truth, key=clip.key, provenance=clip.provenance, pts_s=clip.pts_s, fps=clip.fps, video=None
        )
        draft = scratch / "truth.zip"
        draft.write_bytes(pack_parcel(clip_to_members(truth)))
        self.layout.store.take(draft, self.layout.truth_name(self.rules.recipe(), clip.key))


def _survey(path: Path, info: VideoInfo, *, cut: bool) -> Survey:
    source = decode_source(path, info.stream, exact=False)
    pts: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for time, rgb in source:
            pts.append(time)
            yield rgb

    cuts: list[int] = []
    if cut:
        cuts = find_cuts(pictures())
    else:
        for _ in pictures():
            pass
    if not pts:
        raise BadInput("no_frames", f"not one frame can be decoded {source.error}".strip(), where=path.name)
    times = np.asarray(pts, np.int64)
    return Survey(times, times * float(info.time_base), cuts, source.damaged, source.error)


def stored_size(info: VideoInfo, height: int | None) -> tuple[int, int]:
    """Width and height of the clip: square pixels, even sides, at most `height` high, never larger than the source."""
    aspect = float(info.pixel_aspect)
    wide = info.width * min(1.0, aspect)
    high = info.height / max(1.0, aspect)
    shrink = min(1.0, height / high) if height is not None else 1.0
    return _even(wide * shrink), _even(high * shrink)


def _even(side: float) -> int:
    return max(2, 2 * int(side / 2 + 1e-6))


def fit(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at `size`; one odd row or column is cut off, everything else is a change of scale."""
    width, height = size
    if is_cropped((rgb.shape[1], rgb.shape[0]), size):
        return np.ascontiguousarray(rgb[:height, :width])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def is_cropped(source: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether `fit` leaves the scale alone: (width, height) differ by at most the odd row or column."""
    return 0 <= source[0] - size[0] <= 1 and 0 <= source[1] - size[1] <= 1


def camera_at(camera: Camera, index: np.ndarray, scale_x: float, scale_y: float) -> Camera:
    """The camera at frames `index`, its intrinsics for a picture scaled by these factors.

    Args:
        camera: of n source frames.
        index: (T,) source frame of each frame.
        scale_x: width of the clip over width of the source.
        scale_y: the same for heights.
    """
    per_frame = {
        name: value[index]
        for name in (
            "c2w", "confidence", "valid", "translation_known", "scale_group", "sigma_position", "sigma_rotation_deg",
            "median_depth",
        )
        if (value := getattr(camera, name)) is not None
    }  # fmt: skip
    return replace(camera, **per_frame, intrinsics=resize_intrinsics(camera.intrinsics[index], scale_x, scale_y))
