"""The guided demo: worlds whose every label is known go through the same job as anybody's videos, as if unknown.

Each step says what it does and what it took. Run it again and it resumes: finished work is not done twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom import console

if TYPE_CHECKING:
    from worldloom.catalogs.verify import VerifyReport
    from worldloom.pipeline.funnel import RunSummary
    from worldloom.pipeline.scorecard.suite import Scorecard
    from worldloom.pipeline.settings import Job
    from worldloom.report.content import FunnelRow, ReportContent, Step, TrainingContent, TruthRow

SEED = 0
"""Of the plans."""

DOES = {
    "ingest": "Render the worlds and ingest their videos",
    "annotate": "Find cameras by structure from motion, then actions, subjects, exits and entries, depth, revisits",
    "pack": "Choose clips, derive loops that walk there and back, pack shards, commit the dataset",
    "verify": "Check every member of every shard",
    "score": "Score every label against the renderer's truth",
    "train": "Train a small model on the shards",
    "generate": "Generate a walk from one frame of a clip that it was not trained on, and the true actions",
    "report": "Draw the report",
}
"""What each step does, by stage."""

MIDDLE = ("pose.posed", "pose.ate", "pose.rotation")
"""Rows of label truth that are said at the end; the report has them all."""


@dataclass(frozen=True)
class DemoResult:
    """How the demo ended.

    Attributes:
        report: the page to open.
        exit_code: as of `worldloom run`; 1 if the dataset does not verify.
        next_command: what to type next.
    """

    report: Path
    exit_code: int
    next_command: str


def run_demo(
    out: Path,
    *,
    worlds: int = 5,
    workers: int | None = None,
    settings: dict[str, Any] | None = None,
    model: bool = True,
) -> DemoResult:
    """Render, ingest, label, compose, pack, verify, score, train, generate and report.

    Args:
        out: working folder.
        worlds: how many.
        workers: clips worked on at once; one per core where not given.
        settings: keys of every planned world to overwrite, for a smaller demo.
        model: train one on what was packed, and generate with it.
    """
    job = demo_job(out, worlds, settings or {})
    console.say(f"worldloom demo: {worlds} rendered worlds, labelled as if nothing were known about them")
    command = f"worldloom demo --worlds {worlds}"
    with Diary() as diary:
        from worldloom.pipeline.run import run_job
        from worldloom.pipeline.scorecard.suite import score_run

        summary = run_job(job, workers=workers, progress=diary)
        report = _verify(diary, summary)
        count = workers or job.execution.worker_count
        card = score_run(out, workers=count, progress=diary, command=command)
        _keep(out, summary, card)
        training = _train(diary, out, summary) if model and report is not None and not report.problems else None
        page = _draw(diary, out, summary, card, training)
    _say_what_came_out(summary, card)
    failed = report is None or bool(report.problems)
    return DemoResult(page, 1 if failed else summary.exit_code, "worldloom run FOLDER")


def demo_job(out: Path, worlds: int, settings: dict[str, Any]) -> Job:
    """The job of the demo: rendered worlds as a source, everything else as for anybody's videos."""
    from worldloom.catalogs.config import load
    from worldloom.pipeline.check import check_job
    from worldloom.pipeline.settings import Job

    values = {
        "name": "demo",
        "out": str(out.absolute()),
        "sources": [{"kind": "worlds", "count": worlds, "seed": SEED, "settings": settings, "licence": "CC0-1.0"}],
        "annotate": ["quality", "pose", "actions", "subjects", "events", "depth", "revisits"],
        "compose": {"derive": [{"reverse": "loop"}], "split": {"by": "source", "test": 0.2}},
        "pack": {"target_mb": 64},
    }
    job = load(Job, values, where="demo")
    check_job(job)
    return job


class Diary(console.StageProgress):
    """Progress that says in words what each stage does, and remembers what it took."""

    def __init__(self) -> None:
        super().__init__()
        self._began: dict[str, float] = {}
        self.took: dict[str, tuple[float, str]] = {}

    def start(self, stage: str, total: int | None, note: str = "") -> None:
        """A stage begins: say so."""
        self._began[stage] = time.monotonic()
        console.say(f"- {DOES.get(stage, stage)}")
        super().start(stage, total, note)

    def finish(self, stage: str, note: str = "") -> None:
        """A stage is over: remember it."""
        super().finish(stage, note)
        if stage in self._began:
            self.took[stage] = (time.monotonic() - self._began.pop(stage), note)

    @contextmanager
    def step(self, stage: str) -> Iterator[Callable[[str], None]]:
        """A stage of one item; call what it gives with a line on what came out."""
        said: list[str] = []
        self.start(stage, 1)
        yield said.append
        self.advance(stage)
        self.finish(stage, " ".join(said))


def steps_of(out: Path, took: Mapping[str, tuple[float, str]]) -> list[Step]:
    """What was done, for the report; what an earlier run finished keeps the time that it took then.

    Args:
        out: working folder; keeps the times.
        took: seconds and a line on what came out, by stage, of this run.
    """
    from worldloom.pipeline.ledger import Ledger
    from worldloom.report.content import Step

    kept = out / "steps.json"
    known: dict[str, tuple[float, str]] = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    new = {stage: [seconds, note] for stage, (seconds, note) in took.items() if stage in DOES}
    kept.write_text(json.dumps({**known, **new}), encoding="utf-8")
    per_clip = sorted(Ledger(out).seconds_per_row().items(), key=lambda entry: -entry[1])
    labels = ", ".join(f"{name} {console.duration(seconds)}" for name, seconds in per_clip if name not in DOES)
    steps = []
    for stage, does in DOES.items():
        spent, note = took.get(stage) or known.get(stage) or (None, "")
        if spent is not None:
            says = [
                note,
                f"per clip: {labels}" if stage == "annotate" else "",
                "" if stage in took else "in an earlier run",
            ]
            steps.append(Step(does, spent, "; ".join(filter(None, says))))
    return steps


