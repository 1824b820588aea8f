"""What ViPE leaves behind about a video: cameras, depth and instance masks in files beside it.

    rgb/<name>.mp4
    pose/<name>.npz                 data (N, 4, 4) camera-to-world, OpenCV axes; inds (N,) which frames
    intrinsics/<name>.npz           data (N, 4) fx fy cx cy in pixels of the video; inds
    intrinsics/<name>_camera.txt    a line per frame, `0: PINHOLE`
    depth/<name>.zip                00000.exr, ...: channel Z, half floats
    mask/<name>.zip, <name>.txt     00000.png, ...: instance ids; `id: phrase` per line

Frames that are missing in `inds` have no pose. Nothing is unpickled: `vipe/<name>_info.pkl` and `_slam_map.pt` are
never opened. Zips are never unpacked as a whole: names, counts and sizes are checked first, then one entry at a time.
"""

from __future__ import annotations

import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Camera, Depth, Scale, Subjects
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.events import box_visibility
from worldloom.catalogs.formats.exr import read_exr, write_exr
from worldloom.catalogs.formats.trajectory import LARGEST, MAX_BYTES, Trajectory, read_text, require_poses
from worldloom.catalogs.sample import read_npz, write_npz
from worldloom.catalogs.sample_checks import Header

STATED_ERROR = 0.1
"""Relative error of the depth (default ours: ViPE states none)."""

DEPTH_FRAMES = 10
DEPTH_HEIGHT = 240
"""Of the depth that a clip keeps: frames and rows at most (ours)."""

MAX_ENTRIES = 200_000
MAX_ENTRY_BYTES = 512 << 20
MAX_INSTANCES = 1000
"""Of a zip, of one entry unpacked, and of a video's masks (ours)."""

MAX_PHRASE = 200
_PNG = b"\x89PNG\r\n\x1a\n"
_CAMERA_LINE = re.compile(r"\s*(\d{1,9})\s*:\s*(\S+)\s*\Z")
_PHRASE_LINE = re.compile(r"\s*(\d{1,9})\s*:\s*(.*?)\s*\Z")
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)


def vipe_files(root: str | Path, name: str) -> dict[str, Path]:
    """Where the artifacts of a video lie, by what they are; whether they are there is another question."""
    root = Path(root)
    return {
        "rgb": root / "rgb" / f"{name}.mp4",
        "pose": root / "pose" / f"{name}.npz",
        "intrinsics": root / "intrinsics" / f"{name}.npz",
        "camera": root / "intrinsics" / f"{name}_camera.txt",
        "depth": root / "depth" / f"{name}.zip",
        "mask": root / "mask" / f"{name}.zip",
        "phrases": root / "mask" / f"{name}.txt",
    }


def read_vipe_camera(
    root: str | Path,
    name: str,
    frames: int,
    size: tuple[int, int],
    scale: Scale = "metric",
    *,
    among: Collection[Path] | None = None,
) -> Trajectory:
    """Cameras of all frames of a video.

    Args:
        root: the folder of artifacts.
        name: of the video.
        frames: how many the video has.
        size: its width and height.
        scale: of the translation; ViPE fits it to metric depth.
        among: absolute; other files count as not there.

    Returns:
        NaN poses where ViPE has none; their intrinsics are those of the nearest frame that has some.

    Raises:
        BadInput: `no_poses`, `no_intrinsics`, `not_pinhole`, `bad_poses` or `bad_npz`, naming the file.
    """
    files = vipe_files(root, name)
    _require_pinhole(files["camera"], among)
    data, inds = _indexed(files["pose"], (4, 4), frames, "no_poses")
    require_poses(data, files["pose"])
    rows, known = _indexed(files["intrinsics"], (4,), frames, "no_intrinsics")
    if (rows[:, :2] <= 0).any():
        raise BadInput("bad_poses", "a focal length is not positive", where=files["intrinsics"])
    lenses = Trajectory(np.tile(np.eye(4), (len(rows), 1, 1)), scale, rows).spread(known, frames).intrinsics
    c2w = np.full((frames, 4, 4), np.nan)
    c2w[inds] = data
    return Trajectory(c2w=c2w, scale=scale, intrinsics=lenses, size=size)


