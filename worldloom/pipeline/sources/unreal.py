"""Shots of Unreal's Movie Render Queue: pictures or a video, cameras, and the passes beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from worldloom.catalogs.config import Strict, digest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.movie_render_queue import (
    VIDEOS,
    DepthPass,
    IdPass,
    Numbered,
    first_missing,
    name_pattern,
    sorted_out,
)
from worldloom.catalogs.formats.unreal_cameras import CameraColumns, Lens
from worldloom.pipeline.sources.footage import Footage, Known, Workplace
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.formats.unreal_cameras import CameraTable
    from worldloom.catalogs.video import VideoInfo

CAMERA_FILES = ("camera.json", "camera.csv", "{sequence}.json", "{sequence}.csv")
"""Where cameras are looked for when nothing is said, in this order, before the headers of EXR pictures."""

Shots = Mapping[tuple[Path, str], Mapping[str, Numbered]]


class Picture(Strict):
    """The picture itself among the passes, and how its light becomes 8 bits.

    Attributes:
        name: of its pass: of a folder, or in the names of the files.
        layer: of an EXR; looked for where not given.
        exposure_stops: for EXR, brighter by so many stops.
        curve: for EXR, see `worldloom.catalogs.formats.exr.read_exr_rgb`.
    """

    name: str = "FinalImage"
    layer: str | None = None
    exposure_stops: float = Field(default=0.0, ge=-20, le=20)
    curve: Literal["clip", "reinhard"] = "clip"


class UnrealSource(Source):
    """A folder per shot, with numbered pictures or a video, a camera file, and passes in folders of their names.

    Attributes:
        path: folder of the shots, at any depth.
        name: of the pictures, without their ending: the queue's File Name Format.
        fps: of numbered pictures.
        picture: which pass they are.
        camera: file in the shot's folder (`{sequence}` stands for the sequence's name), `exr` for the headers of the
            pictures, `none` for shots without cameras; looked for where not given.
        columns: names of the columns or keys in it.
        lens: what it does not say.
        depth: the pass with depth, if any.
        ids: the pass with object ids, if any.
    """

    kind: Literal["unreal"]
    path: Path
    name: str = "{sequence}.{frame}"
    fps: float = Field(default=30.0, gt=0, le=240)
    picture: Picture = Picture()
    camera: str | None = None
    columns: CameraColumns = CameraColumns()
    lens: Lens = Lens()
    depth: DepthPass | None = None
    ids: IdPass | None = None

    @field_validator("name")
    @classmethod
    def _a_template(cls, value: str) -> str:
        name_pattern(value)
        return value

    @field_validator("camera")
    @classmethod
    def _a_plain_name(cls, value: str | None) -> str | None:
        if value is not None and ("/" in value or "\\" in value or value.startswith(".")):
            raise ValueError("a plain name of a file in the shot's folder")
        return value

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses, and what the passes say."""
        more = [name for name, one in (("depth", self.depth), ("subjects", self.ids)) if one is not None]
        return (*(() if self.camera == "none" else ("pose",)), *more)

    def items(self) -> Iterator[SourceItem]:
        """One item per sequence of pictures or video, sorted by place; everything else is an item with a problem."""
        files = list(walk_files(self.path))
        shots = sorted_out(files, self.name, self._passes())
        videos = [path for path in files if path.suffix.lower() in VIDEOS]
        taken = {path for shot in shots.values() for one in shot.values() for path in one.files.values()}
        taken |= {second for shot in shots.values() for one in shot.values() for _, second in one.doubled}
        there, cameras, beside = set(files), set[Path](), _Folders(shots, videos)
        items: list[SourceItem] = []
        for (folder, sequence), passes in shots.items():
            if "" in passes:
                items.append(self._item(folder, sequence, passes, None, there, cameras))
            elif not beside.videos[folder]:
                some = next(iter(next(iter(passes.values())).files.values()))
                what = "passes without the picture they belong to"
                items.append(self._problem(some, "no_video", f"{what} ('{self.picture.name}', or a video)"))
        for video in videos:
            taken.add(video)
            along = beside.passes_of(video)
            if "" in along:
                what = "numbered pictures of the same sequence are taken in its place"
                items.append(self._problem(video, "not_recognised", what))
            else:
                items.append(self._item(video.parent, video.stem, along, video, there, cameras))
        for path in files:
            if path not in taken and path not in cameras:
                what = f"neither a picture named '{self.name}', nor a video, nor a camera file"
                items.append(self._problem(path, "not_recognised", what))
        yield from map(plainly_named, sorted(items, key=lambda item: item.uri))

    def _passes(self) -> list[str]:
        return [self.picture.name, *(one.name for one in (self.depth, self.ids) if one is not None)]

    def _plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def _problem(self, path: Path, reason: str, what: str) -> SourceItem:
        uri = path.relative_to(self.path).as_posix()
        return SourceItem(self.model_dump(mode="json"), uri, str(path.absolute()), self.licence, problem=(reason, what))

    def _item(
        self,
        folder: Path,
        sequence: str,
        passes: Mapping[str, Numbered],
        video: Path | None,
        files: set[Path],
        cameras: set[Path],
    ) -> SourceItem:
        place = folder.relative_to(self.path)
        camera, problem = self._camera_of(folder, sequence, passes, files)
        cameras.update([camera] if camera is not None else [])
        for name, one in passes.items():
            if problem is None and (wrong := one.problem()) is not None:
                problem = wrong[0], f"{name or self.picture.name}: {wrong[1]}"
        used = sorted(path for one in passes.values() for path in one.files.values())
        attributes: dict[str, str | float | bool] = {"sequence": sequence} if sequence else {}
        if place.parts:
            attributes["scene"] = place.parts[0]
        if self.ids is not None and self.ids.subjects:
            attributes["subject"] = ", ".join(sorted(set(self.ids.subjects.values())))
        return SourceItem(
            self._plain(),
            (video.relative_to(self.path) if video is not None else place / (sequence or "pictures")).as_posix(),
            str((video or folder).absolute()),
            self.licence,
            sidecars=(str(camera.absolute()),) if camera is not None else (),
            problem=problem,
            detail={"sequence": sequence, "pictures": video is None, "below": len(place.parts)},
            attributes={name: value for name, value in attributes.items() if str(value).isprintable()},
            stamp=digest([_stamp(path, folder) for path in used]) if used else "",
        )

    def _camera_of(
        self, folder: Path, sequence: str, passes: Mapping[str, Numbered], files: set[Path]
    ) -> tuple[Path | None, tuple[str, str] | None]:
        """The camera file of a shot, or why there is none."""
        if self.camera in ("none", "exr"):
            return None, None
        names = CAMERA_FILES if self.camera is None else (self.camera,)
        for name in names:
            path = folder / name.replace("{sequence}", sequence)
            if path in files:
                return path, None
        if self.camera is None and any(path.suffix.lower() == ".exr" for path in _any_exr(passes)):
            return None, None
        looked = ", ".join(name.replace("{sequence}", sequence) for name in names)
        what = f"no camera file in its folder ({looked}); write one, or say camera: exr or camera: none"
        return None, ("no_poses", what)

    def _shot(self, item: SourceItem) -> dict[str, Numbered]:
        """The pictures of an item by pass, listed again."""
        place, sequence = Path(item.path), item.detail["sequence"]
        folder = place if item.detail["pictures"] else place.parent
        root = Path(*folder.parts[: len(folder.parts) - item.detail["below"]])
        below = [folder, *(one for one in sorted(folder.iterdir()) if one.is_dir() and not one.is_symlink())]
        files = [path for one in below for path in walk_files(one, recursive=False, within=root)]
        shots = sorted_out(files, self.name, self._passes())
        if item.detail["pictures"]:
            return dict(shots.get((folder, sequence), {}))
        videos = [path for path in files if path.suffix.lower() in VIDEOS]
        return dict(_Folders(shots, videos).passes_of(place))

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The video, or the pictures; EXR is brought to 8 bits here where the configuration says how."""
        if not item.detail["pictures"]:
            return Footage(video=Path(item.path), cuttable=False)
        beauty = self._shot(item)[""]
        pictures = tuple(beauty.files[number] for number in beauty.numbers)
        footage = Footage(pictures=pictures, fps=Fraction(self.fps).limit_denominator(1001), cuttable=False)
        if self.picture == Picture(name=self.picture.name) or pictures[0].suffix.lower() != ".exr":
            return footage
        sha256, made = footage.digest(), digest(self.picture.model_dump(mode="json", exclude={"name"}))
        developed = self._developed(pictures, workplace)
        return Footage(pictures=developed, fps=footage.fps, made=made, sha256=sha256, cuttable=False)

    def _developed(self, pictures: tuple[Path, ...], workplace: Workplace) -> tuple[Path, ...]:
        import cv2

        from worldloom.catalogs.formats.exr import read_exr_rgb

        out = []
        for i, path in enumerate(pictures):
            rgb = read_exr_rgb(path, self.picture.layer, self.picture.exposure_stops, self.picture.curve)
            out.append(workplace.scratch / f"picture-{i:07d}.png")
            cv2.imwrite(str(out[-1]), rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return tuple(out)

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Cameras, depth of some frames, and subjects.

        Raises:
            BadInput: `bad_poses`, `missing_frames`, `mixed_sizes`, `depth_measure_doubtful`, or a file that cannot be
                read, each naming file, line or frame.
        """
        from worldloom.pipeline.sources.unreal_passes import depth_of, subjects_of

        shot = self._shot(item)
        numbers = shot[""].numbers if "" in shot else None
        table = self._cameras(item, shot, info)
        if table is not None:
            numbers = _agreed(numbers, table, info, item)
        known = Known(trajectory=table.trajectory if table is not None else None)
        far: list[Path] = []
        k = table.trajectory.pixel_intrinsics(info.width, info.height) if table is not None else None
        if self.depth is not None:
            far = self._pass_files(shot, self.depth.name, numbers, info, item)
            known.depth = depth_of(far, self.depth, k, table.trajectory.c2w if table is not None else None, info)
        if self.ids is not None:
            files = self._pass_files(shot, self.ids.name, numbers, info, item)
            known.subjects = subjects_of(files, self.ids, info, far, self.depth, k)
        return known

    def _cameras(self, item: SourceItem, shot: Mapping[str, Numbered], info: VideoInfo) -> CameraTable | None:
        from worldloom.catalogs.formats.exr import exr_info
        from worldloom.catalogs.formats.unreal_cameras import cameras_of_texts, read_unreal_cameras

        if item.sidecars:
            return read_unreal_cameras(item.sidecars[0], info.width, info.height, self.columns, self.lens)
        if self.camera == "none":
            return None
        for one in shot.values():
            pictures = [(number, one.files[number]) for number in one.numbers]
            if pictures and pictures[0][1].suffix.lower() == ".exr":
                texts = [(path, number, exr_info(path).text) for number, path in pictures]
                return cameras_of_texts(texts, info.width, info.height, self.lens)
        raise BadInput("no_poses", "no EXR picture whose header could hold the camera", where=item.uri)

    def _pass_files(
        self, shot: Mapping[str, Numbered], name: str, numbers: list[int] | None, info: VideoInfo, item: SourceItem
    ) -> list[Path]:
        """A file per frame of the footage: the pass's own, or the picture, where that is a multilayer EXR."""
        one = shot.get(name) or shot.get("")
        if one is None or (name not in shot and next(iter(one.files.values())).suffix.lower() != ".exr"):
            what = f"it has no pass '{name}': neither a folder of that name nor pictures with it in theirs"
            raise BadInput("no_pass", what, where=item.uri, remedy="Render the pass, or take it out of the source.")
        if "" not in shot:  # a video: its frames are the pass's pictures in order
            numbers = one.numbers
            if len(numbers) != info.frames:
                what = f"pass '{name}' has {len(numbers)} pictures, and the video {info.frames} frames"
                raise BadInput("missing_frames", what, where=item.uri)
        assert numbers is not None
        missing = [number for number in numbers if number not in one.files]
        if missing:
            what = f"pass '{name}' lacks {len(missing)} of {len(numbers)} frames, the first is {missing[0]}"
            raise BadInput("missing_frames", what, where=item.uri, remedy="Render the pass again.")
        return [one.files[number] for number in numbers]


