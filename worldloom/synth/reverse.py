"""Temporal reversal, loops and windows: index maps over a clip that take every annotation along (definitions 5).

Nothing is encoded here: the derived clip points into its parent's video through `Clip.frame_index`.

What happens to what:
- per-frame values (camera, boxes, hands, source times) follow the index map; source times then run backwards where
  the frames do, and `provenance.span_s` still says which stretch of the source they are from;
- actions are inverted: entry j becomes the inverse of entry T - 2 - j with its margin; the continuous motion changes
  its sign; the last entry is 9 with NaN beside it;
- events, depth frames and revisit pairs are renumbered; of a loop, where both passes see the same, hidden stays that
  were open at the turn close, and revisits are found anew from the depth (or poses) that the parent has;
- captions are marked, since what they tell may have run the other way;
- a reversal of a reversal gives the original back: key, parents and operations included. The key of any other derived
  clip is `clip_key(parent's key, 0, 0, T - 1, operation)`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from worldloom.catalogs.actions import UNCERTAIN, reverse_actions
from worldloom.catalogs.clip import Actions, Camera, Caption, Clip, Depth, Event, Hands, Revisits, Subjects, clip_key
from worldloom.catalogs.events import EventRules, reverse_events
from worldloom.catalogs.overlap import RevisitRules, find_revisits, overlap_matrix, pose_overlap_matrix

PLAIN, LOOP = "reverse:plain", "reverse:loop"

Record = TypeVar("Record", Camera, Subjects, Hands)


def reverse(clip: Clip) -> Clip:
    """The clip played backwards, T frames. `reverse(reverse(clip))` is `clip` again."""
    frames = clip.frames
    order = np.arange(frames - 1, -1, -1)
    made = _along(clip, order, PLAIN)
    made.actions = None if clip.actions is None else reverse_actions(clip.actions)
    made.events = reverse_events(clip.events, frames)
    if clip.revisits is not None:
        made.revisits = _mirrored(clip.revisits, frames)
    return _undone(made, clip) if clip.provenance.operations[-1:] == (PLAIN,) else made


def loop(clip: Clip) -> Clip:
    """There and back: 2 T - 1 frames, the turning frame once (1 + 4 n frames become 1 + 8 n)."""
    frames = clip.frames
    order = np.concatenate([np.arange(frames), np.arange(frames - 2, -1, -1)])
    made = _along(clip, order, LOOP)
    if clip.actions is not None:
        made.actions = _joined(clip.actions, reverse_actions(clip.actions))
    made.events = _loop_events(clip.events, frames)
    made.revisits = _loop_revisits(clip, made)
    return made


def window(clip: Clip, start: int, stop: int) -> Clip:
    """Frames `start` to `stop` - 1 of the clip.

    Raises:
        ValueError: not a stretch of the clip.
    """
    if not 0 <= start < stop <= clip.frames:
        raise ValueError(f"window {start}:{stop} of a clip of {clip.frames} frames")
    made = _along(clip, np.arange(start, stop), f"window:{start}:{stop}")
    if clip.actions is not None:
        made.actions = _cut(clip.actions, start, stop)
    found = (_window_event(event, start, stop) for event in clip.events)
    made.events = [event for event in found if event is not None]
    if clip.revisits is not None:
        made.revisits = _window_revisits(clip, start, stop)
    if clip.quality and "quality" in clip.annotations:
        notes = {**clip.annotations["quality"].notes, "measured_on": clip.key}
        made.annotations["quality"] = replace(clip.annotations["quality"], notes=notes)
    return made


def _along(clip: Clip, order: np.ndarray, operation: str) -> Clip:
    """The clip whose frame j is frame `order[j]`, but for actions, events and revisits, which are no index map."""
    shown = order if clip.frame_index is None else clip.frame_index[order]
    source = clip.provenance
    made = replace(
        clip,
        key=clip_key(clip.key, 0, 0, clip.frames - 1, operation),
        frames=len(order),
        pts_s=clip.pts_s[order],
        provenance=replace(
            source,
            parents=(*source.parents, clip.key),
            operations=(*source.operations, operation),
            span_s=_span(clip, order),
        ),
        frame_index=shown.astype(np.int32),
        camera=None if clip.camera is None else _indexed(clip.camera, order, axis=0, length=clip.frames),
        actions=None,
        subjects=None if clip.subjects is None else _indexed(clip.subjects, order, axis=1, length=clip.frames),
        depth=None if clip.depth is None else _depth_along(clip.depth, order),
        hands=None if clip.hands is None else _indexed(clip.hands, order, axis=0, length=clip.frames),
        events=[],
        revisits=None,
        quality=dict(clip.quality),
        captions=[_marked(caption, operation) for caption in clip.captions],
        annotations=dict(clip.annotations),
    )
    return made


def _span(clip: Clip, order: np.ndarray) -> tuple[float, float]:
    """First and last source time covered, in their own order, also where frames run backwards."""
    if len(order) >= clip.frames:
        return clip.provenance.span_s
    return float(clip.pts_s[order].min()), float(clip.pts_s[order].max())


def _indexed(record: Record, order: np.ndarray, axis: int, length: int) -> Record:
    """A record whose arrays with `length` entries along `axis` follow `order`."""
    changed: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        per_frame = isinstance(value, np.ndarray) and value.ndim > axis and value.shape[axis] == length
        if per_frame and field.name not in ("up", "id"):
            changed[field.name] = np.ascontiguousarray(np.take(value, order, axis=axis))
    return replace(record, **changed)


def _depth_along(depth: Depth, order: np.ndarray) -> Depth:
    row_of = {int(frame): row for row, frame in enumerate(depth.frames)}
    kept = [(j, row_of[int(old)]) for j, old in enumerate(order) if int(old) in row_of]
    rows = np.array([row for _, row in kept], int)
    return replace(
        depth,
        frames=np.array([j for j, _ in kept], np.int32),
        z=depth.z[rows],
        valid=depth.valid[rows],
        confidence=depth.confidence[rows],
    )


def _marked(caption: Caption, operation: str) -> Caption:
    mark = f" (before {operation})"
    if operation == PLAIN and caption.writer.endswith(mark):
        return Caption(caption.text, caption.writer.removesuffix(mark))
    return Caption(caption.text, caption.writer + mark)


def _undone(made: Clip, clip: Clip) -> Clip:
    """The original of a clip that was reversed once before: its name and its history."""
    source = clip.provenance
    made.key = source.parents[-1]
    made.provenance = replace(source, parents=source.parents[:-1], operations=source.operations[:-1])
    if not source.parents[:-1]:
        made.frame_index = None  # an ingested clip shows its video frame by frame
    return made


def _mirrored(revisits: Revisits, frames: int) -> Revisits:
    pairs = frames - 1 - revisits.pairs[:, ::-1]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return replace(revisits, pairs=pairs[order].astype(np.int32), overlap=revisits.overlap[order])


def _joined(there: Actions, back: Actions) -> Actions:
    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(there, name)[:-1], getattr(back, name)])

    return replace(there, move=both("move"), view=both("view"), margins=both("margins"), motion=both("motion"))


def _cut(actions: Actions, start: int, stop: int) -> Actions:
    part = slice(start, stop)
    move, view = actions.move[part].copy(), actions.view[part].copy()
    margins, motion = actions.margins[part].copy(), actions.motion[part].copy()
    move[-1] = view[-1] = UNCERTAIN
    margins[-1] = motion[-1] = np.nan
    return replace(actions, move=move, view=view, margins=margins, motion=motion)


def _loop_events(events: list[Event], frames: int) -> list[Event]:
    """Stays of there and of back; one that is open at the turn lasts from its exit to the mirrored entry."""
    found: list[Event] = []
    for event in events:
        if event.first_visible is None and event.first_hidden is not None:
            again = 2 * frames - 1 - event.first_hidden
            found.append(replace(event, first_visible=again, entry_cause=event.exit_cause, entry_side=event.exit_side))
            continue
        found += [event, *reverse_events([event], 2 * frames - 1)]
    return sorted(found, key=_time_order)


def _time_order(event: Event) -> tuple[int, int]:
    first = event.first_hidden if event.first_hidden is not None else event.first_visible
    return first or 0, event.subject


def _window_event(event: Event, start: int, stop: int) -> Event | None:
    """What is left of a stay inside the window; an end with too few frames beside it to be held is not seen."""
    hold = EventRules().hold_frames
    gone, back = event.first_hidden, event.first_visible
    sees_exit = gone is not None and start + hold <= gone <= stop - hold
    sees_entry = back is not None and start + hold <= back <= stop - hold
    if not (sees_exit or sees_entry):
        return None
    return Event(
        event.subject,
        gone - start if sees_exit and gone is not None else None,
        back - start if sees_entry and back is not None else None,
        event.exit_cause if sees_exit else None,
        event.entry_cause if sees_entry else None,
        event.exit_side if sees_exit else None,
        event.entry_side if sees_entry else None,
    )


def _overlap(clip: Clip) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Overlap of the parent's frames, which frames, and whether it is from depth; None where it knows too little."""
    if clip.camera is None or clip.revisits is None:
        return None
    rules = RevisitRules()
    if clip.depth is not None and clip.revisits.from_depth and len(clip.depth):
        return overlap_matrix(clip.depth, clip.camera, clip.width, clip.height, rules), clip.depth.frames, True
    frames = np.arange(0, clip.frames, max(1, round(float(clip.fps) / 4)))  # four a second decide a revisit (ours)
    return pose_overlap_matrix(clip.camera, clip.width, clip.height, clip.fps, rules, frames), frames, False


