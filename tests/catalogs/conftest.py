"""A bucket for the tests of a file, and datasets in both kinds of stores."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.object_store import object_store
from worldloom.catalogs.storage import open_store


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Address of an empty bucket."""
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as address:
        yield address


@pytest.fixture(params=["folder", "object store"])
def put(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> Callable[[Path], str]:
    """Copies a dataset into a new place, a folder or an object store, and says where."""

    def copy(dataset: Path) -> str:
        if request.param == "folder":
            return str(shutil.copytree(dataset, tmp_path / uuid.uuid4().hex))
        place = f"{bucket}/{uuid.uuid4().hex}/dataset"
        store = open_store(place)
        for path in dataset.rglob("*"):
            if path.is_file():
                store.write(path.relative_to(dataset).as_posix(), path.read_bytes())
        return place

    return copy
