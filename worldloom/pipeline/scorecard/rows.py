"""The rows of the scorecard: figures over all clips, each with its target, verdict and last accepted value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldloom.annotators.measures import EventScores, RevisitScores, action_scores
from worldloom.catalogs.clip import Actions

Verdict = Literal["met", "missed", "none"]
Facts = Mapping[str, Any]

ACCEPTED = Path(__file__).with_name("accepted.json")
"""The last accepted figures, by row key; written by `worldloom scorecard --accept`."""

ACTION_FIGURES = {
    "f1_all": "(i) macro-F1, all ten classes",
    "f1_discrete": "(ii) macro-F1, 0..8 where truth is not 9",
    "f1_settled": "(iii) the same, 3 frames from changes",
    "precision": "(iv) precision of discrete labels",
    "coverage": "(iv) coverage of discrete labels",
    "uncertain_recall": "(v) recall of 9",
}


@dataclass(frozen=True)
class Target:
    """What a figure should reach.

    Attributes:
        sense: `>=` or `<=`.
        value: the limit, inclusive.
    """

    sense: Literal[">=", "<="]
    value: float

    def __str__(self) -> str:
        return f"{self.sense} {self.value:g}"

    def verdict(self, value: float | None) -> Verdict:
        """`missed` as well where there is no value: a figure that cannot be measured is not met."""
        if value is None:
            return "missed"
        return "met" if (value >= self.value if self.sense == ">=" else value <= self.value) else "missed"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        key: its name for machines, stable over versions, e.g. `pose.ate`.
        annotator: whose work it scores.
        measure: what was measured.
        truth: what it is scored on.
        value: the figure; None where nothing could be measured.
        unit: of the value.
        quartiles: lower and upper, where the value is a median.
        target: what it should reach, in words; empty without one.
        verdict: whether it does.
        n: how many things are behind the figure.
        of: what these things are.
        command: what reproduces the figure.
        accepted: the last accepted value.
    """

    key: str
    annotator: str
    measure: str
    truth: str
    value: float | None
    unit: str = ""
    quartiles: tuple[float, float] | None = None
    target: str = ""
    verdict: Verdict = "none"
    n: int = 0
    of: str = "clips"
    command: str = ""
    accepted: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def rows_from(
    clips: Sequence[Facts], command: str, *, truth: str = "rendered worlds", targets: bool = True
) -> list[Row]:
    """Every row that the facts allow.

    Args:
        clips: facts of `score_clip`, plus CPU `seconds` per operation and `rendered_fps` where timed.
        command: what reproduces the figures.
        truth: what the clips are.
        targets: whether the figures are held to their targets.
    """

    def row(key: str, measure: str, value: float | None, target: Target | None = None, **more: Any) -> Row:
        value = None if value is None or not math.isfinite(value) else round(float(value), 6)
        target = target if targets else None
        return Row(
            key=key,
            annotator=key.split(".")[0],
            measure=measure,
            truth=more.pop("truth", truth),
            value=value,
            target=str(target) if target else "",
            verdict=target.verdict(value) if target else "none",
            command=command,
            **more,
        )

    parts = (_pose_rows, _action_rows, _event_rows, _depth_rows, _revisit_rows, _time_rows)
    return [one for part in parts for one in part(clips, row)]


MakeRow = Callable[..., Row]


def _pose_rows(clips: Sequence[Facts], row: MakeRow) -> Iterator[Row]:
    poses = [clip["pose"] for clip in clips]
    if not poses:
        return
    yield row(
        "pose.posed",
        "clips with poses",
        _percent(pose["posed"] for pose in poses),
        Target(">=", 80),
        unit="%",
        n=len(poses),
    )
    frames = sum(clip["frames"] for clip in clips)
    valid = sum(pose["valid_frames"] for pose in poses)
    share = _ratio(100 * valid, frames)
    yield row("pose.frames", "frames with poses", share, unit="%", n=frames, of="frames")
    groups = [group["percent"] for pose in poses for group in pose["groups"] if group["percent"] is not None]
    yield row(
        "pose.ate", "ATE per scale group", _median(groups), Target("<=", 1.0), unit="% of path",
        quartiles=_quartiles(groups), n=len(groups), of="scale groups",
    )  # fmt: skip
    worst = max(groups) if groups else None
    yield row("pose.ate_worst", "ATE, worst scale group", worst, unit="% of path", n=len(groups), of="scale groups")
    turning = _numbers(pose.get("rotation_deg") for pose in poses)
    yield row(
        "pose.rotation", "relative rotation over 1 s", _median(turning), unit="deg", quartiles=_quartiles(turning),
        n=len(turning),
    )  # fmt: skip
    focal = _numbers(pose.get("focal_error_percent") for pose in poses)
    yield row(
        "pose.focal", "error of the focal length", _median(focal), unit="%", quartiles=_quartiles(focal), n=len(focal)
    )
    still = [clip for clip in clips if clip["motion"] in ("turns", "stands")]
    if still:
        invented = sum(clip["pose"].get("translated_frames", 0) > 0 for clip in still)
        yield row(
            "pose.invented", "standing or turning cameras said to travel", invented, Target("<=", 0), n=len(still)
        )


