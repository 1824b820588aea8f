from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.real_data import real_data
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.events import EventRules, find_events
from worldloom.catalogs.formats.mot import read_mot, read_seqinfo, write_mot, write_seqinfo

SEQUENCES = {"v_1yHWGw8DH4A_c609": (26, 26), "v_ITo3sCnpw_k_c007": (29, 29), "v_gQNyhv8y0QY_c013": (27, 19)}


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_hidden_intervals_of_real_tracks_have_the_reference_counts(name: str) -> None:
    """Counted independently: gaps of more than 5 frames, and those with both ends within 30 px of the border.

    The count takes a single row for a sighting, hence hold_frames=1.
    """
    info = read_seqinfo(real_data("mot_gt_sportsmot", name, "seqinfo.ini"))
    subjects = read_mot(real_data("mot_gt_sportsmot", name, "gt", "gt.txt"), frames=info.frames)
    rules = EventRules(border_px=30, hold_frames=1)
    events = find_events(subjects, info.width, info.height, rules)
    closed = [event for event in events if event.kind in ("interval", "pair")]
    longer = [event for event in closed if event.first_visible - event.first_hidden > 5]
    assert (len(longer), sum(event.kind == "pair" for event in longer)) == SEQUENCES[name]
    pairs = {(event.subject, event.first_hidden) for event in longer if event.kind == "pair"}
    steady = find_events(subjects, info.width, info.height)
    found = {(event.subject, event.first_hidden) for event in steady if event.kind == "pair"}
    assert len(pairs & found) >= len(pairs) - 1, "the default rules lose at most the one whose stay is a single row"


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_real_tracks_written_and_read_again(name: str, tmp_path: Path) -> None:
    path = real_data("mot_gt_sportsmot", name, "gt", "gt.txt")
    subjects = read_mot(path)
    write_mot(tmp_path / "gt.txt", subjects)
    again = read_mot(tmp_path / "gt.txt")
    np.testing.assert_array_equal(again.box, subjects.box)
    np.testing.assert_array_equal(again.visibility, subjects.visibility)
    np.testing.assert_array_equal(again.id, subjects.id)
    assert np.isfinite(subjects.box[..., 0]).sum() == len(path.read_text().splitlines())


def test_sequence_info_written_and_read_again(tmp_path: Path) -> None:
    info = read_seqinfo(real_data("mot_gt_sportsmot", "v_1yHWGw8DH4A_c609", "seqinfo.ini"))
    assert (info.fps, info.frames, info.width, info.height) == (25, 500, 1280, 720)
    write_seqinfo(tmp_path / "seqinfo.ini", info)
    assert read_seqinfo(tmp_path / "seqinfo.ini") == info


def test_rows_become_boxes(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("1, 5, 10, 20, 30, 40, 1, 1, 0.5\n3,2,1,1,2,2,-1,-1,-1,-1\n2,5,0,0,9,9,0,1,1\n")
    subjects = read_mot(tmp_path / "gt.txt", frames=4)
    np.testing.assert_array_equal(subjects.id, [2, 5])
    np.testing.assert_array_equal(subjects.box[1, 0], [10, 20, 40, 60])
    np.testing.assert_array_equal(subjects.visibility, [[0, 0, 1, 0], [0.5, 0, 0, 0]])
    assert np.isnan(subjects.box[1, 1]).all(), "confidence 0 is to be ignored"


def test_an_empty_file_is_a_sequence_without_subjects(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("")
    assert read_mot(tmp_path / "gt.txt", frames=4).box.shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,1", "line 1 has 3 columns, 9 expected"),
        ("0,1,1,1,5,5,1,1,1", "line 1 has frame 0"),
        ("9,1,1,1,5,5,1,1,1", "frame 9, but the sequence has 4"),
        ("1,1,1,1,0,5,1,1,1", "line 1 has a box of 0 x 5"),
        ("1,1,1,1,5,5,1,1,1\n1,1,2,2,5,5,1,1,1", "id 1 has two boxes in frame 1"),
        ("1,1,x,1,5,5,1,1,1", "line 1 column 3 is 'x'"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "gt.txt").write_text(line + "\n")
    with pytest.raises(BadInput, match=message):
        read_mot(tmp_path / "gt.txt", frames=4)


def test_a_line_does_not_ask_for_all_memory(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("2000000000,1,1,1,5,5,1,1,1\n")
    with pytest.raises(BadInput, match="too many"):
        read_mot(tmp_path / "gt.txt")


@pytest.mark.parametrize("text", ["nothing", "[Sequence]\nframeRate=25\n", "[Sequence]\nframeRate=0/0\nseqLength=3\n"])
def test_sequence_info_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "seqinfo.ini").write_text(text)
    with pytest.raises(BadInput, match="frameRate, seqLength"):
        read_seqinfo(tmp_path / "seqinfo.ini")
