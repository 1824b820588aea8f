"""What a report says: plain tables and clips, filled in by the caller, drawn by `worldloom.report.demo_page`.

    from worldloom.report.content import ClipEntry, FunnelRow, ReportContent, Step, TruthRow
    from worldloom.report.demo_page import write_report

    content = ReportContent(title="worldloom demo", intro="Six rendered worlds, labelled as if nothing were known.")
    content.steps.append(Step("Render 6 worlds", seconds=21.4, says="486 frames at 38 frames/s"))
    content.clips.append(ClipEntry(clip, truth=truth, title="a room with two people"))
    content.funnel = summary.tables  # of a RunSummary, or rows of one's own:
    content.funnel = [FunnelRow("ingest", 6, ok=6), FunnelRow("pack", 6, ok=5, dropped={"too_dark": 1})]
    content.scores.append(TruthRow("ATE, median", 0.4, "<= 1", "met", n=12, unit="% of path",
                                   command="worldloom scorecard --only pose"))
    content.next_command = "worldloom run FOLDER"
    write_report(Path("runs/demo/report.html"), content)

Nothing here imports a plotting library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from worldloom.catalogs.clip import Actions, Clip

if TYPE_CHECKING:
    from worldloom.pipeline.funnel import Tally

Verdict = Literal["met", "missed", "none"]


@dataclass(frozen=True)
class Step:
    """One step of what was done.

    Attributes:
        title: what it does, e.g. `Render 6 worlds`.
        seconds: what it took.
        says: what came out of it, one line.
    """

    title: str
    seconds: float
    says: str = ""


@dataclass(frozen=True)
class FunnelRow:
    """What became of the rows of one pass or one operation; `inputs` = ok + absent + dropped + failed.

    Attributes:
        name: of the pass or operation.
        inputs: rows that went in.
        ok: rows that came through.
        dropped: number of rows dropped, by reason.
        failed: number of rows failed, by reason.
        absent: number of rows answered with "nothing to say", by reason (annotations).
        out: rows that came out where that differs from `ok` (one video becomes several clips); None where it does not.
        part_of: the pass that an operation belongs to; empty for a pass.
    """

    name: str
    inputs: int
    ok: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, int] = field(default_factory=dict)
    out: int | None = None
    part_of: str = ""

    @property
    def balanced(self) -> bool:
        """Whether every row that went in is accounted for."""
        lost = sum(self.dropped.values()) + sum(self.failed.values()) + sum(self.absent.values())
        return self.inputs == self.ok + lost


@dataclass(frozen=True)
class TruthRow:
    """One line of the table of label truth.

    Attributes:
        measure: e.g. `Actions on true poses, macro-F1`.
        value: the figure; None where nothing could be measured.
        target: in words, e.g. `>= 0.95`; empty where there is none.
        verdict: `met`, `missed`, or `none` without a target.
        n: number of clips (or events, pairs) behind the figure.
        unit: e.g. `% of path`, `deg`, or empty.
        command: what reproduces the figure.
        note: one line on how it was measured.
        group: heading under which the line stands, e.g. `pose`.
    """

    measure: str
    value: float | None
    target: str = ""
    verdict: Verdict = "none"
    n: int = 0
    unit: str = ""
    command: str = ""
    note: str = ""
    group: str = ""


@dataclass(eq=False)
class ClipEntry:
    """A clip to show, with its truth where that is known.

    Attributes:
        clip: as estimated, with its annotations.
        truth: the same frames as rendered, with true camera, actions, subjects, depth, events, revisits.
        title: a few words in front of the key, e.g. the name of the world.
        on_true_poses: actions labelled from the true poses; labelled here from the truth's camera where not given.
    """

    clip: Clip
    truth: Clip | None = None
    title: str = ""
    on_true_poses: Actions | None = None


@dataclass(eq=False)
class WalkContent:
    """Frames that a model made, beside the true ones; all (T, H, W, 3) uint8, the first is the frame it started from.

    Attributes:
        title: where they come from.
        true: what the camera saw.
        codec: the true frames through the codec and back: no model can do better.
        generated: what the model made of the first frame and the actions.
        actions: (T, 2) uint8, move and view; entry i leads from frame i to i + 1.
        fps: frames per second.
    """

    title: str
    true: np.ndarray
    codec: np.ndarray
    generated: np.ndarray
    actions: np.ndarray
    fps: float


@dataclass(eq=False)
class TrainingContent:
    """How a model was trained and what it can do.

    Attributes:
        steps: (S,) int, step numbers from 1.
        losses: (S,) float, of each step.
        before: validation loss at each noise level (0 clean, 1 noise) before the first step.
        after: the same after the last one.
        facts: what was trained on what, by name.
        walks: what it generates.
    """

    steps: np.ndarray
    losses: np.ndarray
    before: Mapping[float, float] = field(default_factory=dict)
    after: Mapping[float, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    walks: Sequence[WalkContent] = ()


@dataclass(eq=False)
class ReportContent:
    """Everything a report shows; empty parts are left out.

    Attributes:
        title: the headline.
        intro: a paragraph below it.
        steps: what was done, in order, with seconds.
        clips: contact sheet in this order; the first `shown` that have something to show are drawn in detail.
        funnel: the job, a row per pass and per operation; `RunSummary.tables` as they are, or rows made by hand.
        scores: the table of label truth.
        training: the model trained on the clips; None where none was.
        next_command: the command to type next.
        facts: small print, e.g. machine, versions, dataset path, by name.
        shown: how many clips are drawn in detail at most.
    """

    title: str
    intro: str = ""
    steps: list[Step] = field(default_factory=list)
    clips: list[ClipEntry] = field(default_factory=list)
    funnel: Sequence[FunnelRow | Tally] = ()
    scores: list[TruthRow] = field(default_factory=list)
    training: TrainingContent | None = None
    next_command: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    shown: int = 4
