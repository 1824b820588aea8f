"""HM-World samples: two clips of one world each, cameras, masks of the subject, and who is in the picture when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.hm_world import PARTS, Part
from worldloom.pipeline.sources.footage import Footage, Known, Workplace, file_sha256
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.clip import Subjects
    from worldloom.catalogs.formats.trajectory import Trajectory
    from worldloom.catalogs.video import VideoInfo

SIDE_FILES = ("camera.json", "check.json", "character.json")


class HMWorldSource(Source):
    """A folder per sample: `cond.mp4` and `tgt.mp4` of one world, their masks, `camera.json`, and what else is there.

    Attributes:
        path: folder of the samples, at any depth, with `caption.txt` at its root.
        clips: `both` makes a clip of each video; `joined` one of both, the target after the context.
        masks: read subjects from `cond_mask.mp4` and `tgt_mask.mp4`; a sample without them is then a problem.
        least_px: a mask of fewer red pixels is none: compression leaves specks (default ours, of 832x480).
        hfov_deg: horizontal field of view; that which was measured on the released samples where not given (36.6).
    """

    kind: Literal["hm_world"]
    path: Path
    clips: Literal["both", "joined"] = "both"
    masks: bool = True
    least_px: int = Field(default=16, ge=1)
    hfov_deg: float | None = Field(default=None, gt=0, lt=180)

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses, and subjects where masks are read."""
        return ("pose", "subjects") if self.masks else ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """Two items per sample (one where they are joined), sorted by folder, then everything that belongs to none."""
        samples: dict[Path, set[str]] = {}
        others: list[Path] = []
        captions: dict[str, str] = {}
        parts = {f"{part}{end}.mp4" for part in PARTS for end in ("", "_mask")} | set(SIDE_FILES)
        for path in walk_files(self.path):
            if path.name in parts and path.parent != self.path:
                samples.setdefault(path.parent, set()).add(path.name)
            elif path == self.path / "caption.txt":
                captions = self._captions(path)
            else:
                others.append(path)
        source = self.model_dump(mode="json")
        for folder, names in sorted(samples.items()):
            yield from map(plainly_named, self._sample(source, folder, names, captions))
        for path in others:
            uri = path.relative_to(self.path).as_posix()
            problem = "not_recognised", "no file of a sample"
            yield plainly_named(SourceItem(source, uri, str(path.absolute()), self.licence, problem=problem))

    def _sample(
        self, source: dict[str, Any], folder: Path, names: set[str], captions: dict[str, str]
    ) -> Iterator[SourceItem]:
        sample = folder.relative_to(self.path).as_posix()
        for parts in (PARTS,) if self.clips == "joined" else tuple((part,) for part in PARTS):
            needed = [name for part in parts for name in self._videos(part)] + ["camera.json"]
            missing = [name for name in needed if name not in names]
            problem = None
            if missing:
                slug = {"camera.json": "no_poses"}.get(missing[0], "no_mask" if "_mask" in missing[0] else "no_video")
                problem = slug, f"there is no {' and no '.join(missing)} in its folder"
            uri = sample if len(parts) > 1 else f"{sample}/{parts[0]}.mp4"
            beside = [*needed[1:], *(name for name in SIDE_FILES[1:] if name in names)]
            keys = (sample, f"{sample}/{parts[-1]}", folder.name, f"{folder.name}/{parts[-1]}")
            yield SourceItem(
                source,
                uri,
                str((folder / needed[0]).absolute()),
                self.licence,
                sidecars=tuple(str((folder / name).absolute()) for name in beside),
                caption=next((captions[key] for key in keys if key in captions), ""),
                problem=problem,
                detail={"parts": list(parts)},
                attributes={"sample": sample, "scene": sample, "part": "+".join(parts)},
            )

    def _videos(self, part: Part) -> list[str]:
        return [f"{part}.mp4", f"{part}_mask.mp4"] if self.masks else [f"{part}.mp4"]

    def _captions(self, path: Path) -> dict[str, str]:
        from worldloom.catalogs.formats.hm_world import read_captions

        try:
            return read_captions(path)
        except BadInput:  # captions are a gift; what is wrong with the file is no sample's fault
            return {}

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The clip; where both are one, their frames as pictures, nothing lost."""
        if len(item.detail["parts"]) == 1:
            return Footage(video=Path(item.path), cuttable=False)
        import cv2

        from worldloom.catalogs.video import decode_source, probe

        videos = [Path(item.path).with_name(f"{part}.mp4") for part in item.detail["parts"]]
        infos = [probe(video) for video in videos]
        if len({(info.width, info.height, info.fps) for info in infos}) != 1:
            what = "its clips differ in size or rate and cannot be one"
            raise BadInput("mixed_sizes", what, where=videos[0].parent, remedy="Take clips: both.")
        pictures: list[Path] = []
        for video, info in zip(videos, infos, strict=True):
            for _, rgb in decode_source(video, info.stream):
                pictures.append(workplace.scratch / f"joined-{len(pictures):05d}.png")
                cv2.imwrite(str(pictures[-1]), rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        sha256 = hashlib.sha256("".join(map(file_sha256, videos)).encode()).hexdigest()
        return Footage(pictures=tuple(pictures), fps=infos[0].fps, sha256=sha256, cuttable=False)

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Cameras, subjects, and what check.json and character.json say.

        Raises:
            BadInput: `bad_poses`, `bad_check`, `mask_length`, `mixed_sizes`, or a file that cannot be read.
        """
        folder, parts = Path(item.path).parent, item.detail["parts"]
        known = Known(trajectory=self._cameras(folder, parts))
        beside = {Path(one).name for one in item.sidecars}  # what was listed: nothing that leads out of the source
        if "character.json" in beside:
            from worldloom.catalogs.formats.hm_world import character_text

            known.attributes["character"] = character_text(folder / "character.json")
        subjects = self._subjects(folder, parts, info) if self.masks else None
        if "check.json" in beside:
            self._check(folder, parts, subjects, known)
        known.subjects = subjects
        return known

    def _cameras(self, folder: Path, parts: list[Part]) -> Trajectory:
        import math

        import numpy as np

        from worldloom.catalogs.formats.hydra import SIZE, read_hydra_json

        paths = [read_hydra_json(folder / "camera.json", "cond_cam" if part == "cond" else "tgt_cam") for part in parts]
        path = paths[0]
        if len(paths) > 1:
            rows = path.take(np.concatenate([np.arange(len(path)), np.zeros(len(paths[1]), int)]))
            rows.c2w[len(path) :] = paths[1].c2w
            path = rows
        path.timestamps_s = None
        if self.hfov_deg is not None:
            focal = SIZE[0] / 2 / math.tan(math.radians(self.hfov_deg) / 2)
            path.intrinsics = np.tile([focal, focal, SIZE[0] / 2, SIZE[1] / 2], (len(path), 1))
        return path

    def _subjects(self, folder: Path, parts: list[Part], info: VideoInfo) -> Subjects:
        """The red of the masks. One mask holds all of a sample's characters, so it makes one subject."""
        from worldloom.catalogs.formats.hm_world import red_mask
        from worldloom.catalogs.subject_masks import SubjectMasks
        from worldloom.catalogs.video import decode_source, probe

        masks = SubjectMasks(info.width, info.height, self.least_px)
        masks.name("subject")
        for part in parts:
            mask, video = folder / f"{part}_mask.mp4", folder / f"{part}.mp4"
            about = probe(mask)
            if abs(about.width / about.height - info.width / info.height) > 0.01:
                what = (
                    f"{about.width} x {about.height} pixels, another shape than the clip's {info.width} x {info.height}"
                )
                raise BadInput("mixed_sizes", what, where=mask)
            before, frames = masks.frames, info.frames if len(parts) == 1 else probe(video).frames
            for _, rgb in decode_source(mask, about.stream, exact=False):
                masks.add({"subject": red_mask(rgb)})
            if masks.frames - before != frames:
                what = f"{masks.frames - before} frames, and the clip has {frames}"
                raise BadInput("mask_length", what, where=mask, remedy="Take masks: false, or the sample out.")
        return masks.subjects(float(info.fps), "hm_world masks")

    def _check(self, folder: Path, parts: list[Part], subjects: Subjects | None, known: Known) -> None:
        """Names of the characters, and in how many frames check.json and the masks contradict each other."""
        import numpy as np

        from worldloom.catalogs.formats.hm_world import read_check

        checks = [read_check(folder / "check.json", part) for part in parts]
        characters = sorted({name for check in checks for name in check.characters})
        actors = sorted({name for check in checks for name in check.actors})
        named = {"subject": ", ".join(characters), "actor": ", ".join(actors)}
        known.attributes |= {name: text[:1000] for name, text in named.items() if text}
        if subjects is None:
            return
        if characters:
            subjects.label = [", ".join(characters)[:200]]
        known.notes["characters_in_one_mask"] = len(characters)
        said = np.concatenate([check.in_frame.any(axis=0) for check in checks])
        known.notes["check_frames"] = len(said)
        if len(said) == subjects.visibility.shape[1]:
            differ = said != (subjects.visibility[0] > 0)
            known.notes["check_disagrees_frames"] = int(differ.sum())
