from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.walks import walk, write_dataset


@pytest.fixture(scope="session")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training clips of 21 to 31 frames and two of the test split; read only."""
    clips = [walk(i, frames=21 + 2 * i) for i in range(6)] + [walk(6), walk(7, frames=25)]
    return write_dataset(tmp_path_factory.mktemp("walks"), clips, ["train"] * 6 + ["test"] * 2)
