"""One video in, its clips out: what the child process of the ingest pass does.

Two passes over the video: the first finds time stamps, damage and shot changes, the second encodes every clip.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from pydantic import TypeAdapter

from worldloom.annotators.shots import find_cuts
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation, Caption, Clip, Provenance, clip_key
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import rate_of
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.video import Encoder, VideoInfo, cfr_index
from worldloom.pipeline.film import Film
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.parcel import RECIPE, STORED, pack_parcel
from worldloom.pipeline.passes.given import Given, is_cropped, source_digest
from worldloom.pipeline.settings import AnySource, Ingest
from worldloom.pipeline.sources.footage import Footage, Known, Workplace
from worldloom.pipeline.sources.source import Source, SourceItem


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
        message = f"{_beside(error.where, payload['item'], error.message)}{error.message}"
        raise BadInput(reason, message, where=payload["item"]["uri"], remedy=error.remedy) from None


def _beside(where: str, item: Mapping[str, Any], message: str) -> str:
    """The name of a file beside the video that an error is about, a table of cameras for one; else nothing."""
    name = PurePath(where).name
    beside = {PurePath(one).name for one in item["sidecars"]}
    named = name in message or name == PurePath(item["uri"]).name
    return f"{name}: " if name and not named and (name == where or name in beside) else ""


def _ingested(payload: Mapping[str, Any]) -> dict[str, Any]:
    item = SourceItem(**{**payload["item"], "sidecars": tuple(payload["item"]["sidecars"]), "problem": None})
    rules = Ingest.model_validate(payload["ingest"])
    layout = Layout(payload["out"])
    source: Source = TypeAdapter(AnySource).validate_python(item.source)
    with layout.scratch() as scratch:
        footage = source.footage(item, Workplace(scratch, layout.downloads()))
        video = _Video(item, source, rules, layout, footage)
        clips = video.clips(scratch)
        about = [video.about(clip) for clip in clips]
        for clip in clips:
            assert isinstance(clip.video, Path)
            layout.store.take(clip.video, layout.video_name(rules.recipe(), video.stored.get(clip.key, clip.key)))
    members: dict[str, bytes] = {}
    for clip in clips:
        files = {**_record_members(clip), RECIPE: rules.recipe().encode()}
        if clip.key in video.stored:
            files[STORED] = video.stored[clip.key].encode()
        members |= {f"{clip.key}/{name}": data for name, data in files.items()}
    facts = video.facts | {"clips": about, "sha256": video.provenance.sha256}
    return {"facts": facts, "payload": pack_parcel(members)}


def _record_members(clip: Clip) -> dict[str, bytes]:
    return clip_to_members(replace(clip, video=None))


class _Video:
    """The work on one footage; `facts` says afterwards what was seen.

    Attributes:
        stored: by key of a clip that its source claims, under which name its files lie instead. Whoever wrote a dataset
            may claim the key of any clip; files are named by what they are made of, so that none replaces another's.
    """

    def __init__(self, item: SourceItem, source: Source, rules: Ingest, layout: Layout, footage: Footage) -> None:
        self.item, self.rules, self.layout, self.footage = item, rules, layout, footage
        self.film = Film(footage, item.uri)
        self.info: VideoInfo = self.film.info
        known = source.known(item, self.info)
        self.given = Given.of(item.kind, self.info, known, footage.truth, source.gives())
        self.provenance = self._provenance(known)
        cut = rules.shots and footage.cuttable and self.given.camera is None and self.given.record is None
        self.survey = _survey(self.film, item.uri, cut=cut)
        own = _rate_of_frames(self.survey, self.info)
        self.fps = Fraction(rules.fps).limit_denominator(1001) if rules.fps is not None else own
        self.size = stored_size(self.info, rules.height)
        self.facts: dict[str, Any] = {"shots": len(self.survey.cuts) + 1, "damaged": self.survey.damaged}
        self.stored: dict[str, str] = {}
        self._answered: dict[str, list[str]] = {}

    def _provenance(self, known: Known) -> Provenance:
        if known.provenance is not None:
            return known.provenance
        item, footage = self.item, self.footage
        return Provenance(
            kind=item.kind,
            uri=footage.uri or item.uri,
            sha256=footage.digest(),
            licence=item.licence,
            retrieved_at=footage.retrieved_at or item.retrieved_at(),
            stream=self.info.stream,
            operations=footage.truth.provenance.operations if footage.truth is not None else (),
        )

    def about(self, clip: Clip) -> dict[str, Any]:
        """What the driver needs to know about a clip."""
        assert isinstance(clip.video, Path)
        return {
            "key": clip.key,
            # A claimed key, origin and times say nothing about the pixels that annotators have seen.
            "source": source_digest(clip, self.footage.digest() if self.footage.key else ""),
            "bytes": clip.video.stat().st_size,
            "given": self._answered[clip.key],
            "row": catalog_row(clip),
        }

    def clips(self, scratch: Path) -> list[Clip]:
        """Encode every part into `scratch`; records of the clips in order."""
        self.given.check(len(self.survey.pts), self.item.uri)
        parts, short = self._parts()
        self.facts["too_short"] = short
        if not parts:
            raise self._nothing_left()
        drafts = [scratch / f"clip-{number}.mp4" for number in range(len(parts))]
        copied = self._may_be_copied(parts)
        if copied:
            assert self.footage.video is not None
            shutil.copyfile(self.footage.video, drafts[0])
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
            pieces = ceil(frames / self.fps / self.rules.max_seconds - 1e-9) if self.footage.truth is None else 1
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
        shots = f"{self.facts['shots']} shots" if self.facts["shots"] != 1 else "one shot"
        return BadInput("too_short", f"{seconds:.2f} s in {shots}, {wanted}", where=self.item.uri)

    def _may_be_copied(self, parts: list[Part]) -> bool:
        whole = self._is_whole(parts[0]) and len(parts) == 1
        unchanged = self.size == (self.info.width, self.info.height) and self.fps == self.info.fps
        sound = not self.survey.damaged and not self.survey.error
        return whole and unchanged and sound and self.film.conforms()

    def _is_whole(self, part: Part) -> bool:
        """Whether it has every frame that there is, once."""
        return np.array_equal(part.index, np.arange(len(self.survey.pts)))

    def _encode(self, parts: list[Part], drafts: list[Path]) -> None:
        shown: dict[int, tuple[int, int]] = {}
        for number, part in enumerate(parts):
            frames, counts = np.unique(part.index, return_counts=True)
            shown |= {int(frame): (number, int(count)) for frame, count in zip(frames, counts, strict=True)}
        last = {number: int(part.index[-1]) for number, part in enumerate(parts)}
        encoder: Encoder | None = None
        try:
            for frame, (_, rgb) in enumerate(self.film.frames()):
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
        survey, (width, height) = self.survey, self.size
        key = self._key(part)
        operations = list(self.provenance.operations)
        if (part.start, part.stop) != (0, len(survey.pts)):
            operations.append(f"cut:{part.start}:{part.stop}")
        provenance = replace(self.provenance, operations=tuple(operations), span_s=self._span(part))
        clip = Clip(key, self.fps, len(part.index), height, width, survey.pts_s[part.index], provenance)
        clip.annotations["ingest"] = self._ingest_line(copied=copied)
        if survey.damaged:
            clip.quality["damaged"] = float(survey.damaged)
        if self.item.caption:
            clip.captions = [Caption(self.item.caption, f"source:{self.item.kind}")]
        clip.attributes = dict(self.item.attributes)
        self._answered[key] = self.given.give(clip, part.index)
        return clip

    def _key(self, part: Part) -> str:
        pts = self.survey.pts
        first, last = int(pts[part.start]), int(pts[part.stop - 1])
        made = clip_key(self.footage.digest(), self.info.stream, first, last, self.film.choice)
        if self.footage.key and self._is_whole(part) and self.fps == self.info.fps:
            self.stored[self.footage.key] = made
            return self.footage.key
        return made

    def _span(self, part: Part) -> tuple[float, float]:
        known, record = self.provenance.span_s, self.given.known.record
        if record is not None and len(record.pts_s) == len(self.survey.pts):
            return float(record.pts_s[part.start]), float(record.pts_s[part.stop - 1])
        if known != (0.0, 0.0):
            return known
        return float(self.survey.pts_s[part.start]), float(self.survey.pts_s[part.stop - 1])

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

    def _keep_truth(self, clip: Clip, scratch: Path) -> None:
        truth = self.footage.truth
        if truth is None:
            return
        if truth.frames != clip.frames:
            raise RuntimeError(f"{truth.frames} frames were rendered and {clip.frames} came out of ingest")
        truth = replace(truth, key=clip.key, provenance=clip.provenance, pts_s=clip.pts_s, fps=clip.fps, video=None)
        draft = scratch / "truth.zip"
        draft.write_bytes(pack_parcel(clip_to_members(truth)))
        self.layout.store.take(draft, self.layout.truth_name(self.rules.recipe(), clip.key))


def _survey(film: Film, where: str, *, cut: bool) -> Survey:
    source = film.frames(exact=False)
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
        raise BadInput("no_frames", f"not one frame can be decoded {source.error}".strip(), where=where)
    times = np.asarray(pts, np.int64)
    return Survey(times, times * float(film.info.time_base), cuts, source.damaged, source.error)


def _rate_of_frames(survey: Survey, info: VideoInfo) -> Fraction:
    """The rate of what came out of the decoder, which is that of the packets unless these lie or were not all read.

    A frame that does not decode leaves a gap, and says nothing about the rate.
    """
    complete = len(survey.pts) == info.frames or bool(survey.error)
    return rate_of(survey.pts, info.time_base, info.fps)[0] if complete and not survey.damaged else info.fps


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
