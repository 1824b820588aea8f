"""ReCamMaster's MultiCamVideo: several synchronised cameras per scene, one JSON with the poses of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.sources.footage import Known
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.video import VideoInfo

CAMERAS = "camera_extrinsics.json"
_LENS = re.compile(r"f(\d{1,4}(?:\.\d{1,4})?)_aperture(\d{1,3}(?:\.\d{1,4})?)")


class ReCamMasterSource(Source):
    """Scenes as `<scene>/videos/cam01.mp4` and `<scene>/cameras/camera_extrinsics.json`, below folders that name the
    lens (`f24_aperture5`).

    Attributes:
        path: folder of the scenes, at any depth.
        focal_length_mm: where no folder names it.
        sensor_width_mm: of the filmback, which the dataset states as 23.76 x 23.76.
    """

    kind: Literal["recammaster"]
    path: Path
    focal_length_mm: float | None = Field(default=None, gt=0)
    sensor_width_mm: float = Field(default=23.76, gt=0)

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses."""
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """One item per video, by name; cameras without a video are items with a problem."""
        source = self.model_dump(mode="json")
        files = list(walk_files(self.path))
        cameras = {path.parent.parent: path for path in files if path.name == CAMERAS and path.parent.name == "cameras"}
        seen, folders = set(cameras.values()), {path.parent for path in files}
        for path in files:
            if path in seen:
                scene = path.parent.parent
                if scene / "videos" not in folders:
                    yield self._item(source, path, scene, None, ("no_video", "there is no folder videos beside it"))
            elif path.suffix.lower() == ".mp4" and path.parent.name == "videos":
                scene = path.parent.parent
                camera, what = cameras.get(scene), f"there is no cameras/{CAMERAS} beside its folder"
                yield self._item(source, path, scene, camera, None if camera is not None else ("no_poses", what))
            else:
                what = f"neither videos/<camera>.mp4 nor cameras/{CAMERAS}"
                yield self._item(source, path, None, None, ("not_recognised", what))

    def _item(
        self,
        source: dict[str, Any],
        path: Path,
        scene: Path | None,
        camera: Path | None,
        problem: tuple[str, str] | None,
    ) -> SourceItem:
        attributes: dict[str, str | float | bool] = {}
        detail: dict[str, Any] = {}
        if scene is not None:
            place = scene.relative_to(self.path).as_posix()
            attributes = {"scene": place if place != "." else scene.name, "camera": path.stem}
            lens = next((found for part in reversed(scene.absolute().parts) if (found := _LENS.fullmatch(part))), None)
            if lens is not None:
                attributes |= {"focal_length_mm": float(lens[1]), "aperture": float(lens[2])}
            detail["focal_length_mm"] = float(lens[1]) if lens is not None else self.focal_length_mm
        uri = path.relative_to(self.path).as_posix()
        sidecars = (str(camera.absolute()),) if camera is not None else ()
        return plainly_named(
            SourceItem(
                source,
                uri,
                str(path.absolute()),
                self.licence,
                sidecars,
                problem=problem,
                detail=detail,
                attributes=attributes,
            )
        )

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """The camera of the video's name; fx = W x focal length / width of the filmback.

        Raises:
            BadInput: `bad_poses`; `no_intrinsics`, nobody names a focal length.
        """
        import numpy as np

        from worldloom.catalogs.formats.unreal import read_recam

        length = self.focal_length_mm or item.detail["focal_length_mm"]
        if length is None:
            what = "no folder above it is named like f24_aperture5"
            raise BadInput("no_intrinsics", what, where=item.uri, remedy="Give focal_length_mm in the source.")
        path = read_recam(item.sidecars[0], Path(item.path).stem)
        focal = info.width * length / self.sensor_width_mm
        path.intrinsics = np.tile([focal, focal, info.width / 2, info.height / 2], (len(path), 1))
        path.size = (info.width, info.height)
        return Known(trajectory=path)
