"""What an annotator is: strict configuration, what it needs and gives, and one method from a clip to an answer.

An annotator knows neither Ray nor the dataset. A person calls it in a notebook on ten frames:

    answer = ActionAnnotator().annotate(clip, scratch=Path("scratch"))
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from worldloom.catalogs.clip import Annotation, Clip
from worldloom.catalogs.config import Strict, digest, load, nearest
from worldloom.catalogs.errors import UsageError


@dataclass(frozen=True)
class Resources:
    """What one running copy takes.

    Attributes:
        cpus: cores; what changes bytes runs on one thread each.
        gpus: share of a GPU.
        memory_mb: what the child process may use beyond what its imports took; decoded frames of the clip count, and
            what operations before this one have kept. On CPUs address space too, on a GPU resident memory alone.
        deadline_s: wall-clock limit per clip.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 4096
    deadline_s: float = 600.0


@dataclass(frozen=True)
class Given:
    """An annotation.

    Attributes:
        value: what belongs into the member of `Clip` that the annotator `gives`.
        method: who says so; the annotator's own method where empty.
        confidence: in [0, 1], over the clip.
        notes: figures worth keeping, plain JSON values, reproducible (no wall-clock times).
    """

    value: Any
    method: str = ""
    confidence: float = 1.0
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Absent:
    """An answer as well: there is nothing to say, for this reason (`no parallax`). Never retried."""

    reason: str
    notes: dict[str, Any] = field(default_factory=dict)


class Annotator(ABC):
    """One kind of label.

    Attributes:
        name: of the operation, e.g. `pose`.
        version: changes whenever results may change.
        method: how it works, e.g. `sfm`.
        needs: which of `frames`, `camera`, `actions`, `subjects`, `events`, `depth` must be there.
        uses: which of those it takes into account where they are there; it sees nothing else of the clip.
        gives: the member of `Clip` it fills, e.g. `camera`.
        Config: strict configuration; everything in it that changes results.
        resources: what one running copy takes.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    method: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("frames",)
    uses: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[str]
    Config: ClassVar[type[Strict]]
    resources: ClassVar[Resources] = Resources()

    def __init__(self, config: Strict | Mapping[str, Any] | None = None) -> None:
        if isinstance(config, Strict):
            self.config: Any = config
        else:
            self.config = load(type(self).Config, config or {}, where=f"annotator {self.name}")

    @abstractmethod
    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Look at `clip` and answer; files go into `scratch` only. Deterministic, on one thread."""

    def recipe(self, needed: Mapping[str, str]) -> str:
        """Digest of what decides the result: name, version, configuration, and the recipes of what it needs."""
        return digest([self.name, self.version, self.config.model_dump(mode="json"), dict(needed)])

    def record(self, answer: Given | Absent) -> Annotation:
        """The line of `Clip.annotations` for an answer."""
        if isinstance(answer, Absent):
            return Annotation("absent", self.method, self.version, answer.reason, 0.0, dict(answer.notes))
        method = answer.method or self.method
        return Annotation("ok", method, self.version, "", float(answer.confidence), dict(answer.notes))


ANNOTATORS = {
    "quality": "worldloom.annotators.quality:QualityAnnotator",
    "fingerprint": "worldloom.annotators.fingerprint:FingerprintAnnotator",
    "embedding": "worldloom.annotators.embedding:EmbeddingAnnotator",
    "shots": "worldloom.annotators.shots:ShotAnnotator",
    "pose": "worldloom.annotators.pose.annotator:PoseAnnotator",
    "actions": "worldloom.annotators.actions:ActionAnnotator",
    "subjects": "worldloom.annotators.subjects:SubjectAnnotator",
    "events": "worldloom.annotators.events:EventAnnotator",
    "depth": "worldloom.annotators.depth:DepthAnnotator",
    "revisits": "worldloom.annotators.revisits:RevisitAnnotator",
}
"""Every annotator by name, in an order in which each finds what it needs; add yours here."""

BY_DEFAULT = tuple(name for name in ANNOTATORS if name != "embedding")
"""Those that run where nobody names any: all that need no weights."""

GIVERS = {"camera": "pose", "actions": "actions", "subjects": "subjects", "events": "events", "depth": "depth"}
"""Which annotator fills a need that another one has."""


def annotator_class(name: str) -> type[Annotator]:
    """The class registered as `name`, or the one at `module:Class`.

    Raises:
        UsageError: no such annotator, with the nearest name.
    """
    place = ANNOTATORS.get(name, name)
    if ":" not in place:
        raise UsageError(f"annotate: unknown annotator '{name}'" + nearest(name, list(ANNOTATORS)))
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"annotate: '{name}' cannot be loaded ({error})") from None
    if not (isinstance(found, type) and issubclass(found, Annotator)):
        raise UsageError(f"annotate: '{name}' is not a subclass of worldloom.annotators.annotator.Annotator")
    return found
