"""Photos with a COLMAP model, or with nerfstudio's `transforms.json`: `<scene>/images/` and `<scene>/sparse/0/`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.sources.footage import Footage, Known, Workplace
from worldloom.pipeline.sources.proportions import require_proportions
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, refuse_unlisted, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory
    from worldloom.catalogs.video import VideoInfo

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MODELS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "transforms.json")
"""Where the model of a scene is looked for, in this order."""

_MODEL_FILES = tuple(f"{name}.{ending}" for ending in ("bin", "txt") for name in ("cameras", "images", "points3D"))
_TURNED = "Use the pictures that the model was made of; a photo that EXIF turns has to be turned for good first."


class ColmapSource(Source):
    """Scenes of photos whose cameras are known. Every folder below `path`, or `path` itself, with `images` is one.

    Photos have no rate: `fps` says how fast they are shown, in the order of their names (2 before 10). Photos that the
    model does not have stay in, without a pose. Distorted photos are undistorted.

    Attributes:
        path: folder of scenes, or a scene.
        images: of a scene, relative to it.
        model: of a scene, relative to it: a folder of COLMAP's (text or binary), or a `transforms.json`; where not
            given, the first that is there of `sparse/0`, `sparse`, `colmap/sparse/0`, `colmap/sparse` and
            `transforms.json`.
        fps: photos per second.
    """

    kind: Literal["colmap"]
    path: Path
    images: str = "images"
    model: str | None = None
    fps: float = Field(gt=0, le=240)

    @field_validator("images", "model")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("/") or ".." in PurePosixPath(value).parts or value in ("", ".")):
            raise ValueError("a place within the scene's folder, relative to it")
        return value

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses."""
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """One item per scene, in the order of their names; a folder without any is an item with a problem."""
        source = self.model_dump(mode="json")
        found = False
        for scene in self._scenes():
            found = True
            uri = (scene / self.images).relative_to(self.path).as_posix()
            path = str((scene / self.images).absolute())
            name = scene.relative_to(self.path).as_posix() if scene != self.path else scene.absolute().name
            pictures = self._pictures(scene)
            model = self._model(scene)
            if not pictures:
                problem = ("no_images", f"there is no picture in it ({', '.join(PICTURES)})")
                yield plainly_named(SourceItem(source, uri, path, self.licence, problem=problem))
            elif model is None:
                places = self.model or ", ".join(MODELS)
                problem = ("no_poses", f"there is no model of it: none of {places} beside it")
                yield plainly_named(SourceItem(source, uri, path, self.licence, problem=problem))
            else:
                yield plainly_named(
                    SourceItem(
                        source,
                        uri,
                        path,
                        self.licence,
                        sidecars=tuple(str(one.absolute()) for one in _files_of(model)),
                        detail={"model": model.relative_to(scene).as_posix()},
                        attributes={"scene": name},
                        stamp=_stamp(pictures, scene),
                    )
                )
        if not found:
            problem = ("no_images", f"no folder in it has pictures in '{self.images}'")
            yield plainly_named(SourceItem(source, ".", str(self.path.absolute()), self.licence, problem=problem))

    def _scenes(self) -> Iterator[Path]:
        """Folders with `images`, in order; links are not followed, hidden folders are left out."""
        inside = self.path.resolve()
        for folder, names, _ in os.walk(self.path, onerror=refuse_unlisted):
            names[:] = sorted(name for name in names if not name.startswith("."))
            images = Path(folder, self.images)
            if images.is_dir() and images.resolve().is_relative_to(inside):
                names[:] = [name for name in names if name != PurePosixPath(self.images).parts[0]]
                yield Path(folder)

    def _pictures(self, scene: Path) -> list[Path]:
        """Of a scene, in the order of their names, numbers by value."""
        found = [path for path in walk_files(scene / self.images) if path.suffix.lower() in PICTURES]
        return sorted(found, key=lambda path: (_natural(path.relative_to(scene).as_posix()), path.name))

    def _model(self, scene: Path) -> Path | None:
        inside = self.path.resolve()
        for place in MODELS if self.model is None else (self.model,):
            model = scene / place
            if _files_of(model) and all(one.resolve().is_relative_to(inside) for one in _files_of(model)):
                return model
        return None

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The photos, undistorted where their lens is.

        Raises:
            BadInput: as `known`.
        """
        from worldloom.pipeline.sources.undistort import undistort

        pictures, cameras = self._cameras(item)
        _refuse_turned(pictures)
        fps = Fraction(self.fps).limit_denominator(1001)
        footage = Footage(pictures=tuple(pictures), fps=fps, cuttable=False)
        if cameras.distortion is not None:
            assert cameras.intrinsics is not None
            sha256 = footage.digest()
            made = undistort(pictures, cameras, workplace.scratch / "undistorted")
            lens = digest([cameras.intrinsics.tolist(), cameras.distortion.tolist()])
            footage = Footage(pictures=made, fps=fps, made=f"undistorted {lens}", cuttable=False, sha256=sha256)
        return footage

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Cameras of the photos; a photo that the model does not have has none.

        Raises:
            BadInput: `no_poses`, `bad_poses`, or what the model's reader says.
        """
        from worldloom.pipeline.sources.undistort import pinhole_intrinsics

        pictures, cameras = self._cameras(item)
        require_proportions(cameras.size, info, item.uri, _TURNED)
        posed = int(cameras.camera(info.width, info.height).valid.sum())
        notes: dict[str, object] = {"posed_frames": posed, "not_in_model": len(pictures) - posed}
        if missing := cameras.notes.get("missing"):
            notes["pictures_missing"] = len(missing)
        if cameras.distortion is not None:
            notes["undistorted"] = cameras.notes["distortion"]
            cameras.intrinsics, cameras.distortion = pinhole_intrinsics(cameras), None
        return Known(trajectory=cameras, notes=notes, attributes={"undistorted": "undistorted" in notes})

    def _cameras(self, item: SourceItem) -> tuple[list[Path], Trajectory]:
        """The photos and a row of the model for each."""
        scene = Path(item.path).parents[len(PurePosixPath(self.images).parts) - 1]
        pictures = self._pictures(scene)
        model = scene / item.detail["model"]
        read = _read(model, scene / self.images)
        place = {path.relative_to(scene / self.images).as_posix(): i for i, path in enumerate(pictures)}
        assert read.names is not None
        rows = sorted((place[name], row) for row, name in enumerate(read.names) if name in place)
        if not rows:
            first = read.names[0][:80]
            message = f"none of its {len(read.names)} images is there; the first is '{first}'"
            raise BadInput("no_poses", message, where=model, remedy=f"Their names are relative to {self.images}/.")
        known = read.take([row for _, row in rows])
        missing = [*read.notes.get("missing", []), *(name for name in read.names if name not in place)]
        whole = known.spread([number for number, _ in rows], len(pictures))
        whole.notes |= {"missing": missing} if missing else {}
        return pictures, whole


