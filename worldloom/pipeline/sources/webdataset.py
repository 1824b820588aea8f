"""WebDataset shards: our own datasets with all that is known about their clips, and tars of others.

A tar is listed by its headers, with the hardened reader of `catalogs/shards.py`; nothing is extracted but the members
of one sample, into the worker's scratch folder, under names of ours.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from worldloom.catalogs.config import Strict, digest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.shards import KEY, scan_tar
from worldloom.pipeline.sources.footage import Footage, Known, Workplace, file_sha256
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.clip import Clip, Provenance
    from worldloom.catalogs.formats.trajectory import Trajectory
    from worldloom.catalogs.video import VideoInfo

VIDEOS = ("mp4", "webm", "mkv", "mov", "avi")
OURS = ("camera.npz", "actions.npz", "subjects.npz", "depth.npz", "hands.npz")

MAX_JSON_BYTES = 16 << 20
MAX_TEXT_BYTES = 1 << 20
MAX_NPZ_BYTES = 1 << 30
"""Of the members that are read into memory (ours)."""

_CLIP_KEY = re.compile(r"[a-z2-7]{26}\Z")
_COPY_BYTES = 1 << 20
_LONGEST_EXTENSION = 64
_LONGEST_KEY = 200


class CameraFields(Strict):
    """Where a sample of others keeps its cameras: arrays of an npz, a row per frame.

    Attributes:
        member: extension of the npz in the tar, `camera.npz` of `<key>.camera.npz`.
        poses: name of the array of poses, (T, 4, 4) or (T, 3, 4).
        intrinsics: name of the array of fx fy cx cy, (4,) or (T, 4), or of camera matrices, (3, 3) or (T, 3, 3).
        direction: what the poses are: camera to world, or world to camera.
        axes: of the camera: OpenCV's, or OpenGL's (y up, z backward).
        scale: unit of the translation.
        normalised: fx and cx are shares of the width, fy and cy of the height; else pixels of the video.
    """

    member: str = "camera.npz"
    poses: str = "c2w"
    intrinsics: str = "intrinsics"
    direction: Literal["c2w", "w2c"] = "c2w"
    axes: Literal["opencv", "opengl"] = "opencv"
    scale: Literal["metric", "relative"] = "relative"
    normalised: bool = False


class WebDatasetSource(Source):
    """Samples of tar files: those of a dataset of ours, as its latest manifest names them, or all tars in a folder.

    Samples of ours bring everything their record tells, licence and origin included. Of others, `<key>.mp4` is the
    video, `<key>.json` the columns and `<key>.txt` the caption.

    Attributes:
        path: a dataset, or a folder of tars, at any depth.
        match: which tars, by their path below `path`; `*` stands for anything, folders included.
        give: what is taken over; annotators answer the rest.
        caption_key: of the JSON, where others keep their caption.
        licence_key: of the JSON, where others keep their licence; the source's `licence` where it is empty.
        attributes: columns of the catalog by the key of the JSON they come from, `a.b` within a mapping; where not
            given, all texts, numbers and booleans of the JSON's top level.
        camera: where others keep their cameras, if they have any.
    """

    execution_keys: ClassVar[tuple[str, ...]] = ("match",)

    kind: Literal["webdataset"]
    path: Path
    match: str = "*.tar"
    give: tuple[
        Literal["pose", "actions", "subjects", "events", "depth", "revisits", "hands", "captions"], ...
    ] = ("pose", "actions", "subjects", "events", "depth", "revisits", "hands", "captions")  # fmt: skip
    caption_key: str = "caption"
    licence_key: str = ""
    attributes: dict[str, str] | None = None
    camera: CameraFields | None = None

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """What `give` says, for the samples that have it."""
        return self.give

    def items(self) -> Iterator[SourceItem]:
        """One item per sample, in the order of the tars; a tar that cannot be trusted is one item with its reason."""
        source = self.model_dump(mode="json")
        for tar in self._tars():
            name = tar.relative_to(self.path).as_posix()
            problem: tuple[str, str] | None
            try:
                samples = _samples(tar)
            except (BadInput, OSError) as error:
                told = BadInput("missing_file", f"cannot be read ({error})") if isinstance(error, OSError) else error
                problem = (told.reason, f"{told.message}; nothing of this tar is read")
                yield plainly_named(SourceItem(source, name, str(tar.absolute()), self.licence, problem=problem))
                continue
            for key, members, problem in samples:
                if problem is None and not any(one in members for one in VIDEOS):
                    problem = ("no_video", f"none of {', '.join(VIDEOS)} among its members {', '.join(members)[:200]}")
                yield plainly_named(
                    SourceItem(
                        source,
                        f"{name}/{key}",
                        str(tar.absolute()),
                        self.licence,
                        problem=problem,
                        detail={} if problem else {"key": key, "members": json.dumps(members)},
                    )
                )

    def _tars(self) -> Iterator[Path]:
        """Of a dataset, those of its latest manifest: others may hold what was taken down."""
        if (self.path / "manifests").is_dir():
            from worldloom.catalogs.manifest import latest

            inside = self.path.resolve()
            for shard in latest(self.path).shards:
                tar = self.path / shard.path
                if fnmatch.fnmatchcase(shard.path, self.match) and tar.resolve().is_relative_to(inside):
                    yield tar
            return
        for path in walk_files(self.path):
            if fnmatch.fnmatchcase(path.relative_to(self.path).as_posix(), self.match):
                yield path

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The video, copied out of its tar; a clip of ours keeps its key.

        Raises:
            BadInput: `torn_shard`, the tar has changed since it was listed; `bad_sample`.
        """
        members = _members(item)
        extension = next(one for one in VIDEOS if one in members)
        video = workplace.scratch / f"video.{extension}"
        _copy(Path(item.path), members[extension], video, item.uri)
        values = _json_of(item)
        key = str(values.get("key", "")) if _is_ours(values) else ""
        return Footage(video=video, key=key if _CLIP_KEY.match(key) else "")

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Everything of a record of ours; of a sample of others its caption, columns and cameras.

        Raises:
            BadInput: `bad_sample`, `bad_npz` or `bad_poses`, naming the member.
        """
        values = _json_of(item)
        record = _record(item, values)
        if record is not None:
            where = record.provenance
            if not where.licence:
                where = replace(where, licence=self.licence)
            return Known(
                record=record, provenance=where, captions=tuple(record.captions), attributes=dict(record.attributes)
            )
        return Known(
            trajectory=self._cameras(item, info),
            captions=self._captions(item, values),
            attributes=self._columns(values),
            provenance=self._licensed(item, values, info),
        )

    def _captions(self, item: SourceItem, values: Mapping[str, Any]) -> tuple[Any, ...]:
        from worldloom.catalogs.clip import Caption

        text = _at(values, self.caption_key)
        if not isinstance(text, str) and "txt" in _members(item):
            text = _read(item, "txt", MAX_TEXT_BYTES).decode("utf-8", "replace")
        text = text.strip() if isinstance(text, str) else ""
        return (Caption(text, "source:webdataset"),) if text else ()

    def _columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if self.attributes is None:
            plain = {name: value for name, value in values.items() if isinstance(value, str | int | float | bool)}
            return {name: value for name, value in plain.items() if name not in (self.caption_key, self.licence_key)}
        return {name: value for name, key in self.attributes.items() if (value := _at(values, key)) is not None}

    def _licensed(self, item: SourceItem, values: Mapping[str, Any], info: VideoInfo) -> Provenance | None:
        """Where the sample states its own licence, what ingest would write with that one in it."""
        from worldloom.catalogs.clip import Provenance

        stated = _at(values, self.licence_key) if self.licence_key else None
        if not isinstance(stated, str) or not stated.strip() or info.path is None:
            return None
        return Provenance(
            kind=item.kind,
            uri=item.uri,
            sha256=file_sha256(info.path),
            licence=stated.strip()[:200],
            retrieved_at=item.retrieved_at(),
            stream=info.stream,
        )

    def _cameras(self, item: SourceItem, info: VideoInfo) -> Trajectory | None:
        from worldloom.catalogs.formats.arrays import trajectory_of_arrays
        from worldloom.catalogs.sample import read_npz

        fields = self.camera
        if fields is None or fields.member not in _members(item):
            return None
        where = f"{item.uri}.{fields.member}"
        arrays = read_npz(_read(item, fields.member, MAX_NPZ_BYTES), where=where)
        return trajectory_of_arrays(
            arrays,
            where,
            size=(info.width, info.height),
            poses=fields.poses,
            intrinsics=fields.intrinsics,
            world_to_camera=fields.direction == "w2c",
            opengl=fields.axes == "opengl",
            scale=fields.scale,
            normalised=fields.normalised,
        )


Members = dict[str, list[int]]
"""Offset and length of a sample's members in its tar, by extension."""


