"""Whatever happens to a file, a reader gives a path or a BadInput that names the file: never another exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.actions import true_actions
from worldloom.catalogs.clip import Subjects
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats import (
    colmap,
    context_as_memory,
    egodex,
    exr,
    hm_world,
    hydra,
    infinite_world,
    matrices,
    mot,
    nerfstudio,
    re10k,
    tum,
    unreal,
    unreal_cameras,
)

TRAJECTORY = some_trajectory(4)
SUBJECTS = Subjects(
    np.array([1, 4], np.int32),
    ["person", "person"],
    np.arange(40).reshape(2, 5, 4).astype(np.float32) * [1, 1, 2, 2],
    np.ones((2, 5), np.float32),
    ["mot", "mot"],
)
INFO = mot.SequenceInfo("a", 25, 5, 640, 480)  # type: ignore[arg-type]

Write = Callable[[Path], Any]
Read = Callable[[Path], Any]
FORMATS: dict[str, tuple[str, Write, Read]] = {
    "re10k": ("a.txt", lambda p: re10k.write_re10k(p, TRAJECTORY), re10k.read_re10k),
    "motionctrl": ("a.json", lambda p: re10k.write_motionctrl(p, TRAJECTORY), re10k.read_motionctrl),
    "tum": ("a.txt", lambda p: tum.write_tum(p, TRAJECTORY), tum.read_tum),
    "matrices": ("a.txt", lambda p: matrices.write_matrices(p, TRAJECTORY), matrices.read_matrices),
    "npy": ("a.npy", lambda p: matrices.write_matrices(p, TRAJECTORY), matrices.read_matrices),
    "recam": ("a.json", lambda p: unreal.write_recam(p, {"c": TRAJECTORY}), lambda p: unreal.read_recam(p, "c")),
    "recam_names": ("a.json", lambda p: unreal.write_recam(p, {"c": TRAJECTORY}), unreal.recam_cameras),
    "hydra": ("a.json", lambda p: hydra.write_hydra_json(p, TRAJECTORY, TRAJECTORY), hydra.read_hydra_json),
    "egodex": ("a.csv", lambda p: egodex.write_egodex_csv(p, TRAJECTORY), egodex.read_egodex_csv),
    "nerfstudio": (
        "a.json",
        lambda p: nerfstudio.write_nerfstudio(p, TRAJECTORY),
        lambda p: nerfstudio.read_nerfstudio(p, only_existing=False),
    ),
    "colmap": (
        "images.txt",
        lambda p: colmap.write_colmap(p.parent, TRAJECTORY),
        lambda p: colmap.read_colmap(p.parent),
    ),
    "colmap_cameras": (
        "cameras.txt",
        lambda p: colmap.write_colmap(p.parent, TRAJECTORY),
        lambda p: colmap.read_colmap(p.parent),
    ),
    "unreal_cameras": (
        "a.csv",
        lambda p: unreal_cameras.write_unreal_cameras(p, range(len(TRAJECTORY)), TRAJECTORY),
        lambda p: unreal_cameras.read_unreal_cameras(p, 64, 48, lens=unreal_cameras.Lens(fov_deg=90)),
    ),
    "unreal_matrices": (
        "a.json",
        lambda p: unreal_cameras.write_unreal_cameras(p, range(len(TRAJECTORY)), TRAJECTORY, "matrix"),
        lambda p: unreal_cameras.read_unreal_cameras(p, 64, 48, lens=unreal_cameras.Lens(fov_deg=90)),
    ),
    "context_as_memory": (
        "a.json",
        lambda p: context_as_memory.write_context_as_memory(p, TRAJECTORY, "yaw_pitch_roll"),
        lambda p: context_as_memory.read_context_as_memory(p, "yaw_pitch_roll", 100.0, (64, 48)),
    ),
    "hm_world_check": (
        "check.json",
        lambda p: hm_world.write_check(p, {"cond": hm_world.Check(["a"], ["b"], np.ones((1, 9), bool))}),
        lambda p: hm_world.read_check(p, "cond"),
    ),
    "exr": (
        "a.exr",
        lambda p: exr.write_exr(p, {name: np.full((6, 8), 0.5, np.float16) for name in "RGB"}),
        exr.read_exr_rgb,
    ),
    "infinite_world": (
        "a.json",
        lambda p: infinite_world.write_infinite_world(p, true_actions(np.ones((9, 4)), 16)),
        infinite_world.read_infinite_world,
    ),
    "mot": ("gt.txt", lambda p: mot.write_mot(p, SUBJECTS), mot.read_mot),
    "seqinfo": ("seqinfo.ini", lambda p: mot.write_seqinfo(p, INFO), mot.read_seqinfo),
}

JUNK = [
    b"",
    b"0",
    b"-",
    b"e999",
    b"nan",
    b"\x00",
    b"\xff",
    b"\n",
    b"{",
    b"]",
    b'"',
    b",",
    b"null",
    b"[]",
    b"9" * 400,
    b" 1",
]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(0, len(data) + 1))
        stop = start + int(rng.choice([0, 1, 1, 2, 10, 200, len(data)]))
        data = data[:start] + JUNK[int(rng.integers(len(JUNK)))] + data[stop:]
    return data


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_damaged_files_are_bad_input_and_nothing_else(name: str, tmp_path: Path) -> None:
    file, write, read = FORMATS[name]
    path = tmp_path / file
    write(path)
    read(path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        path.write_bytes(damaged(good, rng))
        try:
            read(path)
        except BadInput as problem:
            refused += 1
            assert str(tmp_path) in problem.where and problem.reason.islower()
    assert refused > 40
