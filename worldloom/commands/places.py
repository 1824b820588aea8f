"""Which dataset or working folder a person means by a path."""

from __future__ import annotations

from pathlib import Path

from worldloom.catalogs.errors import UsageError


def dataset_of(place: Path) -> Path:
    """The dataset at `place`, or the one that the run at `place` packed.

    Raises:
        UsageError: there is none.
    """
    if not place.is_dir():
        raise UsageError(f"{place}: no such folder")
    for candidate in (place, place / "dataset"):
        if (candidate / "manifests").is_dir():
            return candidate
    if is_run(place):
        raise UsageError(
            f"{place}: this run has not packed a dataset yet; finish it with: worldloom run {place}/job.yaml"
        )
    raise UsageError(f"{place}: neither a dataset (no manifests/) nor the folder of a run (no job.yaml)")


def run_at(place: Path) -> Path:
    """`place`, if it is the working folder of a run.

    Raises:
        UsageError: it is not.
    """
    if not place.is_dir():
        raise UsageError(f"{place}: no such folder")
    if not is_run(place):
        raise UsageError(f"{place}: not the folder of a run (no job.yaml); `out` in the job file says where it is")
    return place


def is_run(place: Path) -> bool:
    """Whether `place` is the working folder of a run."""
    return (place / "job.yaml").is_file()
