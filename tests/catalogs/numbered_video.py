"""Videos whose every frame shows its number."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

BITS = 8


def numbered(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that shows its number: one bright or dark stripe per bit, and a moving texture below."""
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        picture[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 220 if number >> bit & 1 else 30
    x, y = np.meshgrid(np.arange(width), np.arange(height // 2, height))
    picture[height // 2 :] = (np.sin((x + 3 * number) / 4.0) * 60 + np.cos(y / 3.0) * 60 + 128)[..., None].astype(
        np.uint8
    )
    return picture


def number_of(picture: np.ndarray) -> int:
    height, width = picture.shape[:2]
    stripes = [picture[4 : height // 2 - 4, int((bit + 0.5) * width / BITS)].mean() for bit in range(BITS)]
    return sum((stripe > 128) << bit for bit, stripe in enumerate(stripes))


def write_video(
    path: Path, count: int = 12, rate: int = 10, codec: str = "libx264", pix_fmt: str = "yuv420p", **stream: object
) -> Path:
    """A file that is not in the stored form."""
    with av.open(str(path), "w") as container:
        out = container.add_stream(codec, rate=rate)
        out.width, out.height, out.pix_fmt = 64, 48, pix_fmt
        out.codec_context.thread_count = 1
        out.codec_context.gop_size = int(stream.get("gop", 12))
        out.codec_context.options = dict(stream.get("options", {}))
        if "rotation" in stream:
            out.set_display_rotation(stream["rotation"], hflip=bool(stream.get("hflip", False)))
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(i), format="rgb24").reformat(format=pix_fmt)
            frame.pts = i
            container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return path
