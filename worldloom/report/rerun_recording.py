"""A clip as a Rerun recording: everything known about it on the timelines `frame` and `time`, with a layout.

    worldloom inspect OUT KEY --rerun     # then: rerun KEY.rrd

Entities: `world` (right-handed; its up where known) holds `camera` (OpenCV axes: right, down, forward) with `image`
(pinhole, video, boxes of subjects) and `hands`, the camera's `path`, `depth` standing where it was seen, and `subjects`
in space; `labels` holds the actions as states; `series` the figures; `events` and `about` are text. A frame without a
pose has no row: the camera waits where it was, and the state `pose` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.clip import Camera, Clip, Depth, Hands, Subjects
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.report.actions import runs
from worldloom.report.clip_data import bones_of
from worldloom.report.clip_page import summary_of
from worldloom.report.timeline import CAUSE_NAMES, known_cause

IMAGE = "world/camera/image"
HAND_COLOURS = {"left": (92, 200, 255), "right": (255, 180, 84)}
SUBJECT_COLOURS = ((255, 180, 84), (92, 200, 255), (255, 125, 156), (143, 227, 136), (201, 162, 255), (255, 224, 102))
DEPTH_PIXELS = 320
"""Width of depth maps in the recording; larger ones lose every second pixel until they are not wider (ours)."""


def write_recording(clip: Clip, path: Path) -> Path:
    """Write a clip as a Rerun recording.

    Args:
        clip: with whatever is known about it; without a video there is no picture in the recording.
        path: the `.rrd` to write; its folder is made.

    Returns:
        `path`.

    Raises:
        UsageError: the extra `rerun` is not installed.
        BadInput: the video cannot be read.
    """
    rr = _rerun()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    with _strict(rr):
        recording = rr.RecordingStream("worldloom", recording_id=clip.key, send_properties=False)
        try:
            recording.save(unfinished, default_blueprint=_layout(clip))
            recording.send_recording_name(clip.key)
            recording.set_log_time_enabled(False)  # when it was written says nothing about the clip
            _Writer(rr, recording, clip).write()
            recording.flush()
            recording.disconnect()
            unfinished.replace(path)
        finally:
            recording.disconnect()
            unfinished.unlink(missing_ok=True)
    return path


def _rerun() -> Any:
    try:
        import rerun as rr
    except ImportError:
        raise UsageError("recordings need the Rerun SDK: pip install 'worldloom[rerun]'") from None
    if not hasattr(rr, "StateChange"):
        raise UsageError(f"rerun-sdk {rr.__version__} is too old: pip install --upgrade 'worldloom[rerun]'")
    return rr


@contextmanager
def _strict(rr: Any) -> Iterator[None]:
    """Rerun turns errors into warnings unless told otherwise: half a recording would look like a whole one."""
    before = rr.strict_mode()
    rr.set_strict_mode(True)
    try:
        yield
    finally:
        rr.set_strict_mode(before)


class _Writer:
    """Writes the parts of one clip into a recording."""

    def __init__(self, rr: Any, recording: Any, clip: Clip) -> None:
        self.rr, self.recording, self.clip = rr, recording, clip

    def write(self) -> None:
        clip = self.clip
        self.static("about", self.rr.TextDocument(about(clip), media_type="text/plain"))
        if clip.camera is not None:
            self._camera(clip.camera)
        self._video()
        if clip.depth is not None and clip.camera is not None and len(clip.depth):
            self._depth(clip.depth, clip.camera)
        if clip.subjects is not None:
            self._subjects(clip.subjects)
        if clip.hands is not None:
            self._hands(clip.hands)
        self._labels()
        self._series()
        self._events()

    def static(self, entity: str, *parts: Any) -> None:
        self.recording.log(entity, *parts, static=True)

    def columns(self, entity: str, frames: Sequence[int] | np.ndarray, *columns: Any) -> None:
        """Rows at frames of the clip; nothing where there are none."""
        frames = np.asarray(frames, np.int64)
        if len(frames):
            times = (self.rr.TimeColumn("frame", sequence=frames),
                     self.rr.TimeColumn("time", duration=frames / float(self.clip.fps)))  # fmt: skip
            self.recording.send_columns(entity, times, [part for column in columns for part in column])

    def _camera(self, camera: Camera) -> None:
        rr = self.rr
        self.static("world", rr.ViewCoordinates(xyz=_world_axes(rr, camera)))
        posed = np.flatnonzero(camera.valid & np.isfinite(camera.c2w).all(axis=(1, 2)))
        placed = rr.Transform3D.columns(translation=camera.c2w[posed, :3, 3], mat3x3=camera.c2w[posed, :3, :3])
        self.columns("world/camera", posed, placed)
        places = camera.c2w[:, :3, 3]
        for number, group in enumerate(np.unique(camera.scale_group[posed])):
            lines = [places[run] for run in _unbroken(posed[camera.scale_group[posed] == group])]
            colour = SUBJECT_COLOURS[number % len(SUBJECT_COLOURS)]
            self.static(f"world/path/{int(group)}", rr.LineStrips3D(lines, colors=[colour] * len(lines)))
        known = np.flatnonzero(np.isfinite(camera.intrinsics).all(axis=1) & (camera.intrinsics[:, :2] > 0).all(axis=1))
        if len(known):
            changes = known[np.r_[True, (np.diff(camera.intrinsics[known], axis=0) != 0).any(axis=1)]]
            for frame in changes:
                self._pinhole(IMAGE, int(frame), camera.intrinsics[frame], (self.clip.width, self.clip.height),
                              static=len(changes) == 1)  # fmt: skip

    def _pinhole(self, entity: str, frame: int, k: np.ndarray, size: tuple[int, int], static: bool = False) -> None:
        axes = self.rr.ViewCoordinates.RDF
        lens = self.rr.Pinhole(focal_length=k[:2], principal_point=k[2:], resolution=size, camera_xyz=axes)
        if not static:
            self._at(frame)
        self.recording.log(entity, lens, static=static)

    def _at(self, frame: int) -> None:
        self.recording.set_time("frame", sequence=frame)
        self.recording.set_time("time", duration=frame / float(self.clip.fps))

    def _video(self) -> None:
        clip, rr = self.clip, self.rr
        if clip.video is None:
            return
        where = clip.video if isinstance(clip.video, Path) else None
        try:
            content = clip.video if isinstance(clip.video, bytes) else clip.video.read_bytes()
            asset = rr.AssetVideo(contents=content, media_type="video/mp4")
            times_ns = np.asarray(asset.read_frame_timestamps_nanos(), np.int64)
        except (OSError, RuntimeError, ValueError) as error:
            raise BadInput("damaged", f"the video of clip {clip.key} cannot be read ({error})", where=where) from None
        index = np.arange(clip.frames) if clip.frame_index is None else np.asarray(clip.frame_index, np.int64)
        if len(index) and int(index.max()) >= len(times_ns):
            message = f"frame {int(index.max())} is wanted of a video of {len(times_ns)}"
            raise BadInput("bad_index", message, where=where)
        self.static(f"{IMAGE}/video", asset)
        self.columns(f"{IMAGE}/video", np.arange(len(index)),
                     rr.VideoFrameReference.columns_nanos(times_ns[index]))  # fmt: skip

    def _depth(self, depth: Depth, camera: Camera) -> None:
        """Each map stands where its frame was taken, until the next one: a cloud that moves on would be wrong."""
        rr = self.rr
        for row, frame in enumerate(depth.frames.tolist()):
            if not (camera.valid[frame] and np.isfinite(camera.c2w[frame]).all()):
                continue
            step = max(1, -(-depth.z.shape[2] // DEPTH_PIXELS))
            z = np.where(depth.valid[row], depth.z[row], 0)[::step, ::step].astype(np.float32)
            scale = np.array([z.shape[1] / self.clip.width, z.shape[0] / self.clip.height] * 2)
            self._at(frame)
            c2w = camera.c2w[frame]
            self.recording.log("world/depth", rr.Transform3D(translation=c2w[:3, 3], mat3x3=c2w[:3, :3]))
            self._pinhole("world/depth/image", frame, camera.intrinsics[frame] * scale, (z.shape[1], z.shape[0]))
            self.recording.log(
                "world/depth/image", rr.DepthImage(z, meter=1.0, colormap=rr.components.Colormap.Viridis)
            )

    def _subjects(self, subjects: Subjects) -> None:
        rr = self.rr
        frames = np.arange(self.clip.frames)
        for s, number in enumerate(subjects.id.tolist()):
            colour = SUBJECT_COLOURS[s % len(SUBJECT_COLOURS)]
            name = f"{subjects.label[s][:60]} {number}"
            box = np.asarray(subjects.box[s], np.float64)
            there = np.isfinite(box).all(axis=1)
            entity = f"{IMAGE}/subjects/{number}"
            self.static(entity, rr.Boxes2D.from_fields(colors=[colour], labels=[name]))
            centres, halves = (box[:, 2:] + box[:, :2]) / 2, (box[:, 2:] - box[:, :2]) / 2
            boxes = rr.Boxes2D.columns(centers=centres[there], half_sizes=halves[there])
            self.columns(entity, frames, boxes.partition(there.astype(int)))
            if subjects.position is not None:
                known = np.isfinite(subjects.position[s]).all(axis=1)
                self.static(f"world/subjects/{number}", rr.Points3D.from_fields(colors=[colour], labels=[name]))
                points = rr.Points3D.columns(positions=subjects.position[s][known])
                self.columns(f"world/subjects/{number}", frames, points.partition(known.astype(int)))
            self._scalars(f"series/visibility/{number}", subjects.visibility[s], name)

    def _hands(self, hands: Hands) -> None:
        rr = self.rr
        frames = np.arange(self.clip.frames)
        joints = np.asarray(hands.joints, np.float64)
        seen = np.asarray(np.isfinite(joints).all(axis=-1))
        bones = bones_of(hands.names)
        for side, colour in HAND_COLOURS.items():
            mine = [j for j, name in enumerate(hands.names) if name.lower().startswith(side)]
            if not mine:
                continue
            self.static(f"world/camera/hands/{side}", rr.Points3D.from_fields(colors=[colour]))
            points = rr.Points3D.columns(positions=joints[:, mine][seen[:, mine]])
            self.columns(f"world/camera/hands/{side}", frames, points.partition(seen[:, mine].sum(axis=1)))
            strips = [[joints[t, [a, b]] for a, b in bones if a in mine and seen[t, a] and seen[t, b]] for t in frames]
            self.static(f"world/camera/hands/{side}/bones", rr.LineStrips3D.from_fields(colors=[colour]))
            lines = rr.LineStrips3D.columns(strips=[strip for one in strips for strip in one])
            if any(strips):
                self.columns(f"world/camera/hands/{side}/bones", frames, lines.partition([len(one) for one in strips]))

    def _labels(self) -> None:
        """States at the frames where they change; the viewer draws them as lanes."""
        clip = self.clip
        if clip.actions is not None:
            for group, names in (("move", MOVES), ("view", VIEWS)):
                labels = np.minimum(getattr(clip.actions, group), 9)
                self._states(f"labels/{group}", labels, names)
        if clip.camera is not None:
            states = np.where(clip.camera.valid, clip.camera.scale_group + 1, 0)
            numbers, back = np.unique(states, return_inverse=True)
            told = ["no pose" if number == 0 else f"posed, scale group {number - 1}" for number in numbers]
            self._states("labels/pose", back.reshape(-1), told)

    def _states(self, entity: str, labels: np.ndarray, names: Sequence[str]) -> None:
        changes = [(first, names[label]) for first, _, label in runs(labels)]
        column = self.rr.StateChange.columns(state=[name for _, name in changes])
        self.columns(entity, [first for first, _ in changes], column)

    def _series(self) -> None:
        clip = self.clip
        if clip.actions is not None:
            actions = clip.actions
            for column, name in enumerate(("move", "view")):
                self._scalars(f"series/actions/{name}", getattr(actions, name), name)
                self._scalars(f"series/margins/{name}", actions.margins[:, column], f"margin of {name}")
            names = (("right", actions.unit), ("forward", actions.unit), ("yaw", "deg/s"), ("pitch", "deg/s"))
            for column, (name, unit) in enumerate(names):
                self._scalars(f"series/motion/{name}", actions.motion[:, column], f"{name}, {unit}")
        if clip.camera is not None:
            self._scalars("series/pose/confidence", clip.camera.confidence, "pose confidence")
        if clip.hands is not None and clip.hands.confidence.shape[1]:
            self._scalars("series/hands/confidence", clip.hands.confidence.mean(axis=1), "hands confidence")

    def _scalars(self, entity: str, values: np.ndarray, name: str) -> None:
        values = np.asarray(values, np.float64)
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            self.static(entity, self.rr.SeriesLines(names=[name]))
            self.columns(entity, known, self.rr.Scalars.columns(scalars=values[known]))

    def _events(self) -> None:
        labels = {} if self.clip.subjects is None else dict(
            zip(self.clip.subjects.id.tolist(), self.clip.subjects.label, strict=True))  # fmt: skip
        said = []
        for event in self.clip.events:
            who = f"{labels.get(event.subject, 'subject')} {event.subject}"
            for frame, what, cause, side in (
                (event.first_hidden, "exit", event.exit_cause, event.exit_side),
                (event.first_visible, "entry", event.entry_cause, event.entry_side),
            ):
                if frame is not None:
                    why = CAUSE_NAMES[known_cause(cause)] + (f", {side}" if side else "")
                    said.append((frame, f"{what} of {who} ({why}); {event.kind}"))
        for frame, text in sorted(said):
            self._at(frame)
            self.recording.log("events", self.rr.TextLog(text))


def about(clip: Clip) -> str:
    """What a person wants to know about the clip as plain text: markdown could make a viewer load pictures."""
    source = clip.provenance
    lines = [clip.key, summary_of(clip), "", f"source: {source.kind}: {source.uri}", f"sha256: {source.sha256}"]
    lines += [f"retrieved: {source.retrieved_at}"] if source.retrieved_at else []
    lines += [f"operations: {', '.join(source.operations)}"] if source.operations else []
    lines += ["", *(f"caption by {one.writer}: {one.text}" for one in clip.captions)] if clip.captions else []
    lines += ["", *(f"{name}: {value:.4g}" for name, value in sorted(clip.quality.items()))] if clip.quality else []
    if clip.annotations:
        lines += [""]
        for name, note in sorted(clip.annotations.items()):
            says = f", confidence {note.confidence:.2f}" if note.status == "ok" else f": {note.reason}"
            lines.append(f"{name} {note.status}, {note.method} {note.version}{says}")
    return "\n".join(lines)


def _world_axes(rr: Any, camera: Camera) -> Any:
    """View coordinates of the world: its up where that is (nearly) an axis, else OpenCV's, y down.

    A world whose up is no axis keeps its numbers; the layout's eye stands upright all the same.
    """
    axes = rr.components.ViewCoordinates
    if camera.up is not None:
        axis = int(np.abs(camera.up).argmax())
        if abs(camera.up[axis]) > 0.99:
            return getattr(axes, f"RIGHT_HAND_{'XYZ'[axis]}_{'UP' if camera.up[axis] > 0 else 'DOWN'}")
    return axes.RDF


def _unbroken(frames: np.ndarray) -> list[np.ndarray]:
    return np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)


def _layout(clip: Clip) -> Any:
    """Picture and space side by side, labels and figures below, text beside."""
    import rerun.blueprint as rrb

    camera = clip.camera
    up = None
    if camera is not None and camera.valid.any():
        up = camera.up if camera.up is not None else -np.nanmean(camera.c2w[camera.valid, :3, 1], axis=0)
    eye = rrb.EyeControls3D(eye_up=up) if up is not None and np.isfinite(up).all() and np.any(up) else None
    series = [rrb.TimeSeriesView(origin=f"series/{name}", name=title) for name, title, there in (
        ("motion", "motion", clip.actions is not None),
        ("margins", "margins", clip.actions is not None),
        ("pose", "pose confidence", camera is not None),
        ("visibility", "visibility", clip.subjects is not None),
        ("hands", "hands", clip.hands is not None),
        ("actions", "actions by number", clip.actions is not None),
    ) if there]  # fmt: skip
    text = [rrb.TextDocumentView(origin="about", name="about")]
    text += [rrb.TextLogView(origin="events", name="events")] if clip.events else []
    labelled = clip.actions is not None or camera is not None
    below = [rrb.StateTimelineView(origin="labels", name="labels")] if labelled else []
    below += [rrb.Tabs(*series)] if series else []
    shown = ["$origin/**", "/world/camera/hands/**"]
    upper = [rrb.Spatial2DView(origin=IMAGE, contents=shown, name="video")]
    upper += [rrb.Spatial3DView(origin="world", name="space", eye_controls=eye)] if camera is not None else []
    rows = [rrb.Horizontal(*upper, rrb.Vertical(*text), column_shares=[3] * len(upper) + [2]), *below]
    return rrb.Blueprint(
        rrb.Vertical(*rows, row_shares=[4] + [1.6] * len(below)),
        rrb.TimePanel(state="collapsed", timeline="frame", fps=float(clip.fps)),
        rrb.SelectionPanel(state="collapsed"),
        rrb.BlueprintPanel(state="collapsed"),
    )