def read_vipe_depth(
    root: str | Path,
    name: str,
    frames: int,
    scale: Scale = "metric",
    most: int = DEPTH_FRAMES,
    height: int = DEPTH_HEIGHT,
    stated_error: float = STATED_ERROR,
    *,
    among: Collection[Path] | None = None,
) -> Depth | None:
    """Depth of at most `most` frames, evenly spread over those there are; None where there is no zip.

    Args:
        root: the folder of artifacts.
        name: of the video.
        frames: how many the video has.
        scale: of z.
        most: frames at most.
        height: rows at most: of larger maps, every so many-th pixel is taken, none are blended.
        stated_error: relative error of z.
        among: absolute; other files count as not there.

    Raises:
        BadInput: `bad_depth`, `bad_zip` or what `read_exr` says, naming the entry.
    """
    path = vipe_files(root, name)["depth"]
    if not _is_there(path, among):
        return None
    with _Zip(path, "exr", frames) as archive, tempfile.TemporaryDirectory(prefix="vipe-") as scratch:
        if not archive.frames:
            raise BadInput("bad_depth", "there is no depth in it", where=path)
        places = np.unique(np.linspace(0, len(archive.frames) - 1, most).round().astype(int))
        chosen = [archive.frames[i] for i in places]
        maps: list[np.ndarray] = []
        for frame in chosen:
            draft = Path(scratch, f"{frame:05d}.exr")
            draft.write_bytes(archive.read(frame))
            try:
                z = read_exr(draft, ["Z"])["Z"]
            except BadInput as error:
                raise BadInput(error.reason, f"{draft.name}: {error.message}", where=path) from None
            draft.unlink()
            maps.append(_subsampled(z, height))
            if maps[-1].shape != maps[0].shape:
                raise BadInput("bad_depth", f"{draft.name} has another size than the others", where=path)
    z = np.stack(maps).astype(np.float32)
    valid = np.isfinite(z) & (z > 0)
    return Depth(
        frames=np.array(chosen, np.int32),
        z=np.where(valid, z, np.float32(np.nan)),
        valid=valid,
        confidence=np.ones(len(chosen), np.float32),
        scale=scale,
        stated_error=stated_error,
    )


def read_vipe_masks(
    root: str | Path, name: str, frames: int, size: tuple[int, int], *, among: Collection[Path] | None = None
) -> Subjects | None:
    """Instances of the masks as subjects, boxes in pixels of the video; None where there is no zip.

    Visibility is that of boxes (`worldloom.catalogs.events.box_visibility`): a mask shows what is seen, not what is
    hidden of it. Id 0 is the background.

    Args:
        root: the folder of artifacts.
        name: of the video.
        frames: how many the video has; each needs its mask.
        size: width and height of the video.
        among: absolute; other files count as not there.

    Raises:
        BadInput: `bad_masks` or `bad_zip`, naming the entry.
    """
    files = vipe_files(root, name)
    if not _is_there(files["mask"], among):
        return None
    phrases = _phrases(files["phrases"], among)
    boxes: dict[int, np.ndarray] = {}
    with _Zip(files["mask"], "png", frames) as archive:
        if missing := sorted(set(range(frames)) - set(archive.frames)):
            message = f"{len(missing)} of {frames} frames have no mask, the first is {missing[0]}"
            raise BadInput("bad_masks", message, where=files["mask"])
        for frame in range(frames):
            ids = _mask(archive.read(frame), size, f"{frame:05d}.png", files["mask"])
            scale = np.array([size[0] / ids.shape[1], size[1] / ids.shape[0]] * 2)
            for number, corners in _boxes(ids).items():
                boxes.setdefault(number, np.full((frames, 4), np.nan))[frame] = corners * scale
            if len(boxes) > MAX_INSTANCES:
                raise BadInput("bad_masks", f"more than {MAX_INSTANCES} instances", where=files["mask"])
    numbers = sorted(boxes)
    box = np.array([boxes[number] for number in numbers], np.float32).reshape(-1, frames, 4)
    visibility = [box_visibility(one, width=size[0], height=size[1]) for one in box]
    return Subjects(
        id=np.array(numbers, np.int32),
        label=[phrases.get(number, f"instance {number}") for number in numbers],
        box=box,
        visibility=np.array(visibility, np.float32).reshape(-1, frames),
        source=["vipe"] * len(numbers),
    )


