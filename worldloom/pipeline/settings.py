"""What a job is: strict configuration of the four passes, and what can be checked before anything runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    WrapValidator,
    field_validator,
    model_validator,
)

from worldloom.catalogs.attributes import NAME
from worldloom.catalogs.config import Strict, digest, nearest
from worldloom.catalogs.storage import is_remote
from worldloom.pipeline.likeness import Duplicates
from worldloom.pipeline.operation import LIMIT_AT_MOST
from worldloom.pipeline.rules import RULES, SETS, expanded
from worldloom.pipeline.sources.colmap import ColmapSource
from worldloom.pipeline.sources.context_as_memory import ContextAsMemorySource
from worldloom.pipeline.sources.egodex import EgoDexSource
from worldloom.pipeline.sources.folder import FolderSource
from worldloom.pipeline.sources.hm_world import HMWorldSource
from worldloom.pipeline.sources.hydra import HydraSource
from worldloom.pipeline.sources.lerobot import LeRobotSource
from worldloom.pipeline.sources.outside import of_any_module
from worldloom.pipeline.sources.realestate10k import RealEstate10KSource
from worldloom.pipeline.sources.recammaster import ReCamMasterSource
from worldloom.pipeline.sources.unreal import UnrealSource
from worldloom.pipeline.sources.vipe import VipeSource
from worldloom.pipeline.sources.web import WebSource
from worldloom.pipeline.sources.webdataset import WebDatasetSource
from worldloom.pipeline.sources.worlds import WorldsSource

_OurSource = Annotated[
    FolderSource
    | WebSource
    | RealEstate10KSource
    | EgoDexSource
    | UnrealSource
    | HydraSource
    | HMWorldSource
    | ContextAsMemorySource
    | ReCamMasterSource
    | VipeSource
    | ColmapSource
    | WebDatasetSource
    | LeRobotSource
    | WorldsSource,
    Field(discriminator="kind"),
]

AnySource = Annotated[SerializeAsAny[_OurSource], WrapValidator(of_any_module)]
"""One of the above, or somebody else's: `kind: "module:Class"`."""

INGEST_VERSION = "2"
"""Changes whenever ingest makes other clips of the same video."""


_SPLIT_BY = ("source", "scene", "subject", "clip")
SplitName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
"""Part of the names of shards."""


class Ingest(Strict):
    """From videos to clips.

    Attributes:
        fps: frames per second of the clips; the source's mean rate where not given.
        height: pixels, a maximum: pictures are made smaller, never larger.
        min_seconds: clips shorter than this are left out; T / fps, inclusive.
        max_seconds: longer shots are cut into equal parts no longer than this.
        crf: quality of H.264, lower is better; 18 is visually lossless (default ours).
        shots: cut at shot changes. Sources that know their cameras deliver single shots and are never cut.
    """

    fps: float | None = Field(default=None, gt=0, le=240)
    height: int | None = Field(default=None, ge=16, le=8192)
    min_seconds: float = Field(default=1.0, ge=0)
    max_seconds: float = Field(default=60.0, gt=0)
    crf: int = Field(default=18, ge=0, le=51)
    shots: bool = True

    @model_validator(mode="after")
    def _lengths(self) -> Ingest:
        # A shot a little longer than max_seconds is halved; its halves must not fall below min_seconds.
        if self.max_seconds < 2 * self.min_seconds:
            raise ValueError(f"max_seconds must be at least twice min_seconds ({self.min_seconds:g})")
        return self

    def recipe(self) -> str:
        """Digest of what decides how a video becomes clips."""
        return digest(["ingest", INGEST_VERSION, self.model_dump(mode="json")])


class Derive(Strict):
    """Clips made from chosen clips; exactly one of `reverse` and `window_frames`.

    Attributes:
        reverse: `loop` walks there and back (2T - 1 frames), `plain` runs backwards (T frames).
        window_frames: non-overlapping windows of this many frames.
        share: of the chosen clips that get one, picked by the hash of their key.
    """

    reverse: Literal["loop", "plain"] | None = None
    window_frames: int | None = Field(default=None, ge=2)
    share: float = Field(default=1.0, ge=0, le=1)

    @model_validator(mode="after")
    def _one_operation(self) -> Derive:
        if (self.reverse is None) == (self.window_frames is None):
            raise ValueError("give one of reverse: loop, reverse: plain, window_frames: N")
        return self


