"""The report of a run on rendered worlds: what was done, what came out, and how true it is, in one HTML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worldloom.catalogs.clip import Clip
from worldloom.report.cards import STRIP_WIDTH, clip_card
from worldloom.report.content import ClipEntry, ReportContent
from worldloom.report.page import Section, in_groups, write_page
from worldloom.report.pictures import FrameStore
from worldloom.report.training import training_pictures, walk_pictures
from worldloom.report.views import action_picture, depth_picture, loop_picture, path_picture, timeline_picture


def write_report(path: Path, content: ReportContent) -> Path:
    """Write the report as one HTML file with its pictures inside.

    Args:
        path: the file to write; its folder is made.
        content: what it says; see `worldloom.report.content`.

    Returns:
        `path`.
    """
    stores = {id(entry): FrameStore(entry.clip, max(STRIP_WIDTH, 420)) for entry in content.clips}
    cards = [clip_card(entry.clip, entry.title) for entry in content.clips]
    sections = [Section("steps", "What was done", kind="steps")] if content.steps else []
    if cards:
        why = "A few frames of each clip, and the state of its annotations."
        sections.append(Section("clips", "Clips", why, kind="sheet"))
    sections += [part for part in _drawn_sections(content, stores) if part.pictures]
    if content.funnel:
        why = "Rows into each pass and what became of them: every row that goes in comes out in one of these colours."
        sections.append(Section("funnel", "What became of every row", why, kind="funnel"))
    if content.scores:
        why = "Every label was scored against the truth of the renderer. A figure comes with the command that makes it."
        sections.append(Section("truth", "How true the labels are", why, kind="truth"))
    sections += [part for part in _model_sections(content) if part.pictures]
    return write_page(
        path,
        "report.html.j2",
        content=content,
        sections=sections,
        cards=cards,
        tiles=_tiles(content),
        slowest=max((step.seconds for step in content.steps), default=0.0),
        score_groups=in_groups(content.scores),
    )


def _tiles(content: ReportContent) -> list[tuple[str, str]]:
    clips = [entry.clip for entry in content.clips]
    tiles = []
    if content.steps:
        tiles.append((f"{sum(step.seconds for step in content.steps):.0f} s", "from start to end"))
    if clips:
        tiles.append((str(len(clips)), "clips"))
        tiles.append((f"{sum(clip.seconds for clip in clips):.0f} s", "of video"))
        tiles.append((str(sum(event.kind == "pair" for clip in clips for event in clip.events)), "exit-entry pairs"))
        tiles.append(
            (str(sum(len(clip.revisits.pairs) for clip in clips if clip.revisits is not None)), "revisit pairs")
        )
    judged = [row for row in content.scores if row.verdict != "none"]
    if judged:
        tiles.append((f"{sum(row.verdict == 'met' for row in judged)} / {len(judged)}", "targets of label truth met"))
    return tiles


def _drawn_sections(content: ReportContent, stores: dict[int, FrameStore]) -> list[Section]:
    entries = content.clips
    with_camera = [entry for entry in entries if entry.clip.camera is not None or entry.truth is not None]
    with_actions = [entry for entry in entries if entry.clip.actions is not None]
    with_events = _richest(entries, lambda clip: len(clip.events) + 3 * sum(e.kind == "pair" for e in clip.events))
    with_depth = [entry for entry in entries if entry.clip.depth is not None and len(entry.clip.depth)]
    with_loops = _richest(entries, lambda clip: 0 if clip.revisits is None else len(clip.revisits.pairs))
    few = slice(0, content.shown)
    return [
        Section("paths", "Camera paths from above",
                "The estimate, laid on the truth by one similarity per scale group. Cones show where the camera looks.",
                pictures=[path_picture(entry) for entry in with_camera], columns="trio"),
        Section("actions", "Actions over time",
                "What the camera was told to do, what the labels say from its true path, and what they say from the "
                "estimated one. A red line marks a label that differs from the truth.",
                pictures=[action_picture(entry) for entry in with_actions[few]], wide=True),
        Section("events", "Exits and entries",
                "How much of each subject can be seen, and why it was hidden. The pictures show the last clear view "
                "before an exit and the first one after an entry.",
                pictures=[timeline_picture(entry, stores[id(entry)]) for entry in with_events[few]], wide=True),
        Section("depth", "Depth beside true depth",
                "One frame per clip on one colour scale; stripes where there is no value.",
                pictures=[depth_picture(entry, stores[id(entry)]) for entry in with_depth[few]], wide=True),
        Section("revisits", "Revisits",
                "How much each frame sees again of what an earlier one saw, and the pictures of the best pairs.",
                pictures=[loop_picture(entry, stores[id(entry)]) for entry in with_loops[few]], wide=True),
    ]  # fmt: skip


def _model_sections(content: ReportContent) -> list[Section]:
    if content.training is None:
        return []
    return [
        Section("training", "A small model, trained on these shards",
                "Minutes on a processor show that the way from shards to a model is open, not what a model can do.",
                pictures=training_pictures(content.training), columns="duo"),
        Section("generated", "Generated from one frame and the actions",
                "The model saw the first frame of a clip that it was not trained on, and the true actions.",
                pictures=walk_pictures(content.training), wide=True),
    ]  # fmt: skip


def _richest(entries: list[ClipEntry], worth: Callable[[Clip], int]) -> list[ClipEntry]:
    """Entries with something to show, those with most first."""
    return sorted((one for one in entries if worth(one.clip) > 0), key=lambda one: -worth(one.clip))