def _members(item: SourceItem) -> Members:
    """Items carry them as one text: what a driver with a million samples would remember longest."""
    found: Members = json.loads(item.detail["members"])
    return found


def _samples(tar: Path) -> list[tuple[str, Members, tuple[str, str] | None]]:
    """Key and members of each sample, in order; the reason where it cannot be one.

    Raises:
        BadInput: `bad_shard` or `torn_shard`, the tar itself is not to be trusted.
    """
    if tar.exists() and not tar.is_file():  # opening a pipe waits for ever
        raise BadInput("bad_shard", "a pipe, a device or a folder, no file", where=tar.name)
    found: dict[str, tuple[Members, list[str]]] = {}
    previous = ""
    with tar.open("rb") as file:
        for one in scan_tar(file, tar.name, folders=True):
            name = one.name.removeprefix("./")
            if name.startswith("/") or ".." in name.split("/"):
                raise BadInput("bad_shard", f"member {one.name!r} leads out of the tar", where=tar.name)
            folder, _, base = name.rpartition("/")
            stem, _, extension = base.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            again = key in found and key != previous
            members, wrong = found.setdefault(key, ({}, []))
            if again:
                wrong.append(f"its members are not contiguous, at {name[:200]}")
            elif extension in members:
                wrong.append(f"member {name[:200]} comes twice")
            previous = key
            if len(extension) <= _LONGEST_EXTENSION:
                members[extension] = [one.offset, one.length]
    return [(_shown(key), members, _problem(key, wrong)) for key, (members, wrong) in found.items()]


