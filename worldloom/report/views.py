"""What a page shows of one clip: each plot with its words, or the reason why there is none."""

from __future__ import annotations

from worldloom.catalogs.clip import Actions, Clip
from worldloom.report.cards import name_of, why_missing
from worldloom.report.content import ClipEntry
from worldloom.report.page import Drawn
from worldloom.report.pictures import FrameStore


def path_picture(entry: ClipEntry) -> Drawn:
    """Camera path from above, with the error in words where the truth is known."""
    from worldloom.report.paths import align_track, paths_from_above

    camera, truth = entry.clip.camera, entry.truth.camera if entry.truth is not None else None
    title = entry.title or name_of(entry.clip)
    if camera is None and truth is None:
        return Drawn(title, reason=why_missing(entry.clip, "pose"))
    says = "" if camera is not None else why_missing(entry.clip, "pose")
    if camera is not None and truth is not None:
        parts = align_track(camera, truth).rmse
        says = "; ".join(
            (f"group {group}: " if len(parts) > 1 else "") + f"off by {100 * rmse:.1f} cm, {100 * rmse / length:.2g} %"
            for group, rmse, length in parts if length > 0
        ) + (" of the path (RMSE)" if parts else "")  # fmt: skip
        says = says or "no length to compare: the estimate knows rotation only, or the camera stays in place"
    drawn = paths_from_above(camera, truth, name=name_of_camera(entry.clip))
    return Drawn.of(drawn, title, says, f"camera path of {title} from above")


def name_of_camera(clip: Clip) -> str:
    """What a clip's camera is: estimated here, or given by its source."""
    note = clip.annotations.get("pose")
    return "from the source" if note is not None and note.method.startswith("source") else "estimate"


def action_lanes(clip: Clip, truth: Clip | None, on_true_poses: Actions | None = None) -> list[tuple[str, Actions]]:
    """Lanes for the action strip: truth, labels from the true poses, labels from the clip's own poses."""
    lanes = []
    if truth is not None and truth.actions is not None:
        lanes.append(("truth", truth.actions))
        if on_true_poses is None and truth.camera is not None:
            from worldloom.catalogs.actions import label_actions

            on_true_poses = label_actions(truth.camera, float(truth.fps))
        if on_true_poses is not None:
            lanes.append(("from true poses", on_true_poses))
    if clip.actions is not None:
        lanes.append(("from estimated poses" if lanes else "labels", clip.actions))
    return lanes


def action_picture(entry: ClipEntry) -> Drawn:
    """Action strip of a clip."""
    from worldloom.report.actions import action_strip

    title = entry.title or name_of(entry.clip)
    lanes = action_lanes(entry.clip, entry.truth, entry.on_true_poses)
    if not lanes:
        return Drawn(title, reason=why_missing(entry.clip, "actions"))
    return Drawn.of(action_strip(lanes, float(entry.clip.fps)), title, alt=f"actions of {title} over time")


def timeline_picture(entry: ClipEntry, store: FrameStore) -> Drawn:
    """Exits and entries of a clip."""
    from worldloom.report.timeline import event_timeline, shown_subjects

    title = entry.title or name_of(entry.clip)
    truth = entry.truth if entry.truth is not None and entry.truth.subjects is not None else None
    if entry.clip.subjects is None and truth is None:
        return Drawn(title, reason=why_missing(entry.clip, "subjects", "events"))
    drawn = event_timeline(entry.clip, truth, store)
    found, shown = len(entry.clip.subjects or ()), len(shown_subjects(entry.clip))
    says = f"{shown} of {found} subjects found, those with most events" if shown < found else ""
    return Drawn.of(drawn, title, says, alt=f"exits and entries of {title} over time")


def depth_picture(entry: ClipEntry, store: FrameStore) -> Drawn:
    """Depth of one frame of a clip."""
    from worldloom.report.depth import depth_pair, shown_frame

    title = entry.title or name_of(entry.clip)
    truth = entry.truth.depth if entry.truth is not None else None
    frame = shown_frame(entry.clip.depth, truth)
    if frame is None:
        return Drawn(title, reason=why_missing(entry.clip, "depth"))
    says = f"at {frame / float(entry.clip.fps):.1f} s"
    return Drawn.of(depth_pair(store.one(frame), entry.clip.depth, truth, frame), title, says, f"depth of {title}")


def loop_picture(entry: ClipEntry, store: FrameStore) -> Drawn:
    """Overlap matrix and revisit pairs of a clip."""
    from worldloom.report.loops import revisit_loop

    title = entry.title or name_of(entry.clip)
    revisits = entry.clip.revisits
    if revisits is None:
        return Drawn(title, reason=why_missing(entry.clip, "revisits"))
    source = "depth" if revisits.from_depth else "poses alone"
    says = f"{len(revisits.pairs)} pairs, {revisits.density:.0%} of the frames have a partner; overlap from {source}"
    truth = entry.truth.revisits if entry.truth is not None else None
    return Drawn.of(revisit_loop(entry.clip, truth, store=store), title, says, f"revisits of {title}")