def write_vipe(
    root: str | Path,
    name: str,
    camera: Camera,
    *,
    depth: Depth | None = None,
    masks: Sequence[np.ndarray] = (),
    phrases: Mapping[int, str] | None = None,
) -> None:
    """Write the artifacts of a video; the video itself, `rgb/<name>.mp4`, is for the caller to put there.

    Args:
        root: the folder of artifacts.
        name: of the video: letters, digits, `_` and `-`.
        camera: of its frames; those without a pose are left out of `inds`.
        depth: of the frames that have it, at the size it has.
        masks: (H, W) uint8 per frame, instance ids, 0 for the background.
        phrases: text by instance id.
    """
    files = vipe_files(root, name)
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    posed = np.flatnonzero(camera.valid & np.isfinite(camera.c2w).all(axis=(1, 2)))
    inds = posed.astype(np.int64)
    files["pose"].write_bytes(write_npz({"data": camera.c2w[posed].astype(np.float32), "inds": inds}))
    k = camera.intrinsics[posed].astype(np.float32)
    files["intrinsics"].write_bytes(write_npz({"data": k, "inds": inds}))
    files["camera"].write_text("".join(f"{frame}: PINHOLE\n" for frame in posed), encoding="utf-8")
    if depth is not None:
        with zipfile.ZipFile(files["depth"], "w") as archive, tempfile.TemporaryDirectory(prefix="vipe-") as scratch:
            for frame, z, valid in zip(depth.frames, depth.z, depth.valid, strict=True):
                draft = Path(scratch, f"{int(frame):05d}.exr")
                write_exr(draft, {"Z": np.where(valid, z, 0).astype(np.float16)})
                archive.write(draft, draft.name)
                draft.unlink()
    if len(masks):
        import cv2

        with zipfile.ZipFile(files["mask"], "w") as archive:
            for frame, mask in enumerate(masks):
                archive.writestr(f"{frame:05d}.png", cv2.imencode(".png", np.asarray(mask, np.uint8))[1].tobytes())
        lines = [f"{number}: {text}\n" for number, text in sorted((phrases or {}).items())]
        files["phrases"].write_text("".join(lines), encoding="utf-8")


def _is_there(path: Path, among: Collection[Path] | None) -> bool:
    return path.is_file() and (among is None or path.absolute() in among)


def _require_pinhole(path: Path, among: Collection[Path] | None) -> None:
    """Without the file, cameras are pinholes: that is what four numbers per frame can say."""
    if not _is_there(path, among):
        return
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        found = _CAMERA_LINE.match(line)
        if found is None:
            raise BadInput("bad_poses", f"line {number} is '{line[:40]}', '<frame>: PINHOLE' expected", where=path)
        if found[2].upper() != "PINHOLE":
            message = f"line {number}: the camera is {found[2][:40]}, and only PINHOLE is read"
            raise BadInput("not_pinhole", message, where=path, remedy="Run ViPE with a pinhole camera.")


def _indexed(path: Path, shape: tuple[int, ...], frames: int, missing: str) -> tuple[np.ndarray, np.ndarray]:
    """`data` (N, *shape) as float64 and `inds` (N,), ascending; checked before anything is unpacked."""
    if not path.is_file():
        raise BadInput(missing, "no such file", where=path)
    if path.stat().st_size > MAX_BYTES:
        raise BadInput("too_large", f"larger than {MAX_BYTES >> 20} MiB", where=path)

    def check(headers: Mapping[str, Header]) -> None:
        if not {"data", "inds"} <= set(headers):
            raise BadInput("bad_poses", f"it has {sorted(headers)[:8]}, 'data' and 'inds' expected", where=path)
        data, inds = headers["data"], headers["inds"]
        if data.dtype.kind != "f" or inds.dtype.kind not in "iu" or len(inds.shape) != 1:
            raise BadInput("bad_poses", f"data is {data.dtype}, inds {inds.dtype} {inds.shape}", where=path)
        if data.shape[1:] != shape:
            wanted = " x ".join(["N", *map(str, shape)])
            told = " x ".join(map(str, data.shape))
            reason = "not_pinhole" if shape == (4,) and len(data.shape) == 2 and data.shape[1] > 4 else "bad_poses"
            raise BadInput(reason, f"data is {told}, {wanted} expected", where=path)
        if data.shape[0] != inds.shape[0] or not 0 < inds.shape[0] <= frames:
            message = f"{data.shape[0]} rows for {inds.shape[0]} of the {frames} frames of the video"
            raise BadInput("bad_poses", message, where=path)

    arrays = read_npz(path.read_bytes(), where=str(path), check=check)
    data, inds = arrays["data"].astype(np.float64), arrays["inds"].astype(np.int64)
    if inds.min() < 0 or inds.max() >= frames or (np.diff(inds) <= 0).any():
        raise BadInput("bad_poses", f"inds are no ascending frames below {frames}", where=path)
    if not (np.abs(data) <= LARGEST).all():
        raise BadInput("bad_poses", "data holds numbers that are not finite", where=path)
    return data, inds