def _read(model: Path, images: Path) -> Trajectory:
    """A model, its names relative to the folder of pictures."""
    from worldloom.catalogs.formats.colmap import read_colmap
    from worldloom.catalogs.formats.nerfstudio import read_nerfstudio

    if model.is_dir():
        return read_colmap(model)
    read = read_nerfstudio(model)
    assert read.names is not None
    read.names = [_with_suffix(images, os.path.relpath(model.parent / name, images)) for name in read.names]
    return read


def _refuse_turned(pictures: Sequence[Path]) -> None:
    """Refuse photos that EXIF turns upside down or mirrors: their size does not tell which way the model saw them.

    Raises:
        BadInput: `bad_poses`.
    """
    import cv2

    for path in pictures:
        try:
            shown, stored = (
                cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_8 | turned)
                for turned in (0, cv2.IMREAD_IGNORE_ORIENTATION)
            )
        except cv2.error:
            continue  # whoever reads it says what is wrong with it
        if shown is not None and stored is not None and shown.shape == stored.shape and (shown != stored).any():
            what = "EXIF turns it, and nothing tells whether the model was made of it before or after"
            raise BadInput("bad_poses", what, where=path, remedy=_TURNED)


def _with_suffix(folder: Path, name: str) -> str:
    """Original NeRF files leave the suffix of a picture out."""
    if name.lower().endswith(PICTURES):
        return name
    return next((name + suffix for suffix in PICTURES if (folder / (name + suffix)).is_file()), name)


def _files_of(model: Path) -> Sequence[Path]:
    """Files that a model consists of; none where it is no model."""
    if model.suffix == ".json":
        return [model] if model.is_file() else []
    files = [model / name for name in _MODEL_FILES if (model / name).is_file()]
    return files if any(one.stem == "images" for one in files) else []


def _stamp(pictures: Sequence[Path], scene: Path) -> str:
    told = []
    for path in pictures:
        stat = path.stat()
        told.append([path.relative_to(scene).as_posix(), stat.st_size, stat.st_mtime_ns])
    return digest(told)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in re.split(r"(\d+)", name)]