def _shown(key: str) -> str:
    """A key that fits into a line; of two that are longer and begin alike, still two."""
    return key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}... [{digest(key)}]"


def _problem(key: str, wrong: list[str]) -> tuple[str, str] | None:
    if not KEY.match(key):
        return "bad_name", "its key is not plain (A-Z a-z 0-9 _ -, 128 at most); write the tar with plain names"
    return ("bad_sample", wrong[0]) if wrong else None


def _json_of(item: SourceItem) -> dict[str, Any]:
    """The JSON member; empty where there is none.

    Raises:
        BadInput: `bad_sample`.
    """
    if "json" not in _members(item):
        return {}
    try:
        values = json.loads(_read(item, "json", MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise BadInput("bad_sample", f"its json is none ({str(error)[:200]})", where=f"{item.uri}.json") from None
    if not isinstance(values, dict):
        raise BadInput("bad_sample", f"its json is a {type(values).__name__}, no mapping", where=f"{item.uri}.json")
    return values


def _is_ours(values: Mapping[str, Any]) -> bool:
    return {"schema_version", "key", "provenance", "annotations"} <= set(values)


def _record(item: SourceItem, values: Mapping[str, Any]) -> Clip | None:
    """The clip of a sample of ours; None for one of others.

    Raises:
        BadInput: `bad_sample` or `bad_npz`, it says it is ours, and it is not whole.
    """
    if not _is_ours(values):
        return None
    from worldloom.catalogs.sample import members_to_clip

    names = [name for name in OURS if name in _members(item)]
    members = {name: _read(item, name, MAX_NPZ_BYTES) for name in names}
    return members_to_clip(item.detail["key"], {"json": json.dumps(values).encode(), **members})


def _read(item: SourceItem, extension: str, most: int) -> bytes:
    offset, length = _members(item)[extension]
    if length > most:
        raise BadInput("bad_sample", f"member {extension} has {length} bytes, {most} at most", where=item.uri)
    with Path(item.path).open("rb") as file:
        file.seek(offset)
        content = file.read(length)
    if len(content) != length:
        raise BadInput("torn_shard", f"ends inside member {extension}", where=item.uri)
    return content


def _copy(tar: Path, place: list[int], target: Path, where: str) -> None:
    offset, left = place
    with tar.open("rb") as file, target.open("wb") as out:
        file.seek(offset)
        while left:
            part = file.read(min(left, _COPY_BYTES))
            if not part:
                raise BadInput("torn_shard", "ends inside its video", where=where)
            out.write(part)
            left -= len(part)


def _at(values: Mapping[str, Any], key: str) -> Any:
    """The value under `a.b.c`; a key that is there as it stands comes first."""
    if key in values:
        return values[key]
    value: Any = values
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
