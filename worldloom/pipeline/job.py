"""Job files: YAML in, variables and `key=value` from the command line, and the file that a run leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from worldloom.catalogs.config import load, nearest, parse_yaml, read_yaml
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import absolute, is_remote, open_store
from worldloom.pipeline.check import check_job
from worldloom.pipeline.settings import Job as Job

PATH_KEYS = ("path", "poses", "videos", "plans", "list", "out")
"""Keys whose values are paths: relative to the job file there, to the working directory on the command line."""

ANNOTATOR_PATH_KEYS = ("weights",)
"""The same of annotators."""


def load_job(path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Job:
    """Read a job file and check everything that can be checked before it runs.

    Args:
        path: of the YAML file, which may be the `job.yaml` of a run in an object store. Paths in it are relative to the
            folder it lies in, there to the working directory.
        overrides: `key=value` with dotted keys (`sources.0.path=videos`, `ingest.fps=16`), or the name of one of the
            file's `vars`. Paths in them are relative to the working directory.

    Raises:
        UsageError: what is wrong with the file, with the nearest right key; a folder that is missing.
    """
    values = _stored_yaml(str(path)) if is_remote(path) else read_yaml(path)
    folder = Path() if is_remote(path) else Path(path).parent
    values.setdefault("name", PurePosixPath(path).stem)
    values.setdefault("out", f"runs/{values['name']}")
    variables = values.get("vars") or {}
    if not isinstance(variables, dict):
        raise UsageError(f"{path}: vars: a mapping of names to strings")
    values["vars"] = {str(name): str(value) for name, value in variables.items()}
    values = _make_absolute(values, folder.absolute())
    for key, value in _pairs(overrides):
        _override(values, key, value, str(path))
    values = _substitute(values, values["vars"], str(path))
    # A variable may have completed a path of the file, and may itself be relative to it.
    job = load(Job, _make_absolute(values, folder.absolute()), where=str(path))
    check_job(job)
    return job


def _stored_yaml(place: str) -> dict[str, Any]:
    folder, _, name = place.rpartition("/")
    try:
        return parse_yaml(open_store(folder).read(name), place)
    except FileNotFoundError:
        raise UsageError(f"{place}: no such file") from None


def job_for_folder(folder: str | Path, out: str | Path | None = None, overrides: Sequence[str] = ()) -> Job:
    """The job that `worldloom run FOLDER` stands for: every annotator that needs no weights, the source's frame rate.

    Nothing is required of a clip.

    Args:
        folder: of videos.
        out: working folder; `runs/<folder name>` of the working directory where not given.
        overrides: as for `load_job`.

    Raises:
        UsageError: the folder is missing, or `out` lies inside it.
    """
    from worldloom.annotators.annotator import BY_DEFAULT

    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-.") or "videos"
    values: dict[str, Any] = {
        "name": name,
        "out": str(absolute(out if out is not None else Path("runs", name))),
        "vars": {},
        "sources": [{"kind": "folder", "path": str(folder)}],
        "annotate": list(BY_DEFAULT),
    }
    for key, value in _pairs(overrides):
        _override(values, key, value, str(folder))
    job = load(Job, values, where=str(folder))
    if not is_remote(job.out) and Path(job.out).resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"out: {job.out} lies inside {folder}, and nothing is ever written there; give out=ELSEWHERE")
    check_job(job)
    return job


def job_yaml(job: Job) -> str:
    """The job as YAML that `load_job` reads back to the same job; paths are absolute."""
    values = job.model_dump(mode="json", exclude_unset=True, exclude={"vars"})
    values["annotate"] = [{entry.name: entry.config} if entry.config else entry.name for entry in job.annotate]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _pairs(overrides: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        return list(overrides.items())
    pairs = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"'{text}': expected key=value, e.g. ingest.fps=16")
        try:
            pairs.append((key, yaml.safe_load(value)))
        except yaml.YAMLError as error:
            raise UsageError(f"'{text}': the value is not YAML ({error})") from None
    return pairs


def _override(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    if key in values["vars"]:
        place = Path(str(value)).expanduser()
        values["vars"][key] = str(place.absolute()) if place.exists() else str(value)
        return
    parts = key.split(".")
    keys = ANNOTATOR_PATH_KEYS if parts[0] == "annotate" else PATH_KEYS
    if parts[-1] in keys and isinstance(value, str) and not is_remote(value):
        value = os.path.normpath(Path(value).expanduser().absolute())
    current: Any = values
    for depth, part in enumerate(parts[:-1]):
        current = _step(current, part, ".".join(parts[: depth + 1]), where)
    last = parts[-1]
    if isinstance(current, list):
        current[_number(current, last, key, where)] = value
    elif len(parts) == 1 and last not in Job.model_fields:
        raise UsageError(f"{where}: unknown key '{key}'" + nearest(key, [*values["vars"], *Job.model_fields]))
    else:
        current[last] = value


def _step(current: Any, part: str, so_far: str, where: str) -> Any:
    if isinstance(current, list):
        # `annotate.actions.window_s=0.2` finds the entry by its name.
        for number, entry in enumerate(current):
            if entry == part:
                current[number] = {part: {}}
            if isinstance(current[number], dict) and part in current[number]:
                return current[number][part]
        return current[_number(current, part, so_far, where)]
    if not isinstance(current, dict):
        raise UsageError(f"{where}: '{so_far}' is not a group of keys")
    if current.get(part) is None:
        current[part] = {}
    return current[part]


def _number(entries: list[Any], part: str, key: str, where: str) -> int:
    if not part.isdigit() or int(part) >= len(entries):
        raise UsageError(f"{where}: '{key}': there is no entry '{part}' among {len(entries)}")
    return int(part)


def _substitute(value: Any, variables: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {k: v if k == "vars" else _substitute(v, variables, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(entry, variables, where) for entry in value]
    if not isinstance(value, str):
        return value

    def known(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise UsageError(f"{where}: unknown variable '${{{found[1]}}}'" + nearest(found[1], list(variables)))
        return variables[found[1]]

    return re.sub(r"\$\{([^}]*)\}", known, value)


def _make_absolute(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths of the file made absolute; those that start with a variable wait until it is known."""

    def completed(entry: dict[str, Any], keys: tuple[str, ...] = PATH_KEYS) -> dict[str, Any]:
        return {
            key: os.path.normpath(folder / Path(value).expanduser())
            if key in keys and isinstance(value, str) and not value.startswith("${") and not is_remote(value)
            else value
            for key, value in entry.items()
        }

    sources = values.get("sources")
    if isinstance(sources, list):
        sources = [completed(entry) if isinstance(entry, dict) else entry for entry in sources]
    found = {**completed(values), **({"sources": sources} if sources is not None else {})}
    if isinstance(values.get("annotate"), list):
        found["annotate"] = [
            {
                name: completed(config, ANNOTATOR_PATH_KEYS) if isinstance(config, dict) else config
                for name, config in entry.items()
            }
            if isinstance(entry, dict)
            else entry
            for entry in values["annotate"]
        ]
    return found
