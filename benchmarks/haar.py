"""What the embedded codec keeps: deviation of each Haar subband, and PSNR by number of channels, on rendered worlds.

    python benchmarks/haar.py [clips]

The first table is `DEVIATIONS`, and the line behind it `AVERAGES`, of worldloom/model/codecs/haar.py, measured on one
set of worlds; PSNR is measured on another set, in uint8 pictures of 480 x 272, the error pooled over all frames of all
clips, and over the first frames alone. Baseline: keeping the same number of values by shrinking each picture (area
down, bicubic up).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys

import cv2
import numpy as np
import torch

from worldloom.model.codecs.haar import VALUES, HaarCodec, basis, blocks
from worldloom.synth.planner import plan_worlds
from worldloom.synth.render import render_frames

FRAMES = 33
CHANNELS = (3, 6, 12, 16, 24, 48, 96, 192, 384, 768)


def videos(clips: int, seed: int) -> list[torch.Tensor]:
    """uint8 (3, T, H, W)."""
    plans = plan_worlds(clips, seed, frames=FRAMES)
    return [torch.from_numpy(np.stack([f.rgb for f in render_frames(p)])).permute(3, 0, 1, 2) for p in plans]


def deviations(clips: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations and means (3, 3, 10) of the subbands; groups of four frames alone, not the first frame."""
    vectors, bands = basis()
    count, first, second = np.zeros((3, 3, 10)), np.zeros((3, 3, 10)), np.zeros((3, 3, 10))
    for clip in clips:
        values = blocks(clip[None].float() / 127.5 - 1)[:, 1:].reshape(-1, VALUES) @ vectors.float().T
        for k, band in enumerate(bands):
            count[band] += len(values)
            first[band] += float(values[:, k].double().sum())
            second[band] += float((values[:, k].double() ** 2).sum())
    mean = first / count
    return np.sqrt(second / count - mean**2), mean


def psnr(error: float) -> float:
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def codec_errors(codec: HaarCodec, clips: list[torch.Tensor]) -> tuple[float, float]:
    """Mean squared error of all frames, and of the first frames."""
    of_all, of_first = [], []
    for clip in clips:
        video = clip[None].float() / 127.5 - 1
        back = ((codec.decode(codec.encode(video))[0] + 1) * 127.5).round()
        error = (back - clip.float()) ** 2
        of_all.append(float(error.mean()))
        of_first.append(float(error[:, 0].mean()))
    return float(np.mean(of_all)), float(np.mean(of_first))


def shrink_error(channels: int, clips: list[torch.Tensor]) -> float:
    errors = []
    for clip in clips:
        for frame in clip[:, ::8].permute(1, 2, 3, 0).numpy():
            height, width = frame.shape[:2]
            factor = (VALUES / channels) ** 0.5
            small = (max(1, round(width / factor)), max(1, round(height / factor)))
            back = cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
            )
            errors.append(np.mean((back.astype(np.float32) - frame) ** 2))
    return float(np.mean(errors))


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    torch.set_num_threads(1)
    measured, mean = deviations(videos(clips, seed=0))
    print(f"DEVIATIONS, {clips} clips of {FRAMES} frames:")
    for colour in measured:
        print("    (")
        for row in colour:
            print("        (" + ", ".join(f"{value:.4f}" for value in row) + "),")
        print("    ),")
    print(
        "means of the three averages:",
        np.round(mean[:, 0, 0], 3),
        "largest other mean:",
        np.abs(mean[:, 1:]).max().round(4),
    )
    test = videos(clips, seed=1)
    print(f"\n{'channels':>8} {'PSNR dB':>8} {'first':>8} {'shrunk':>8}")
    for channels in CHANNELS:
        of_all, of_first = codec_errors(HaarCodec(channels), test)
        print(f"{channels:8d} {psnr(of_all):8.2f} {psnr(of_first):8.2f} {psnr(shrink_error(channels, test)):8.2f}")
    latents = torch.cat([HaarCodec(48).encode(c[None].float() / 127.5 - 1)[0].flatten(1) for c in test], dim=1)
    print(f"deviation of the latents of haar:48 on these clips: {latents.std():.2f}")


if __name__ == "__main__":
    main()