def contents(
    summary: RunSummary, card: Scorecard, steps: list[Step], training: TrainingContent | None = None
) -> ReportContent:
    """What the report shows of a finished run over rendered worlds."""
    from worldloom.pipeline.workspace import Workspace
    from worldloom.report.content import ClipEntry, ReportContent

    space = Workspace(summary.out)
    clips = [space.load(key) for key in space.clips()]
    clips.sort(key=lambda clip: clip.provenance.uri)
    return ReportContent(
        title="worldloom demo",
        intro=(
            f"{len(clips)} worlds were rendered, and everything about them is known: where the camera was, what it was "
            "told to do, who was in sight, how far away everything is. Their videos then went through the same job as "
            "anybody's, which was told none of it. Below is what the job found, beside the truth."
        ),
        steps=steps,
        clips=[ClipEntry(clip, space.truth(clip.key), title=clip.provenance.uri) for clip in clips],
        funnel=funnel_rows(summary),
        scores=truth_rows(card),
        training=training,
        next_command="worldloom run FOLDER",
        facts={"dataset": str(summary.dataset or ""), **card.machine},
        shown=len(clips),
    )


def funnel_rows(summary: RunSummary) -> list[FunnelRow]:
    """The table of the job as the report draws it."""
    from worldloom.report.content import FunnelRow

    return [
        FunnelRow(
            f"{tally.part_of}: {tally.name}" if tally.part_of else tally.name,
            tally.inputs,
            tally.ok,
            tally.dropped,
            tally.failed,
            tally.absent,
            None if tally.out == tally.ok else tally.out,
        )
        for tally in summary.tables
    ]


def truth_rows(card: Scorecard) -> list[TruthRow]:
    """The table of label truth as the report draws it."""
    from worldloom.report.content import TruthRow

    return [
        TruthRow(
            row.measure,
            row.value,
            row.target,
            row.verdict,
            row.n,
            row.unit,
            row.command,
            f"quartiles {row.quartiles[0]:.3g} to {row.quartiles[1]:.3g}" if row.quartiles else "",
            row.annotator,
        )
        for row in card.rows
    ]


def _verify(diary: Diary, summary: RunSummary) -> VerifyReport | None:
    from worldloom.catalogs.verify import verify

    if summary.dataset is None:
        console.error(f"nothing was packed; see: worldloom status {summary.out}")
        return None
    with diary.step("verify") as says:
        report = verify(summary.dataset)
        says(f"{report.shards} shards, {report.samples} samples, {len(report.problems)} problems")
    for problem in report.problems:
        console.error(str(problem))
    return report


def _keep(out: Path, summary: RunSummary, card: Scorecard) -> None:
    """The scorecard beside the run, and in the card of the dataset."""
    from worldloom.catalogs.card import write_card

    place = out / "scorecard.json"
    card.save(place)
    if summary.dataset is not None:
        write_card(summary.dataset, place)


def _train(diary: Diary, out: Path, summary: RunSummary) -> TrainingContent | None:
    """The second half; needs a held-out clip, so more than one world."""
    from worldloom.catalogs.dataset import ShardDataset
    from worldloom.demo_model import demo_recipe, train_and_walk
    from worldloom.pipeline.workspace import Workspace

    if summary.dataset is None or set(ShardDataset(summary.dataset).table.column("split").to_pylist()) < {
        "train",
        "test",
    }:
        console.say("no model is trained: with a single world there is none left to test it on")
        return None
    space = Workspace(summary.out)
    truths = {key: truth for key in space.clips() if (truth := space.truth(key)) is not None}
    dataset = Path(summary.dataset)
    content = train_and_walk(out, dataset, truths, diary)
    run = demo_recipe(out, dataset).out
    console.say(f"walk with it: worldloom generate {run} --image PICTURE --actions 'w w a a'")
    return content


def _draw(diary: Diary, out: Path, summary: RunSummary, card: Scorecard, training: TrainingContent | None) -> Path:
    from worldloom.report.demo_page import write_report

    page = out / "report.html"
    steps = steps_of(out, diary.took)
    with diary.step("report"):
        write_report(page, contents(summary, card, steps, training))
    return page


def _say_what_came_out(summary: RunSummary, card: Scorecard) -> None:
    for note in summary.notes:
        console.say(note)
    for tally in summary.tables:
        lost = {**tally.absent, **tally.dropped, **tally.failed}
        if lost:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
            console.say(f"{tally.name}: {tally.ok} of {tally.inputs}; {reasons}")
    rows = [row for row in card.rows if row.key in MIDDLE or row.target]
    console.table(
        ["label truth", "value", "target", "verdict"],
        [
            [
                f"{row.annotator}: {row.measure}",
                "-" if row.value is None else f"{row.value:.3g} {row.unit}".strip(),
                row.target,
                row.verdict if row.target else "",
            ]
            for row in rows
        ],
    )
