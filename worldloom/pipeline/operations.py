"""The operations of a job in the order in which they run, each with its recipe: known before anything starts."""

from __future__ import annotations

from worldloom.annotators.annotator import GIVERS, Annotator, annotator_class
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.answers import MEMBERS_GIVEN
from worldloom.pipeline.operation import GIVEN_BY, LIMIT_AT_MOST, Operation
from worldloom.pipeline.settings import Job


def ingest_recipe(job: Job) -> str:
    """Digest of what decides how a video becomes clips."""
    return job.ingest.recipe()


def plan_operations(job: Job) -> list[Operation]:
    """The operations of the job, each after those it builds on.

    Raises:
        UsageError: an unknown annotator or key, one that needs what nothing gives, or a circle.
    """
    annotators: dict[str, tuple[str, Annotator]] = {}
    for entry in job.annotate:
        annotator = annotator_class(entry.name)(entry.config)
        if annotator.name in annotators:
            raise UsageError(f"annotate: two entries are called '{annotator.name}'")
        if annotator.gives not in MEMBERS_GIVEN:
            raise UsageError(
                f"annotate: '{annotator.name}' gives '{annotator.gives}', which is no annotation of a clip"
            )
        annotators[annotator.name] = entry.name, annotator
    builds_on = {name: _builds_on(annotator, annotators, job) for name, (_, annotator) in annotators.items()}
    order = _in_order(list(annotators), builds_on)
    recipes = {"frames": ingest_recipe(job)}
    operations = []
    for name in order:
        place, annotator = annotators[name]
        # The clip's own record (its cameras, its time stamps) is part of each row's source digest, not of the recipe.
        recipes[name] = annotator.recipe(
            {"frames": recipes["frames"], **{one: recipes[one] for one in builds_on[name]}}
        )
        operations.append(_operation(place, annotator, builds_on[name], recipes[name]))
    return operations


def _operation(place: str, annotator: Annotator, after: tuple[str, ...], recipe: str) -> Operation:
    resources = annotator.resources
    for name in ("deadline_s", "memory_mb"):
        if not 0 < (value := getattr(resources, name)) <= LIMIT_AT_MOST:
            limit = f"more than 0 and {LIMIT_AT_MOST} at most"
            raise UsageError(f"annotate: '{annotator.name}' declares {name} {value:g}, it must be {limit}")
    return Operation(
        name=annotator.name,
        place=place,
        config=annotator.config.model_dump(mode="json"),
        method=annotator.method,
        version=annotator.version,
        gives=annotator.gives,
        needs=tuple(need for need in annotator.needs if need != "frames"),
        sees=tuple(one for one in dict.fromkeys((*annotator.needs, *annotator.uses)) if one != "frames"),
        sees_frames="frames" in (*annotator.needs, *annotator.uses),
        after=after,
        recipe=recipe,
        cpus=resources.cpus,
        gpus=resources.gpus,
        memory_mb=resources.memory_mb,
        deadline_s=resources.deadline_s,
    )


def _builds_on(annotator: Annotator, known: dict[str, tuple[str, Annotator]], job: Job) -> tuple[str, ...]:
    """Operations of the job that give what the annotator needs or uses."""
    found: list[str] = []
    for member in dict.fromkeys((*annotator.needs, *annotator.uses)):
        if member == "frames":
            continue
        givers = [name for name, (_, other) in known.items() if other.gives == member and name != annotator.name]
        from_source = any(GIVEN_BY.get(name) == member for source in job.sources for name in source.gives())
        if member in annotator.needs and not givers and not from_source:
            add = f"; add '{GIVERS[member]}'" if member in GIVERS else ""
            raise UsageError(f"annotate: '{annotator.name}' needs {member}, which nothing in this job gives{add}")
        found += givers
    return tuple(sorted(set(found)))


def _in_order(names: list[str], builds_on: dict[str, tuple[str, ...]]) -> list[str]:
    order: list[str] = []
    waiting = list(names)
    while waiting:
        ready = [name for name in waiting if all(one in order for one in builds_on[name])]
        if not ready:
            raise UsageError(f"annotate: {', '.join(waiting)} wait for each other")
        order.append(ready[0])
        waiting.remove(ready[0])
    return order