def _action_rows(clips: Sequence[Facts], row: MakeRow) -> Iterator[Row]:
    for version, poses in (("given", "true poses"), ("estimate", "SfM poses")):
        pairs = [(clip["actions"][version], clip["actions"]["truth"]) for clip in clips if version in clip["actions"]]
        if not pairs:
            continue
        scores = action_scores([_actions(found) for found, _ in pairs], [_actions(right) for _, right in pairs])
        frames = sum(len(right["move"]) - 1 for _, right in pairs)
        for group in ("move", "view"):
            for figure, words in ACTION_FIGURES.items():
                target = Target(">=", 0.95) if figure == "f1_settled" and version == "given" else None
                yield row(
                    f"actions.{group}.{figure}.{version}",
                    f"{group}, {words}; on {poses}",
                    scores[f"{group}_{figure}"],
                    target,
                    n=frames,
                    of="frames",
                )


def _event_rows(clips: Sequence[Facts], row: MakeRow) -> Iterator[Row]:
    inputs = (("given", "true tracks"), ("boxes", "true boxes alone"), ("estimate", "tracks from motion"))
    for version, tracks in inputs:
        counted = [EventScores(**clip["events"][version]) for clip in clips if version in clip["events"]]
        if not counted:
            continue
        total = sum(counted, EventScores())
        target = Target(">=", 0.95) if version == "given" else None
        figures = (
            ("f1", "F1 within 2 frames", total.f1, target),
            ("precision", "precision", total.precision, None),
            ("recall", "recall", total.recall, None),
            ("pair_f1", "exit-entry pairs, F1", total.pair_f1, None),
        )
        for name, words, value, wanted in figures:
            yield row(
                f"events.{name}.{version}", f"{words}; on {tracks}", value, wanted, n=total.true, of="true events"
            )


def _depth_rows(clips: Sequence[Facts], row: MakeRow) -> Iterator[Row]:
    for version, poses in (("given", "true poses"), ("estimate", "SfM poses")):
        scores = [clip["depth"][version] for clip in clips if version in clip["depth"]]
        scores = [score for score in scores if score["maps"]]
        if not scores:
            continue
        maps = sum(score["maps"] for score in scores)
        for name, words, target in (("abs_rel", "AbsRel", Target("<=", 0.05)), ("coverage", "coverage", None)):
            values = _numbers(score[name] for score in scores)
            wanted = target if version == "given" else None
            yield row(
                f"depth.{name}.{version}", f"{words}; with {poses}", _median(values), wanted,
                quartiles=_quartiles(values), n=maps, of=f"maps of {len(scores)} clips",
            )  # fmt: skip


def _revisit_rows(clips: Sequence[Facts], row: MakeRow) -> Iterator[Row]:
    for version, poses in (("given", "true poses"), ("estimate", "SfM poses")):
        scores = [clip["revisits"][version] for clip in clips if version in clip.get("revisits", {})]
        if not scores:
            continue
        total = sum((RevisitScores(**score) for score in scores), RevisitScores())
        for name, value in (("precision", total.precision), ("recall", total.recall)):
            yield row(f"revisits.{name}.{version}", f"{name}; with {poses}", value, n=total.true, of="true pairs")


def _time_rows(clips: Sequence[Facts], row: MakeRow) -> Iterator[Row]:
    speed = _numbers(clip.get("rendered_fps") for clip in clips)
    if speed:
        yield row(
            "synth.fps",
            "rendering with truth, one clip at a time",
            _median(speed),
            unit="frames/s",
            quartiles=_quartiles(speed),
            n=len(speed),
        )
    for name, words in (("pose", "SfM"), ("depth", "multi-view depth"), ("subjects", "tracks from motion")):
        seconds = _numbers(clip.get("seconds", {}).get(name) for clip in clips)
        if seconds:
            yield row(
                f"{name}.seconds", f"{words}, CPU time per clip", _median(seconds), unit="s",
                quartiles=_quartiles(seconds), n=len(seconds),
            )  # fmt: skip


def with_accepted(rows: Iterable[Row], path: Path = ACCEPTED) -> list[Row]:
    """The rows with their last accepted figures beside them."""
    figures = accepted_figures(path)
    return [replace(row, accepted=figures.get(row.key)) for row in rows]


def accepted_figures(path: Path = ACCEPTED) -> dict[str, float]:
    """The last accepted figures by row key; none where no file was written yet."""
    if not path.is_file():
        return {}
    return {key: float(value) for key, value in json.loads(path.read_text(encoding="utf-8"))["figures"].items()}


def accept(rows: Sequence[Row], path: Path = ACCEPTED) -> None:
    """Write the figures of `rows` as accepted, beside those of rows that are not among them."""
    figures = accepted_figures(path) | {row.key: row.value for row in rows if row.value is not None}
    path.write_text(json.dumps({"figures": dict(sorted(figures.items()))}, indent=2) + "\n", encoding="utf-8")


def _actions(labels: Mapping[str, list[int]]) -> Actions:
    move, view = (np.asarray(labels[name], np.uint8) for name in ("move", "view"))
    blank = np.full((len(move), 4), np.nan)
    return Actions(move, view, blank[:, :2].astype(np.float32), blank)


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _quartiles(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    low, high = np.percentile(values, [25, 75])
    return round(float(low), 6), round(float(high), 6)


def _percent(flags: Iterable[bool]) -> float:
    values = list(flags)
    return 100 * sum(values) / len(values)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
