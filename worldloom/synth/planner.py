"""Draws plans that are worth rendering: cameras that see something and touch nothing, people who cross their view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloom.catalogs.config import load
from worldloom.catalogs.errors import WorldloomError
from worldloom.synth.camera_path import camera_path
from worldloom.synth.plan import Segment, SubjectPlan, WorldPlan
from worldloom.synth.world import PLACES, Layout, layout

LOOKS = 3
"""Variants of each place that plans are spread over, twenty plans at a time, since baking a look takes seconds."""

KINDS = (
    "look_away", "walk", "orbit", "strafe", "look_away", "walk_turn", "static", "look_away", "back", "turn",
    "walk", "look_away", "strafe", "walk_turn", "look_away", "orbit", "walk", "look_away", "back", "walk_turn",
)  # fmt: skip
"""Twenty plans: look_away (the view leaves a person and what stood there, and comes back) makes exit-entry pairs and
revisits; one only turns, one stands still; the others move in every direction."""

_CAMERA_CLEAR_M = 0.45
_PERSON_CLEAR_M = 0.30
_PERSON_FROM_CAMERA_M = 1.7
_PERSON_FROM_PERSON_M = 0.75
_ATTEMPTS = 400
_LEAST_LOOK_AWAY_S = 4.0
"""Turning away and back takes this long; shorter clips get an orbit instead."""


def plan_worlds(count: int, seed: int = 0, **overrides: Any) -> list[WorldPlan]:
    """Plans over all places, deterministic in (count, seed).

    Args:
        count: how many.
        seed: chance.
        overrides: fields of every plan, e.g. `frames=49, width=832, height=480`.

    Raises:
        UsageError: an unknown field or a value that does not fit.
    """
    plans = []
    names = list(PLACES)
    for k in range(count):
        place, look = names[k % len(names)], (k // len(KINDS)) % LOOKS
        kind = KINDS[(k + k // len(KINDS)) % len(KINDS)]
        rng = np.random.default_rng((seed, k))
        plans.append(_draw(place, look, kind, rng, f"{place}-{seed}-{k:03d}", overrides))
    return plans


def draw_plan(place: str, look: int, kind: str, seed: int = 0, **overrides: Any) -> WorldPlan:
    """One plan of a kind (see `KINDS`) in a place.

    Raises:
        UsageError: no such place, or an override that does not fit.
        WorldloomError: the place has no room for such a plan.
    """
    return _draw(place, look, kind, np.random.default_rng(seed), f"{place}-{kind}-{seed}", overrides)


def _draw(
    place: str, look: int, kind: str, rng: np.random.Generator, name: str, overrides: Mapping[str, Any]
) -> WorldPlan:
    where = layout(place, look)
    first = {"name": name, "place": place, "position": (0, 0, 1.6), **_fixed(overrides)}
    probe = load(WorldPlan, first, where="plan_worlds")
    if kind == "look_away" and probe.frames / probe.fps < _LEAST_LOOK_AWAY_S:
        kind = "orbit"
    for attempt in range(_ATTEMPTS):
        base = _camera(place, look, kind, rng, name, overrides)
        if base is None or not _sees_something(base, where):
            continue
        people = _people(base, where, rng, wanted=int(rng.integers(1, 4)), strict=attempt < _ATTEMPTS * 3 // 4)
        if people is not None:
            values = {**base.model_dump(), "subjects": [person.model_dump() for person in people], **overrides}
            return load(WorldPlan, values, where="plan_worlds")
    raise WorldloomError(f"synth: found no plan of kind '{kind}' for place '{place}' in {_ATTEMPTS} attempts")


def _fixed(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides that hold for any plan of this length."""
    return {key: value for key, value in overrides.items() if key not in ("camera", "subjects")}