def _any_exr(passes: Mapping[str, Numbered]) -> list[Path]:
    return [next(iter(one.files.values())) for one in passes.values() if one.files]


class _Folders:
    """What lies beside each other, by folder: looked up once per video, of which there may be many.

    Attributes:
        videos: how many a folder has.
    """

    def __init__(self, shots: Shots, videos: Sequence[Path]) -> None:
        self._shots = shots
        self.videos = Counter(video.parent for video in videos)
        self._sequences: dict[Path, list[Mapping[str, Numbered]]] = {}
        for (folder, _), passes in shots.items():
            self._sequences.setdefault(folder, []).append(passes)

    def passes_of(self, video: Path) -> Mapping[str, Numbered]:
        """Those of the sequence of its name, or all of its folder where there is one of each."""
        if (named := self._shots.get((video.parent, video.stem))) is not None:
            return named
        found = self._sequences.get(video.parent, [])
        return found[0] if self.videos[video.parent] == 1 and len(found) == 1 and "" not in found[0] else {}


def _agreed(numbers: list[int] | None, table: CameraTable, info: VideoInfo, item: SourceItem) -> list[int]:
    """Frame numbers in order, after a look at whether cameras and frames are the same ones."""
    where = Path(item.sidecars[0]) if item.sidecars else item.uri
    rows = table.numbers.tolist()
    if numbers is None:
        if gap := first_missing(rows):
            raise BadInput("bad_poses", f"no row for frame {gap[0]} ({gap[1]} are missing)", where=where)
        if len(rows) != info.frames:
            raise BadInput("bad_poses", f"{len(rows)} rows, and the video has {info.frames} frames", where=where)
        return rows
    lacking, unseen = sorted(set(numbers) - set(rows)), sorted(set(rows) - set(numbers))
    if lacking:
        what = f"no row for frame {lacking[0]}, of which there is a picture ({len(lacking)} are missing)"
        raise BadInput("bad_poses", what, where=where, remedy="Export the cameras of all frames.")
    if unseen:
        what = f"a row for frame {unseen[0]}, of which there is no picture ({len(unseen)} such)"
        raise BadInput("bad_poses", what, where=where, remedy="Render the frame, or take its row out.")
    return numbers


def _stamp(path: Path, folder: Path) -> list[Any]:
    try:
        stat = path.stat()
    except OSError:
        return [path.name, -1, -1]
    return [path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns]
