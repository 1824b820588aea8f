from __future__ import annotations

from pathlib import Path

import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.train.checkpoint import checkpoints, newest_whole, read_state, write_checkpoint


def write_two_files(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes(range(200)))
    (folder / "config.json").write_text("{}")


def steps_in(folder: Path) -> list[int]:
    return [int(one.name.removeprefix("step-")) for one in checkpoints(folder)]


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        write_checkpoint(tmp_path, step, write_two_files, {"epoch": step}, keep=2)
    assert steps_in(tmp_path) == [6, 8]
    found = newest_whole(tmp_path, pytest.fail)
    assert found is not None
    assert (found[1]["step"], found[1]["epoch"]) == (8, 8)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "state.json"])
@pytest.mark.parametrize("how", ["cut", "flipped", "missing", "empty"])
def test_a_torn_file_takes_the_checkpoint_before(tmp_path: Path, name: str, how: str) -> None:
    for step in (2, 4):
        write_checkpoint(tmp_path, step, write_two_files, {}, keep=3)
    file = tmp_path / "step-00000004" / name
    data = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        file.write_bytes({"cut": data[:-1], "empty": b"", "flipped": flipped}[how])
    with pytest.raises(BadInput, match=name) as refusal:
        read_state(file.parent)
    assert refusal.value.reason == "torn_checkpoint"
    warnings: list[str] = []
    found = newest_whole(tmp_path, warnings.append)
    assert found is not None
    assert found[1]["step"] == 2
    assert len(warnings) == 1 and name in warnings[0] and "passed over" in warnings[0]
    write_checkpoint(tmp_path, 4, write_two_files, {}, keep=3)  # the resumed run comes by again
    assert read_state(file.parent)["step"] == 4


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 2, write_two_files, {}, keep=1)

    def fail(folder: Path) -> None:
        write_two_files(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path, 4, fail, {}, keep=1)
    assert steps_in(tmp_path) == [2]
    write_checkpoint(tmp_path, 4, write_two_files, {}, keep=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000004"]
