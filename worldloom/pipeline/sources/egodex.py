"""EgoDex: `<task>/<n>.mp4` and `<n>.hdf5` side by side, hands and camera of every frame.

The same episodes also circulate as tables, `<n>_camera_trajectory.csv` and `<n>_hand_poses.csv`; they are read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.sources.footage import Known
from worldloom.pipeline.sources.proportions import require_proportions
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.video import VideoInfo

_EPISODE = re.compile(r"(\d+)(\.mp4|\.hdf5|_camera_trajectory\.csv|_hand_poses\.csv)\Z")
_PART = re.compile(r"(part\d+|test|extra)\Z")
_CAMERA, _HANDS = "_camera_trajectory.csv", "_hand_poses.csv"
_NOT_TOLD = ("llm_description", "llm_description2", "which_llm_description", "description", "description2")
"""Attributes that the caption is chosen from; the ones that are not chosen are about another episode."""


class EgoDexSource(Source):
    """Episodes of EgoDex: the whole release, one of its parts, or a folder of tasks.

    Attributes:
        path: folder with `<task>/<n>.mp4` and `<n>.hdf5`, at any depth.
        licence: of the release unless stated otherwise. Its authors say CC BY-NC-ND without a number; 4.0 is ours.
    """

    kind: Literal["egodex"]
    path: Path
    licence: str = "CC-BY-NC-ND-4.0"

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses, hands, and captions of the episodes that have a description."""
        return ("pose", "hands", "captions")

    def items(self) -> Iterator[SourceItem]:
        """One item per episode, by folder and number; half an episode and other files are items with a problem."""
        for folder, files in groupby(walk_files(self.path), key=lambda path: path.parent):
            episodes: dict[str, dict[str, Path]] = {}
            others: list[Path] = []
            for path in files:
                if (found := _EPISODE.match(path.name)) is not None:
                    episodes.setdefault(found[1], {})[found[2]] = path
                else:
                    others.append(path)
            attributes = self._attributes(folder)
            for number in sorted(episodes, key=lambda number: (int(number), number)):
                yield self._item(number, episodes[number], attributes)
            for path in others:
                yield self._problem(path, "not_recognised", "neither <n>.mp4 nor <n>.hdf5, nor a table of an episode")

    def _item(self, number: str, files: dict[str, Path], attributes: dict[str, str]) -> SourceItem:
        video = files.get(".mp4")
        poses = [files[name] for name in (".hdf5",) if name in files] or [
            files[name] for name in (_CAMERA, _HANDS) if name in files
        ]
        if video is None:
            return self._problem(poses[0], "no_video", f"there is no {number}.mp4 beside it")
        if not poses or poses[0].name.endswith(_HANDS):
            return self._problem(video, "no_poses", f"there is no {number}.hdf5 beside it")
        uri = video.relative_to(self.path).as_posix()
        sidecars = tuple(str(path.absolute()) for path in poses)
        source = self.model_dump(mode="json")
        return plainly_named(
            SourceItem(source, uri, str(video.absolute()), self.licence, sidecars, attributes=dict(attributes))
        )

    def _problem(self, path: Path, reason: str, message: str) -> SourceItem:
        uri = path.relative_to(self.path).as_posix()
        source = self.model_dump(mode="json")
        return plainly_named(SourceItem(source, uri, str(path.absolute()), self.licence, problem=(reason, message)))

    def _attributes(self, folder: Path) -> dict[str, str]:
        """The task is the folder's name, and the part of the release is the one above, where there is one."""
        parts = [self.path.absolute().name, *folder.relative_to(self.path).parts]
        found = {} if _PART.match(parts[-1]) else {"task": parts[-1]}
        part = next((one for one in reversed(parts) if _PART.match(one)), None)
        return found | ({"part": part} if part else {})

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Camera, hands, description and attributes of an episode.

        Raises:
            BadInput: `frame_mismatch`, the file has another number of frames than the video; else as the reader says.
        """
        known = _read_tables(item.sidecars) if item.sidecars[0].endswith(_CAMERA) else _read_hdf5(item.sidecars[0])
        camera, name = known.trajectory, Path(item.sidecars[0]).name
        assert camera is not None
        require_proportions(camera.size, info, name)
        if len(camera) != info.frames:
            message = f"{name} has {len(camera)} frames, {Path(item.path).name} has {info.frames}"
            remedy = "They belong together frame by frame, and which ones are missing is not known: fetch both again."
            raise BadInput("frame_mismatch", message, where=item.uri, remedy=remedy)
        return known


def _read_hdf5(path: str) -> Known:
    from worldloom.catalogs.clip import Caption
    from worldloom.catalogs.formats.egodex_hdf5 import read_egodex_hdf5

    episode = read_egodex_hdf5(path)
    text, writer = episode.caption()
    stated = len(episode.hands.names) - len(episode.unsure)
    told: dict[str, str | float | bool] = {
        "intrinsics": episode.camera.notes.get("intrinsics", "file"),
        "hand_confidence": "stated" if not episode.unsure else f"stated for {stated} joints" if stated else "missing",
    }
    if episode.left_out:
        told["unreadable_attributes"] = ", ".join(episode.left_out)
    return Known(
        trajectory=episode.camera,
        hands=episode.hands,
        captions=(Caption(text, f"source:egodex:{writer}"),) if text else (),
        attributes={**{k: v for k, v in episode.attributes.items() if k not in _NOT_TOLD}, **told},
        notes=dict(episode.camera.notes),
    )


def _read_tables(paths: Sequence[str]) -> Known:
    from worldloom.catalogs.formats.egodex import read_egodex_csv, read_egodex_hands_csv

    camera = read_egodex_csv(paths[0])
    return Known(
        trajectory=camera,
        hands=read_egodex_hands_csv(paths[1], camera) if len(paths) > 1 else None,
        attributes={"intrinsics": "default", "hand_confidence": "missing"},
        notes=dict(camera.notes),
    )
