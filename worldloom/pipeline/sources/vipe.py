"""ViPE's artifacts: videos with cameras, depth and instance masks that ViPE has found in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.vipe import DEPTH_FRAMES, DEPTH_HEIGHT, STATED_ERROR
from worldloom.pipeline.sources.footage import Known
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.video import VideoInfo

_ARTIFACTS = {"pose": ".npz", "intrinsics": ".npz", "depth": ".zip", "mask": ".zip"}
_NEVER_OPENED = ("flow", "vipe")
"""Folders of ViPE's that hold what is not read: optical flow, and pickles."""


class VipeSource(Source):
    """Videos in `rgb/` with what ViPE wrote about them in `pose/`, `intrinsics/`, `depth/` and `mask/`.

    Attributes:
        path: ViPE's output folder.
        give: what is taken over; annotators answer the rest.
        scale: of poses and depth; ViPE fits both to metric depth (`relative` where its preset does not).
        depth_frames: frames with depth per video, at most.
        depth_height: rows of a depth map, at most.
        depth_error: relative error of z that stands beside it (default ours: ViPE states none).
    """

    kind: Literal["vipe"]
    path: Path
    give: tuple[Literal["pose", "depth", "subjects"], ...] = ("pose", "depth", "subjects")
    scale: Literal["metric", "relative"] = "metric"
    depth_frames: int = Field(default=DEPTH_FRAMES, ge=1, le=64)
    depth_height: int = Field(default=DEPTH_HEIGHT, ge=16, le=1080)
    depth_error: float = Field(default=STATED_ERROR, gt=0, lt=1)

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """What `give` says, for the videos that have it."""
        return self.give

    def items(self) -> Iterator[SourceItem]:
        """One item per video, by name; artifacts without a video and files that are none are items with a problem."""
        videos: dict[str, Path] = {}
        beside: dict[str, list[Path]] = {}
        others: list[Path] = []
        for path in walk_files(self.path):
            parts = path.relative_to(self.path).parts
            if parts[0] in _NEVER_OPENED:
                continue
            if len(parts) == 2 and parts[0] == "rgb" and path.suffix.lower() == ".mp4":
                videos[path.stem] = path
            elif len(parts) == 2 and (name := _video_of(parts[0], path)):
                beside.setdefault(name, []).append(path)
            else:
                others.append(path)
        for name in sorted(videos.keys() | beside.keys()):
            files = beside.get(name, [])
            found = {path.parent.name for path in files if path.suffix == _ARTIFACTS[path.parent.name]}
            if name not in videos:
                yield self._item(files[0], problem=("no_video", f"there is no rgb/{name}.mp4"))
            elif "pose" in self.give and not {"pose", "intrinsics"} <= found:
                missing = "pose" if "pose" not in found else "intrinsics"
                yield self._item(videos[name], problem=("no_poses", f"there is no {missing}/{name}.npz"))
            else:
                yield self._item(videos[name], sidecars=tuple(str(path.absolute()) for path in sorted(files)))
        for path in others:
            what = "neither a video in rgb/ nor an artifact of ViPE in pose/, intrinsics/, depth/ or mask/"
            yield self._item(path, problem=("not_recognised", what))

    def _item(self, path: Path, **values: Any) -> SourceItem:
        uri = path.relative_to(self.path).as_posix()
        return plainly_named(
            SourceItem(self.model_dump(mode="json"), uri, str(path.absolute()), self.licence, **values)
        )

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Cameras, depth and subjects of a video, as far as `give` asks for them and ViPE has found them.

        Raises:
            BadInput: an artifact cannot be read; it is named, and so is how to do without it.
        """
        from worldloom.catalogs.formats.vipe import read_vipe_camera, read_vipe_depth, read_vipe_masks

        name, size = Path(item.path).stem, (info.width, info.height)
        among = frozenset(map(Path, item.sidecars))  # what was listed: nothing that leads out of the source
        known = Known()
        for one in self.give:
            try:
                if one == "pose":
                    known.trajectory = read_vipe_camera(self.path, name, info.frames, size, self.scale, among=among)
                    known.notes = {"posed_frames": int(known.trajectory.camera(*size).valid.sum())}
                elif one == "depth":
                    depth = (self.depth_frames, self.depth_height, self.depth_error)
                    known.depth = read_vipe_depth(self.path, name, info.frames, self.scale, *depth, among=among)
                else:
                    known.subjects = read_vipe_masks(self.path, name, info.frames, size, among=among)
            except BadInput as error:
                rest = ", ".join(other for other in self.give if other != one)
                remedy = f"{error.remedy} Or do without: give: [{rest}].".strip()
                raise BadInput(error.reason, error.message, where=error.where, remedy=remedy) from None
        return known


def _video_of(folder: str, path: Path) -> str:
    """Name of the video that an artifact is about; empty for what is none."""
    if folder not in _ARTIFACTS:
        return ""
    if path.suffix == _ARTIFACTS[folder] or (folder == "mask" and path.suffix == ".txt"):
        return path.stem
    if folder == "intrinsics" and path.name.endswith("_camera.txt"):
        return path.name.removesuffix("_camera.txt")
    return ""
