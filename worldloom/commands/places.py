"""Which dataset or working folder a person means by a path or an address."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from worldloom.catalogs.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from worldloom.catalogs.storage import Store


def place_of(text: str) -> Path | str:
    """What a person wrote, as a folder or as an address."""
    from worldloom.catalogs.storage import is_remote

    return text.rstrip("/") if is_remote(text) else Path(text)


def dataset_of(place: Path | str) -> Path | str:
    """The dataset at `place`, or the one that the run at `place` packed.

    Raises:
        UsageError: there is none.
    """
    from worldloom.catalogs.storage import inside, open_store

    _check_there(place)
    for candidate in (place, inside(place, "dataset")):
        if any(open_store(candidate).names("manifests")):
            return candidate
    if is_run(place):
        raise UsageError(
            f"{place}: this run has not packed a dataset yet; finish it with: worldloom run {place}/job.yaml"
        )
    raise UsageError(f"{place}: neither a dataset (no manifests/) nor the folder of a run (no job.yaml)")


def run_at(place: Path | str) -> Path | str:
    """`place`, if it is the working folder of a run.

    Raises:
        UsageError: it is not.
    """
    _check_there(place)
    if not is_run(place):
        raise UsageError(f"{place}: not the folder of a run (no job.yaml); `out` in the job file says where it is")
    return place


def sole_editor(dataset: Path | str) -> AbstractContextManager[object]:
    """To be held while a dataset is edited or cleaned: of all that take it, one is at work.

    A run does not take it: a takedown need not wait for days, and the run notices at its commit. Nothing is ever
    cleaned in an object store, so there the commit alone decides.

    Args:
        dataset: its folder, which need not be there yet, or its address.

    Raises:
        UsageError: on entering, when another edit or a cleaning is at work.
    """
    from worldloom.catalogs.storage import is_remote
    from worldloom.pipeline.lock import Lock

    return Lock(dataset) if not is_remote(dataset) and Path(dataset).is_dir() else nullcontext()


def is_run(place: Path | str) -> bool:
    """Whether `place` is the working folder of a run."""
    return _store(place).exists("job.yaml")


def _check_there(place: Path | str) -> None:
    from worldloom.catalogs.storage import is_remote

    if not is_remote(place) and not Path(place).is_dir():
        raise UsageError(f"{place}: no such folder")


def _store(place: Path | str) -> Store:
    from worldloom.catalogs.storage import open_store

    return open_store(place)