class _Zip:
    """A zip of one numbered file per frame; its directory is checked on opening, an entry when it is read."""

    def __init__(self, path: Path, suffix: str, frames: int) -> None:
        self.path = path
        self._entries: dict[int, zipfile.ZipInfo] = {}
        name = re.compile(rf"(\d{{5,9}})\.{suffix}\Z")
        try:
            self._archive = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise self._bad(f"not a zip that can be read ({error})") from None
        entries = self._archive.infolist()
        try:
            if len(entries) > MAX_ENTRIES:
                raise self._bad(f"{len(entries)} entries")
            for entry in entries:
                found = name.match(entry.filename)
                if found is None:
                    raise self._bad(f"entry '{entry.filename[:80]}' is no <frame>.{suffix}")
                frame = int(found[1])
                if frame >= frames or frame in self._entries:
                    raise self._bad(f"entry {entry.filename} is of no frame of the {frames} of the video, or a second")
                if entry.file_size > MAX_ENTRY_BYTES or entry.flag_bits & 1:
                    raise self._bad(f"entry {entry.filename} claims {entry.file_size} bytes, or is encrypted")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise self._bad(f"entry {entry.filename} is neither stored nor deflated")
                self._entries[frame] = entry
        except BadInput:
            self._archive.close()
            raise
        self.frames = sorted(self._entries)

    def __enter__(self) -> _Zip:
        return self

    def __exit__(self, *problem: object) -> None:
        self._archive.close()

    def read(self, frame: int) -> bytes:
        """One entry, no longer than it claims."""
        entry = self._entries[frame]
        try:
            with self._archive.open(entry) as stream:
                content = stream.read(entry.file_size + 1)
        except _DAMAGE as error:
            raise self._bad(f"entry {entry.filename} is damaged ({error})") from None
        if len(content) != entry.file_size:
            raise self._bad(f"entry {entry.filename} is not as long as it claims")
        return content

    def _bad(self, message: str) -> BadInput:
        return BadInput("bad_zip", message, where=self.path, remedy="Copy it again.")


def _subsampled(z: np.ndarray, height: int) -> np.ndarray:
    """A map of at most `height` rows of the same picture: the pixel nearest to the middle of each new one."""
    rows, columns = z.shape
    if rows <= height:
        return z
    width = max(1, round(columns * height / rows))
    y = ((np.arange(height) + 0.5) * rows / height).astype(int)
    x = ((np.arange(width) + 0.5) * columns / width).astype(int)
    return np.asarray(z[y[:, None], x[None]])


def _phrases(path: Path, among: Collection[Path] | None) -> dict[int, str]:
    if not _is_there(path, among):
        return {}
    found: dict[int, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        match = _PHRASE_LINE.match(line)
        if match is None or len(found) > MAX_INSTANCES:
            raise BadInput("bad_masks", f"line {number} is '{line[:40]}', '<id>: <phrase>' expected", where=path)
        found[int(match[1])] = match[2][:MAX_PHRASE] or f"instance {match[1]}"
    return found


def _mask(data: bytes, size: tuple[int, int], name: str, path: Path) -> np.ndarray:
    """Instance ids (h, w): a grey PNG of the video's proportions, its header looked at first."""
    import cv2

    if data[:8] != _PNG or len(data) < 33:
        raise BadInput("bad_masks", f"{name} is no PNG", where=path)
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    if colour != 0 or bits not in (1, 2, 4, 8, 16):
        raise BadInput("bad_masks", f"{name} is no grey picture of ids", where=path)
    if (
        not (0 < width <= 2 * size[0] and 0 < height <= 2 * size[1])
        or abs(width * size[1] / height / size[0] - 1) > 0.03
    ):
        told = f"{width} x {height} pixels, the video {size[0]} x {size[1]}"
        raise BadInput("bad_masks", f"{name} has {told}", where=path)
    try:
        ids: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        ids = None
    if ids is None or ids.ndim != 2 or ids.shape != (height, width):
        raise BadInput("bad_masks", f"{name} does not decode", where=path)
    return np.asarray(ids)


def _boxes(ids: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """x0 y0 x1 y1 of every instance; x1 and y1 are the far edges of its last pixels."""
    found: dict[int, tuple[int, int, int, int]] = {}
    for number in np.unique(ids):
        if number:
            y, x = np.nonzero(ids == number)
            found[int(number)] = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    return found