class Split(Strict):
    """Which clips go on which side; what comes from one source never lies on two, see `worldloom.pipeline.splits`.

    Attributes:
        by: what stays together beside sources: `source` (nothing more), `scene`, `subject` or any other attribute of
            the clips (`attributes.weather`). `clip` decides clip by clip, and lets clips of one video fall apart.
        test: share of the units that goes to the split `test`.
        val: share that goes to `val`.
        shares: of further splits, by name. What is left is `train`.
        pins: by split, what is held on it: URIs, keys, `sha256:HEX` of sources, values of the attribute.
    """

    REST: ClassVar[str] = "train"

    by: str = "source"
    test: float = Field(default=0.0, ge=0, le=1)
    val: float = Field(default=0.0, ge=0, le=1)
    shares: dict[SplitName, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    pins: dict[SplitName, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("by")
    @classmethod
    def _something_clips_have(cls, value: str) -> str:
        if value in _SPLIT_BY or ("." in value and NAME.match(value.removeprefix("attributes."))):
            return value
        raise ValueError(f"'{value}' is none of {', '.join(_SPLIT_BY)} or attributes.NAME{nearest(value, _SPLIT_BY)}")

    @model_validator(mode="after")
    def _no_more_than_all(self) -> Split:
        for name in (self.REST, "test", "val"):
            if name in self.shares:
                what = "what is left" if name == self.REST else f"a key of its own ({name}: {self.shares[name]:g})"
                raise ValueError(f"shares: '{name}' is {what}")
        if (total := sum(self.wanted().values())) > 1 + 1e-9:
            raise ValueError(f"the shares of the splits add up to {total:g}, 1 at most")
        return self

    @property
    def attribute(self) -> str:
        """Name of the attribute that is split by; empty where none is."""
        if self.by in ("source", "clip"):
            return ""
        return self.by.removeprefix("attributes.")

    def wanted(self) -> dict[str, float]:
        """Share by split, without the rest, in the order in which sides are drawn."""
        every = {"test": self.test, "val": self.val, **self.shares}
        return {name: share for name, share in every.items() if share > 0}


class Compose(Strict):
    """From clips to chosen clips; every drop has a reason.

    Attributes:
        require: operations that must have ended `ok`; else the clip is dropped as `missing_<operation>`.
        rules: conditions ready to use, by name, or whole sets of them (`default`); see `worldloom.pipeline.rules`. They
            are asked before `where`, and require the operations whose figures they ask for.
        where: a DuckDB condition over the clip's figures (`quality.sharpness > 0.2`), counted as `where`; or several
            by the reason they are counted under (`{too_dark: "quality.brightness > 0.1"}`).
        duplicates: what to do about near-duplicates, after all conditions; nothing is looked for where not given.
            `best` and `all` are short for `{keep: best}` and `{keep: all}`.
        derive: clips to make from the chosen ones.
        limit: at most so many chosen clips, picked by the hash of their key.
        split: into train, test and others.
    """

    require: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    where: str | dict[str, str] | None = None
    duplicates: Duplicates | None = None
    derive: tuple[Derive, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    split: Split = Split()

    @field_validator("rules", mode="before")
    @classmethod
    def _known_rules(cls, value: Any) -> Any:
        names = (value,) if isinstance(value, str) else value
        for name in names if isinstance(names, list | tuple) else ():
            if name not in RULES and name not in SETS:
                raise ValueError(f"no rule is called '{name}'" + nearest(str(name), [*SETS, *RULES]))
        return names

    @field_validator("duplicates", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"keep": value} if isinstance(value, str) else value

    def required(self) -> tuple[str, ...]:
        """Operations that must have ended `ok`: of `require`, and those whose figures `rules` ask for."""
        needed = (name for rule in expanded(self.rules).values() for name in rule.needs)
        return tuple(dict.fromkeys((*self.require, *needed)))

    def conditions(self) -> dict[str, str]:
        """Conditions by the reason a clip is dropped for; of one name, the one that `where` gives counts."""
        found = {name: rule.condition for name, rule in expanded(self.rules).items()}
        if self.where is None:
            return found
        return {**found, **({"where": self.where} if isinstance(self.where, str) else self.where)}


class Pack(Strict):
    """From chosen clips to shards.

    Attributes:
        target_mb: size of a shard, in 10^6 bytes; the last of a bucket is smaller.
        max_samples: of a shard; as many as fit where not given.
        bucket_by: clips of one shard agree in these: `resolution`, `frames` (their exact number), or `length` (frames
            1 to 16, 17 to 32, 33 to 64, and so on).
        append: leave the shards of the dataset as they are, and put only new samples into new ones. Otherwise the
            plan is a function of the contents alone, so that any two runs make the same shards.
    """

    target_mb: float = Field(default=512, gt=0)
    max_samples: int | None = Field(default=None, ge=1)
    bucket_by: tuple[Literal["resolution", "frames", "length"], ...] = ("resolution",)
    append: bool = False


class Bounds(Strict):
    """How many actors a pool may have; on a cluster it grows and shrinks between the two.

    Attributes:
        min: actors that have to start before the work does.
        max: actors at most; as many as fit where not given.
    """

    min: int = Field(default=1, ge=1, le=4096)
    max: int | None = Field(default=None, ge=1, le=4096)

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max}, it must be at least min ({self.min})")
        return self


Workers = Annotated[int, Field(ge=1, le=4096)] | Bounds


class Execution(Strict):
    """How the work is run; nothing in here changes a result, and nothing in here is part of a recipe.

    Attributes:
        workers: processes that work at once, a number or `{min: 1, max: 8}`; where not given, the cores of this
            machine, or what fits on the cluster.
        gpu_workers: the same for operations that use a GPU; as many as the GPUs take where not given.
        deadline_s: wall-clock limit per clip and operation, 1e7 at most; each operation's own where not given.
        memory_mb: memory one child process may use beyond what its imports took; each operation's own where not given.
        recycle_after: calls after which a child process is replaced.
        failure_budget: share of failed inputs of a pass above which the run ends with exit code 3.
        object_store_mb: of Ray on one machine; rows are small, frames never enter it.
        address: of a Ray cluster; a local one is started where not given.
    """

    workers: Workers | None = None
    gpu_workers: Workers | None = None
    deadline_s: float | None = Field(default=None, gt=0, le=LIMIT_AT_MOST)
    memory_mb: int | None = Field(default=None, ge=64, le=LIMIT_AT_MOST)
    recycle_after: int = Field(default=200, ge=1, le=LIMIT_AT_MOST)
    failure_budget: float = Field(default=0.05, ge=0, le=1)
    object_store_mb: int = Field(default=300, ge=80)
    address: str | None = None

    def asked(self, workers: int | None, address: str | None) -> Execution:
        """The same, with what somebody asks for instead; None for what nobody does."""
        changes = {name: value for name, value in (("workers", workers), ("address", address)) if value is not None}
        return self.model_copy(update=changes)

    def bounds(self, gpus: float) -> Bounds:
        """Of the pool of an operation that takes so many GPUs per actor."""
        asked = self.gpu_workers if gpus else self.workers
        if isinstance(asked, int):
            return Bounds(max=asked)
        return asked or Bounds()

    @property
    def worker_count(self) -> int:
        """Workers asked for, or one per core this process may use."""
        if (asked := self.bounds(gpus=0).max) is not None:
            return asked
        return self.cores

    @property
    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Annotate(Strict):
    """One operation of the annotate pass: a registered name or `module:Class`, and its configuration."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


class Job(Strict):
    """A job file; see `worldloom.pipeline.job.load_job`.

    Attributes:
        name: of the dataset.
        out: working folder, or `s3://bucket/prefix`.
        vars: strings that `${name}` in other values stands for.
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    out: Path | str
    vars: dict[str, str] = Field(default_factory=dict)
    sources: tuple[AnySource, ...] = Field(min_length=1)
    ingest: Ingest = Ingest()
    annotate: tuple[Annotate, ...] = ()
    compose: Compose = Compose()
    pack: Pack = Pack()
    execution: Execution = Execution()

    @field_validator("out", mode="before")
    @classmethod
    def _a_path_or_an_address(cls, value: Any) -> Any:
        return Path(value) if isinstance(value, str) and not is_remote(value) else value

    @field_validator("annotate", mode="before")
    @classmethod
    def _names_or_mappings(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("a list of names, or of {name: {key: value}}")
        return tuple(_annotate_entry(entry) for entry in value)

    @model_validator(mode="after")
    def _annotate_once(self) -> Job:
        names = [entry.name for entry in self.annotate]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"annotate names '{name}' twice")
        return self


def _annotate_entry(entry: Any) -> Any:
    if isinstance(entry, Annotate):
        return entry
    if isinstance(entry, str):
        return {"name": entry}
    if isinstance(entry, dict) and len(entry) == 1 and not {"name", "config"} & set(entry):
        name, config = next(iter(entry.items()))
        if config is not None and not isinstance(config, dict):
            raise ValueError(f"annotate: the configuration of '{name}' is a mapping of keys to values")
        return {"name": name, "config": config or {}}
    return entry