def _segments(kind: str, rng: np.random.Generator, steps: int, fps: int, indoors: bool) -> list[Segment]:
    """Actions of one kind over `steps` frames."""
    speed = float(rng.uniform(0.65, 0.9) if indoors else rng.uniform(0.9, 1.4))
    side = bool(rng.integers(2))
    left, right = (3, 4) if side else (4, 3)

    def part(share: float, move: int, view: int, turn: float = 30.0, pace: float = 1.0) -> tuple[float, dict[str, Any]]:
        return share, {"move": move, "view": view, "speed_m_s": round(speed * pace, 3), "turn_deg_s": round(turn, 2)}

    seconds = steps / fps
    away = min(86.0 / (0.40 * seconds), 60.0)  # degrees per second: turn by 86 degrees in two fifths of the clip
    gentle = float(rng.uniform(12, 18))
    plans = {
        "look_away": [
            part(0.08, 0, 0),
            part(0.40, left, right, away, 0.6),
            part(0.04, 0, 0),
            part(0.40, right, left, away, 0.6),
            part(0.08, 0, 0),
        ],
        "walk": [part(0.3, 1, 0), part(0.3, 1, left, gentle), part(0.4, 1, right, gentle)],
        "walk_turn": [part(0.35, 1, left, gentle), part(0.25, 5 if side else 6, 0), part(0.4, 1, right, gentle * 1.3)],
        "orbit": [part(0.5, left, right, gentle * 1.3), part(0.5, left, right, gentle)],
        "strafe": [part(0.45, left, 0), part(0.15, 0, 0), part(0.4, 5 if side else 6, right, gentle)],
        "back": [part(0.4, 2, 0), part(0.25, 2, 1, 12.0), part(0.35, 7 if side else 8, 2, 12.0)],
        "turn": [part(0.15, 0, 0), part(0.35, 0, left, 22), part(0.15, 0, 1, 12), part(0.35, 0, right, 22)],
        "static": [part(1.0, 0, 0)],
    }
    shares, options = zip(*plans[kind], strict=True)
    ends = np.round(np.cumsum(shares) / sum(shares) * steps).astype(int)
    frames = np.diff([0, *ends])
    return [Segment(frames=int(n), **values) for n, values in zip(frames, options, strict=True) if n > 0]


def _camera(
    place: str, look: int, kind: str, rng: np.random.Generator, name: str, overrides: Mapping[str, Any]
) -> WorldPlan | None:
    """A camera that stays clear of everything, or None."""
    where = layout(place, look)
    indoors = where.place.backdrop is None or where.place.light.sky is None
    probe = load(
        WorldPlan, {"name": name, "place": place, "position": (0, 0, 1.6), **_fixed(overrides)}, where="plan_worlds"
    )
    start = where.free.draw(rng, _CAMERA_CLEAR_M + 0.1)[0]
    sight = where.place.sights[int(rng.integers(len(where.place.sights)))]
    heading = np.degrees(np.arctan2(sight[1] - start[1], sight[0] - start[0])) + rng.normal(0, 12)
    values = {
        "name": name,
        "place": place,
        "look": look,
        "kind": kind,
        "position": (round(float(start[0]), 3), round(float(start[1]), 3), round(float(rng.uniform(1.5, 1.7)), 3)),
        "heading_deg": round(float(heading), 2),
        "pitch_deg": round(float(rng.uniform(-9, -3)), 2),
        "camera": [s.model_dump() for s in _segments(kind, rng, probe.frames - 1, probe.fps, indoors)]
        if probe.frames > 1
        else [],
        **overrides,
    }
    values.pop("subjects", None)
    plan = load(WorldPlan, values, where="plan_worlds")
    c2w, _ = camera_path(plan)
    return plan if where.free.at(c2w[:, :2, 3]).min() >= _CAMERA_CLEAR_M else None


