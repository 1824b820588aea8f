"""Every reader, on seeded damage: read, refused with a reason, or contained; the long run is benchmarks/fuzz.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import cases
from tests.fuzz.cases import damaged, fuzz_kind
from tests.fuzz.kinds import KINDS, Kind
from worldloom.catalogs.errors import BadInput

SEED = 20_240_501
CASES = {"catalog": 8, "dataset_shard": 8, "job_yaml": 12}
"""Slow ones; the others run 20."""


@pytest.mark.parametrize("name", sorted(KINDS))
def test_damage_ends_as_read_refused_or_contained(name: str, tmp_path: Path) -> None:
    account = fuzz_kind(KINDS[name], tmp_path / "files", SEED, CASES.get(name, 20))
    assert account.violations == []
    assert account.accounted and account.cases == CASES.get(name, 20)
    assert sum(account.refused.values()) + sum(account.contained.values()) > 0, "the damage does damage"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_undamaged_file_is_read(name: str, tmp_path: Path) -> None:
    KINDS[name].prepare(tmp_path)
    paths = [path for pattern in KINDS[name].targets for path in tmp_path.glob(pattern)]
    assert paths
    for path in paths:
        KINDS[name].read(tmp_path, path)


def test_a_case_is_its_seed_and_number(tmp_path: Path) -> None:
    kind = KINDS["mp4"]
    kind.prepare(tmp_path)
    first, again, other = (damaged(kind, tmp_path, SEED, number)[2] for number in (3, 3, 4))
    assert first == again != other


def _misread(folder: Path, path: Path) -> None:
    data = path.read_bytes()
    if data[0] == 0:
        raise KeyError("a reader that is wrong")
    if data[0] == 1:
        raise BadInput("first_is_one", "refused")


def _first_byte(data: bytes, rng: np.random.Generator) -> bytes:
    return bytes(rng.integers(0, 3, 1, np.uint8))


WRONG = Kind("wrong", lambda folder: (folder / "a").write_bytes(b"good"), ("a",), _first_byte, _misread)


def test_a_wrong_reader_is_found_and_every_case_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "wrong", WRONG)
    WRONG.prepare(tmp_path)
    ends = cases.run_cases({"kind": "wrong", "folder": str(tmp_path), "seed": 0, "numbers": list(range(30))})
    counted = {kept: sum(one == kept for _, one, _, _ in ends) for kept in ("ok", "refused", "violation")}
    assert sum(counted.values()) == 30 and min(counted.values()) > 0
    assert (tmp_path / "a").read_bytes() == b"good", "each case starts from the good file"
