"""Worlds that render themselves: videos whose every label is known. What is true of them is kept aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from worldloom.catalogs.config import load, read_yaml
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.sources.footage import Footage, Workplace
from worldloom.pipeline.sources.source import Source, SourceItem

if TYPE_CHECKING:
    from worldloom.synth.plan import WorldPlan


class WorldsSource(Source):
    """Rendered worlds, planned by number and seed, or read from a file of plans.

    Attributes:
        count: how many worlds to plan.
        seed: of the plans.
        plans: YAML file with `worlds:`, a list of plans, instead of `count`.
        settings: keys of every planned world to overwrite (`frames`, `width`, `height`, `fps`, ...).
        give: what the source tells the job about its clips; everything else is kept aside as truth, so that
            annotators find it out by themselves and can be scored.
    """

    execution_keys: ClassVar[tuple[str, ...]] = ("count", "settings")  # what they say is in each plan

    kind: Literal["worlds"]
    count: int | None = Field(default=None, ge=1, le=100_000)
    seed: int = 0
    plans: Path | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    give: tuple[Literal["pose", "subjects"], ...] = ()

    def gives(self) -> tuple[str, ...]:
        """What `give` says."""
        return self.give

    def worlds(self) -> list[WorldPlan]:
        """The plans.

        Raises:
            UsageError: neither or both of `count` and `plans`, or a plan that is none.
        """
        from worldloom.synth.plan import WorldPlan

        if (self.count is None) == (self.plans is None):
            raise UsageError("worlds: give one of count and plans")
        if self.plans is None:
            return _planned(self.count or 0, self.seed, json.dumps(self.settings))
        rows = read_yaml(self.plans).get("worlds")
        if not isinstance(rows, list):
            raise UsageError(f"{self.plans}: the key 'worlds' with a list of plans is missing")
        return [
            load(WorldPlan, {**row, **self.settings}, where=f"{self.plans} worlds.{i}") for i, row in enumerate(rows)
        ]

    def items(self) -> Iterator[SourceItem]:
        """One item per plan; its place is the attribute `scene`, what it was drawn for is `plan`."""
        from worldloom.synth.render import VERSION

        source = self.model_dump(mode="json")
        for plan in self.worlds():
            values = plan.model_dump(mode="json")
            attributes: dict[str, str | float | bool] = {"scene": plan.place}
            if plan.kind:
                attributes["plan"] = plan.kind
            made_by = f"renderer {VERSION}"
            yield SourceItem(
                source, plan.name, licence=self.licence, plan=values, made_by=made_by, attributes=attributes
            )

    def check(self, where: str, fps: float | None, height: int | None, max_seconds: float) -> None:
        """Truth is known frame by frame, so worlds must be rendered as the clips shall be."""
        super().check(where, fps, height, max_seconds)
        for plan in self.worlds():
            seconds = plan.frames / plan.fps
            if fps is not None and fps != plan.fps:
                what = f"is rendered at {plan.fps:g} frames/s and ingest.fps asks for {fps:g}: set settings.fps"
            elif height is not None and plan.height > height:
                what = f"is rendered {plan.height} pixels high and ingest.height allows {height}: set settings.height"
            elif seconds > max_seconds:
                what = f"lasts {seconds:g} s and ingest.max_seconds allows {max_seconds:g}: set settings.frames"
            else:
                continue
            raise UsageError(f"{where}: world '{plan.name}' {what}")

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """Render the world of the item; its plan stands for the file, and its truth comes along."""
        from worldloom.synth.plan import WorldPlan
        from worldloom.synth.render import render_world

        plan = WorldPlan.model_validate(item.plan)
        video = workplace.scratch / "world.mp4"
        truth = render_world(plan, video)
        return Footage(video=video, sha256=plan.sha256, cuttable=False, truth=truth)


@cache
def _planned(count: int, seed: int, settings: str) -> list[WorldPlan]:
    """Plans are asked for several times in a run, and finding free ways through a world takes a second."""
    from worldloom.synth.planner import plan_worlds

    return plan_worlds(count, seed=seed, **json.loads(settings))