def _sees_something(plan: WorldPlan, where: Layout) -> bool:
    """The picture is never filled by something close, nor empty."""
    c2w, _ = camera_path(plan)
    some = c2w[np.linspace(0, plan.frames - 1, 13).astype(int)]
    x, y = np.meshgrid(np.linspace(-0.45, 0.45, 9) * plan.width, np.linspace(-0.45, 0.45, 7) * plan.height)
    local = np.stack([x.ravel(), y.ravel(), np.full(x.size, plan.focal_px)], -1) / plan.focal_px
    directions = local @ some[:, :3, :3].transpose(0, 2, 1)
    origin = np.broadcast_to(some[:, None, :3, 3], directions.shape)
    depth, _, _, _ = where.mesh.cast(np.concatenate([origin, directions], -1).reshape(-1, 6).astype(np.float32))
    depth = depth.reshape(len(some), -1)
    near, middle, sky = (depth < 1.4).mean(1), np.median(depth, 1), np.isinf(depth).mean(1)
    return bool((near < 0.10).all() and (middle > 1.9).all() and (middle < 30).all() and (sky < 0.45).all())


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where a walker is over time, as a camera sees it: all (T,)."""

    distance: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    open_view: np.ndarray


def _people(
    plan: WorldPlan, where: Layout, rng: np.random.Generator, wanted: int, strict: bool
) -> list[SubjectPlan] | None:
    """Walkers that the camera sees; for `look_away` the first one leaves the view and comes back. None if not found."""
    c2w, _ = camera_path(plan)
    times = np.arange(plan.frames) / plan.fps
    chosen: list[SubjectPlan] = []
    tracks: list[np.ndarray] = []
    for _ in range(60):
        person = _loop(plan, c2w, where, rng)
        if person is None:
            continue
        track = person.walk().at(times)[0]
        seen = _seen(plan, c2w, where, track, person.height_m)
        if seen.distance.min() < _PERSON_FROM_CAMERA_M:
            continue
        if any(np.linalg.norm(track - other, axis=1).min() < _PERSON_FROM_PERSON_M for other in tracks):
            continue
        if not chosen and not _leads(plan.kind, seen, strict):
            continue
        chosen.append(person)
        tracks.append(track)
        if len(chosen) == wanted:
            break
    return chosen or None


def _leads(kind: str, seen: _Seen, strict: bool) -> bool:
    """Whether a walker may be the clip's first: seen for long, and for `look_away` lost from view and found again."""
    if kind == "look_away":
        first, last = seen.inside[:8] & seen.open_view[:8], seen.inside[-8:] & seen.open_view[-8:]
        gone = seen.outside[len(seen.outside) * 35 // 100 : len(seen.outside) * 65 // 100]
        return bool(first.all() and last.all() and (gone.all() or not strict) and gone.any())
    return bool((seen.inside & seen.open_view).mean() >= (0.5 if strict else 0.25))


def _loop(plan: WorldPlan, c2w: np.ndarray, where: Layout, rng: np.random.Generator) -> SubjectPlan | None:
    """A round walk on free ground in front of where the camera looks at some moment."""
    indoors = where.place.light.sky is None
    reach = (2.2, 5.0) if indoors else (3.0, 9.0)
    moment = c2w[0] if plan.kind == "look_away" else c2w[int(rng.integers(plan.frames))]
    forward = moment[:2, 2] / np.linalg.norm(moment[:2, 2])
    angle = rng.normal(0, np.radians(18))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = moment[:2, 3] + turn @ forward * rng.uniform(*reach)
    corners = int(rng.integers(3, 6))
    around = np.sort(rng.random(corners)) * 2 * np.pi
    size = rng.uniform(0.7, 1.5) if indoors else rng.uniform(1.0, 3.0)
    if plan.kind == "look_away":
        size *= 0.75
    path = centre + np.stack([np.cos(around), np.sin(around)], -1) * size * rng.uniform(0.6, 1.3, (corners, 1))
    if rng.random() < 0.5:
        path = path[::-1]
    person = SubjectPlan(
        path=tuple((round(float(x), 3), round(float(y), 3)) for x, y in path),
        speed_m_s=round(float(rng.uniform(0.75, 1.3)), 3),
        start_m=round(float(rng.random() * 8), 3),
        look=int(rng.integers(1000)),
        height_m=round(float(rng.uniform(1.58, 1.86)), 2),
    )
    walk = person.walk()
    if walk.length_m < 2.2 or where.free.at(walk.points).min() < _PERSON_CLEAR_M:
        return None
    return person


def _seen(plan: WorldPlan, c2w: np.ndarray, where: Layout, track: np.ndarray, height: float) -> _Seen:
    chest = np.concatenate([track, np.full((len(track), 1), 0.72 * height)], 1)
    local = np.einsum("tji,tj->ti", c2w[:, :3, :3], chest - c2w[:, :3, 3])
    z = local[:, 2]
    u = local[:, 0] / np.maximum(z, 0.1) * plan.focal_px
    half = 0.35 / np.maximum(z, 0.1) * plan.focal_px  # half the width of a person with swinging arms
    limit = plan.width / 2
    inside = (z > 1.0) & (np.abs(u) + half * 0.5 < limit)
    outside = (z < 0.3) | (np.abs(u) - half * 1.6 > limit)
    rays = np.concatenate([c2w[:, :3, 3], chest - c2w[:, :3, 3]], 1).astype(np.float32)
    depth = where.mesh.cast(rays)[0]
    return _Seen(np.linalg.norm(track - c2w[:, :2, 3], axis=1), inside, outside, depth > 0.97)
