"""Small pictures inside a clip's page: a film strip, and depth maps on one colour scale."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np

from worldloom.catalogs.clip import Clip, Depth
from worldloom.report.pictures import FrameStore, data_uri, jpeg, spread

FILM_FRAMES = 12
FILM_WIDTH, STAGE_WIDTH = 176, 480
"""Pixels of a picture of the strip where a video plays above it, and where it stands in for the video."""
MOST_MAPS = 32
"""Depth maps on a page, evenly chosen: a minute at one map per half second is 120, some 25 kB each."""
MAP_WIDTH = 320
NOTHING = 255
"""Palette entry of pixels without depth: transparent, so that the page's hatching shows."""

DEPTH_RAMP = ((253, 231, 37), (122, 209, 81), (34, 168, 132), (42, 120, 142), (65, 68, 135), (68, 1, 84))
"""Near is bright, far is dark: the stops of viridis, turned round."""


@dataclass(frozen=True)
class FilmFrame:
    """One picture of the strip."""

    frame: int
    uri: str


@dataclass(frozen=True)
class DepthMap:
    """One depth map.

    Attributes:
        frame: of the clip.
        uri: the picture.
        true_uri: of the truth at the same frame; empty where there is none.
        error: mean relative error against the truth over pixels both have; None where nothing can be compared.
        covered: share of its pixels that have depth.
        confidence: as stated.
    """

    frame: int
    uri: str
    true_uri: str = ""
    error: float | None = None
    covered: float = 1.0
    confidence: float = 1.0


@dataclass
class DepthView:
    """All depth maps of a page on one scale.

    Attributes:
        maps: in order of time.
        near: z of the brightest colour.
        far: z of the darkest colour.
        unit: of z.
        stated_error: relative error that the method states.
        total: how many frames of the clip have depth.
        aspect: width by height.
        scaled: factor that brought the estimate to the truth's unit; 1 where none was needed.
    """

    maps: list[DepthMap] = field(default_factory=list)
    near: float = 0.0
    far: float = 1.0
    unit: str = "m"
    stated_error: float = 0.0
    total: int = 0
    aspect: float = 16 / 9
    scaled: float = 1.0


def film_of(clip: Clip, standing_in: bool) -> tuple[list[FilmFrame], str]:
    """Pictures spread over the clip, and why there are none where its video cannot be read.

    Args:
        clip: any clip.
        standing_in: whether no video plays above them: then they are larger.
    """
    if clip.video is None and type(clip).open_frames is Clip.open_frames:
        return [], "the video is not at hand"
    store = FrameStore(clip, STAGE_WIDTH if standing_in else FILM_WIDTH)
    count = _film_count(clip)
    frames = [(2 * number + 1) * clip.frames // (2 * count) for number in range(count)]
    pictures = store.read(frames)
    quality = 80 if standing_in else 74
    film = [
        FilmFrame(i, data_uri(jpeg(rgb, quality))) for i, rgb in zip(frames, pictures, strict=True) if rgb is not None
    ]
    return film, store.error


def _film_count(clip: Clip) -> int:
    """As many as fit beside each other without getting narrow; each stands for the middle of its share of time."""
    return max(1, min(clip.frames, FILM_FRAMES, round(FILM_FRAMES * 1.2 * clip.height / max(1, clip.width) + 4)))


def depth_of(depth: Depth | None, truth: Depth | None = None) -> DepthView | None:
    """Depth maps as pictures; None where there is no depth at all.

    Args:
        depth: of the clip.
        truth: of the same frames where known; alone it is shown as the truth it is.
    """
    if depth is None or not len(depth):
        return None
    chosen = [int(i) for i in spread(len(depth), MOST_MAPS)]
    maps = [_small(np.where(depth.valid[i], depth.z[i], np.nan).astype(np.float32)) for i in chosen]
    true_maps = [_true_map(truth, int(depth.frames[i]), z.shape) for i, z in zip(chosen, maps, strict=True)]
    factor = _factor(depth, truth, maps, true_maps)
    maps = [z * np.float32(factor) for z in maps]
    finite = np.concatenate([z[np.isfinite(z)][::7] for z in [*maps, *(z for z in true_maps if z is not None)]])
    near, far = (float(v) for v in np.percentile(finite, [2, 98])) if len(finite) else (0.0, 1.0)
    far = max(far, near * 1.02, near + 1e-6)
    metric = depth.scale == "metric" or (truth is not None and truth.scale == "metric" and factor != 1.0)
    view = DepthView(near=near, far=far, unit="m" if metric else "units of the path", stated_error=depth.stated_error,
                     total=len(depth), aspect=maps[0].shape[1] / maps[0].shape[0], scaled=factor)  # fmt: skip
    for i, z, true in zip(chosen, maps, true_maps, strict=True):
        view.maps.append(
            DepthMap(
                frame=int(depth.frames[i]),
                uri=data_uri(depth_png(z, near, far)),
                true_uri="" if true is None else data_uri(depth_png(true, near, far)),
                error=_error(z, true),
                covered=float(np.isfinite(z).mean()),
                confidence=float(depth.confidence[i]),
            )
        )
    return view


def depth_png(z: np.ndarray, near: float, far: float) -> bytes:
    """A depth map as a PNG with a palette: 255 colours from near to far, and nothing where z is NaN.

    Args:
        z: (h, w), NaN where there is no depth.
        near: z of the first colour; nearer is drawn as it.
        far: z of the last colour.
    """
    from PIL import Image

    with np.errstate(invalid="ignore"):
        levels = np.clip(np.nan_to_num((z - near) / (far - near)) * (NOTHING - 1) + 0.5, 0, NOTHING - 1)
    picture = Image.fromarray(np.where(np.isfinite(z), levels, NOTHING).astype(np.uint8), mode="P")
    stops = np.linspace(0, NOTHING - 1, len(DEPTH_RAMP))
    colours = [np.interp(np.arange(NOTHING), stops, [stop[k] for stop in DEPTH_RAMP]) for k in range(3)]
    palette = np.concatenate([np.stack(colours, 1).round(), np.zeros((1, 3))]).astype(np.uint8)
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=NOTHING, compress_level=6)
    return buffer.getvalue()


def _small(z: np.ndarray) -> np.ndarray:
    """At most `MAP_WIDTH` wide by leaving out pixels: depth is not averaged over edges."""
    step = max(1, -(-z.shape[1] // MAP_WIDTH))
    return z[step // 2 :: step, step // 2 :: step]


def _true_map(truth: Depth | None, frame: int, shape: tuple[int, ...]) -> np.ndarray | None:
    from worldloom.report.depth import map_at, resample

    true = map_at(truth, frame)
    return None if true is None else resample(true, shape).astype(np.float32)


def _factor(depth: Depth, truth: Depth | None, maps: list[np.ndarray], true_maps: list[np.ndarray | None]) -> float:
    """Median ratio of truth to estimate over all maps where units differ; 1 where they do not."""
    if truth is None or depth.scale == truth.scale == "metric":
        return 1.0
    ratios = []
    for z, true in zip(maps, true_maps, strict=True):
        if true is not None:
            both = np.isfinite(z) & np.isfinite(true) & (z > 0)
            ratios.append(true[both] / z[both])
    found = np.concatenate(ratios) if ratios else np.zeros(0)
    return float(np.median(found)) if len(found) else 1.0


def _error(z: np.ndarray, true: np.ndarray | None) -> float | None:
    if true is None:
        return None
    both = np.isfinite(z) & np.isfinite(true) & (true > 0)
    return float((np.abs(z[both] - true[both]) / true[both]).mean()) if both.any() else None