def _loop_revisits(clip: Clip, made: Clip) -> Revisits | None:
    known = _overlap(clip)
    if known is None:
        return None
    matrix, frames, from_depth = known
    again = 2 * (clip.frames - 1) - frames
    rows = np.concatenate([np.arange(len(frames)), np.flatnonzero(again != frames)])
    both = np.concatenate([frames, again[again != frames]])
    order = np.argsort(both, kind="stable")
    full = np.array(matrix)
    np.fill_diagonal(full, 1.0)  # a frame and its mirror image in time see the same
    picked = rows[order]
    return find_revisits(full[np.ix_(picked, picked)], both[order], clip.fps, made.frames, RevisitRules(), from_depth)


def _window_revisits(clip: Clip, start: int, stop: int) -> Revisits:
    assert clip.revisits is not None
    pairs = clip.revisits.pairs
    inside = (pairs >= start).all(axis=1) & (pairs < stop).all(axis=1)
    kept = pairs[inside] - start
    sampled = clip.depth.frames if clip.depth is not None and clip.revisits.from_depth else np.arange(clip.frames)
    sampled = np.union1d(sampled[(sampled >= start) & (sampled < stop)] - start, kept.ravel())
    nearest = np.abs(np.arange(stop - start)[:, None] - sampled[None, :]).argmin(axis=1) if len(sampled) else None
    partner = np.isin(sampled, kept)
    density = float(partner[nearest].mean()) if nearest is not None else 0.0
    return replace(clip.revisits, pairs=kept.astype(np.int32), overlap=clip.revisits.overlap[inside], density=density)
