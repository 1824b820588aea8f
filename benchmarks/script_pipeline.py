"""The script a user would write instead of a job: a process pool over PyAV, pycolmap and webdataset's TarWriter.

    python benchmarks/script_pipeline.py VIDEOS OUT.tar [--workers 2] [--pose] [--careful] [--trap]

Written as one does in an afternoon, with the tools' documentation open: every video is normalised (H.264, constant
rate, no audio), gets camera poses by incremental mapping, and goes into one shard. `--careful` catches what a worker
raises, skips that video and goes on. There is no resume, no deadline, no count of what went missing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import numpy as np
import pycolmap
import webdataset as wds

from benchmarks.chaos.annotators import TrapRules, fragile_model


def normalise(source: Path, target: Path, crf: int = 18) -> list[np.ndarray]:
    """Write the clip as the trainer wants it; its grey pictures."""
    pictures = []
    with av.open(str(source)) as video, av.open(str(target), "w", options={"movflags": "+faststart"}) as written:
        source_stream = video.streams.video[0]
        rate = source_stream.average_rate
        stream: Any = written.add_stream("libx264", rate=rate)
        stream.width, stream.height = source_stream.width // 2 * 2, source_stream.height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = max(1, int(rate))
        stream.options = {"crf": str(crf), "preset": "fast", "x264-params": "mbtree=0"}
        for number, frame in enumerate(video.decode(source_stream)):
            pictures.append(frame.to_ndarray(format="gray"))
            encoded = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
            encoded.pts, encoded.time_base = number, 1 / rate
            written.mux(stream.encode(encoded))
        written.mux(stream.encode(None))
    return pictures


def poses(pictures: list[np.ndarray], folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Camera-to-world per frame, NaN where a frame was not registered; intrinsics."""
    for number, gray in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:04d}.png"), gray)
    database = folder / "colmap.db"
    extraction = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    matching = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
    mapping = pycolmap.IncrementalPipelineOptions(num_threads=1, random_seed=0)
    pycolmap.extract_features(database, folder, camera_mode=pycolmap.CameraMode.SINGLE, extraction_options=extraction)
    pycolmap.match_sequential(database, matching_options=matching)
    models = pycolmap.incremental_mapping(database, folder, folder, mapping)
    if not models:
        return None
    model = max(models.values(), key=lambda one: one.num_reg_images())
    c2w = np.full((len(pictures), 4, 4), np.nan)
    for image in (model.images[number] for number in model.reg_image_ids()):
        c2w[int(Path(image.name).stem)] = np.eye(4)
        c2w[int(Path(image.name).stem), :3] = image.cam_from_world().inverse().matrix()
    return c2w, next(iter(model.cameras.values())).params


def process(path: Path, pose: bool, trap: TrapRules) -> dict[str, Any]:
    """One video in, one sample out."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch) / "clip.mp4"
        pictures = normalise(path, clip)
        fragile_model(len(pictures), trap)
        sample = {"__key__": hashlib.sha256(path.read_bytes()).hexdigest()[:26], "mp4": clip.read_bytes()}
        sample["json"] = json.dumps({"uri": path.name, "frames": len(pictures)}).encode()
        if pose and (camera := poses(pictures, Path(scratch))) is not None:
            buffer = io.BytesIO()
            np.savez(buffer, c2w=camera[0], intrinsics=camera[1])
            sample["camera.npz"] = buffer.getvalue()
        return sample


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pose", action="store_true")
    parser.add_argument("--careful", action="store_true")
    parser.add_argument("--trap", default="{}", help="of the model that every clip is shown to, JSON")
    arguments = parser.parse_args()
    work = partial(process, pose=arguments.pose, trap=TrapRules.model_validate_json(arguments.trap))
    with ProcessPoolExecutor(arguments.workers) as pool, wds.TarWriter(str(arguments.out)) as shard:
        futures = {pool.submit(work, path): path for path in sorted(arguments.videos.iterdir())}
        for future in as_completed(futures):
            try:
                shard.write(future.result())
            except Exception as error:
                if not arguments.careful:
                    raise
                print(f"skipping {futures[future].name}: {error}")


if __name__ == "__main__":
    main()
