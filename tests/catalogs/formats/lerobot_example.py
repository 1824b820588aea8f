"""A small LeRobot dataset whose every number is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.catalogs.numbered_video import numbered
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.formats.lerobot_tables import NewEpisode, VideoPlace, video_file, write_lerobot
from worldloom.catalogs.statistics import picture_histogram, picture_stats

KEY = "observation.images.front"
FPS = Fraction(10)
LENGTHS = (4, 7, 3)
TASKS = ("fold the cloth", "open the jar", "fold the cloth")
FEATURES = {
    KEY: {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": [3], "names": ["a", "b", "c"]},
    "grip": {"dtype": "float32", "shape": [1], "names": None},
}


def state_of(episode: int) -> np.ndarray:
    rng = np.random.default_rng(episode)
    return rng.normal(size=(LENGTHS[episode], 3)).astype(np.float32)


def lerobot_dataset(root: Path) -> Path:
    """Three episodes in one video: frame n of it shows n."""
    video = video_file(root, KEY, 0)
    video.parent.mkdir(parents=True)
    pictures = [numbered(i) for i in range(sum(LENGTHS))]
    encode_frames(video, pictures, FPS)
    episodes, first = [], 0
    for number, length in enumerate(LENGTHS):
        stats = picture_stats(picture_histogram(pictures[first : first + length]), length)
        arrays = {"observation.state": state_of(number), "grip": np.full((length, 1), number, np.float32)}
        episodes.append(NewEpisode(TASKS[number], arrays, {KEY: VideoPlace(0, first, stats)}))
        first += length
    write_lerobot(root, FPS, FEATURES, episodes)
    return root
