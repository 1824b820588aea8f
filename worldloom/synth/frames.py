"""Frames of a planned clip, with all that is true about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.synth.camera_path import camera_path
from worldloom.synth.people import Actor, Posed, View
from worldloom.synth.plan import WorldPlan
from worldloom.synth.world import world

_SUBPIXELS = ((0.30, -0.22), (-0.27, 0.28))
"""Further rays through pixels on an edge (offsets from the centre), so that outlines do not crawl (ours)."""
_MOST_EDGES = 40_000
_LEAST_CONTRAST = 10.0
"""Outlines between surfaces of nearly one brightness (of 255) are left as they are."""
_COARSE = 4
"""People's shadows are looked for on every fourth pixel first."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame and its truth.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 z-depth in metres, infinite for the sky.
        mask: (H, W) uint8, 0 where no subject is seen, else its number from 1.
        box: (S, 4) x0 y0 x1 y1 around the visible pixels, NaN where there are none.
        full_box: (S, 4) of the full projection, unclipped and unoccluded, NaN for a subject behind the camera.
        visibility: (S,) visible pixels over pixels of the full projection.
        in_frame: (S,) share of the full projection inside the picture.
    """

    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    box: np.ndarray
    full_box: np.ndarray
    visibility: np.ndarray
    in_frame: np.ndarray


@dataclass(eq=False)
class _Hits:
    """What rays through (u, v) met, nearest first: the world or one of the people."""

    colour: np.ndarray  # (N, 4)
    depth: np.ndarray  # (N,)
    surface: np.ndarray  # (N,) number of the smooth surface, for finding edges
    who: np.ndarray  # (N,) 0 the world, else the subject's number from 1
    alone: list[int]  # per subject: hits if nothing else were there


class Renderer:
    """Draws the frames of a plan.

    Attributes:
        plan: what is drawn.
        c2w: (T, 4, 4) true poses.
        motion: (T, 4) true motion.
        actors: the people.
    """

    def __init__(self, plan: WorldPlan, threads: int = 1) -> None:
        self.plan, self._threads = plan, threads
        self.world = world(plan.place, plan.look)
        self.c2w, self.motion = camera_path(plan)
        times = np.arange(plan.frames) / plan.fps
        self.actors = [Actor(subject, times) for subject in plan.subjects]
        u, v = np.meshgrid(np.arange(plan.width) + 0.5, np.arange(plan.height) + 0.5)
        self._u, self._v = u.ravel().astype(np.float32), v.ravel().astype(np.float32)

    def __len__(self) -> int:
        return self.plan.frames

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(i) for i in range(self.plan.frames))

    def frame(self, index: int) -> Frame:
        """Frame number `index`."""
        plan = self.plan
        view = View(self.c2w[index], plan.focal_px, plan.width, plan.height)
        people = [actor.posed(index) for actor in self.actors]
        boxes = [person.box(view) for person in people]
        rays = view.rays(self._u, self._v)
        hits = self._resolve(rays, self._u, self._v, view, people, boxes)
        shadow = self._shadows(rays, hits, people)
        colour = _shaded(hits.colour, shadow, hits.who)
        shape = (plan.height, plan.width)
        edges = _edges(hits.surface.reshape(shape), colour.reshape(*shape, 3))
        if len(edges):
            self._smooth_edges(colour, edges, shadow, view, people, boxes)
        mask = hits.who.reshape(shape)
        return Frame(
            (colour + np.float32(0.5)).astype(np.uint8).reshape(*shape, 3),
            hits.depth.reshape(shape),
            mask,
            *self._truth(mask, hits, view, people, boxes),
        )

    def _resolve(
        self,
        rays: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
        view: View,
        people: list[Posed],
        boxes: list[np.ndarray | None],
        blend: bool = True,
    ) -> _Hits:
        first = self.world.cast(rays, view.focal, self._threads, blend)
        hits = _Hits(first.colour, first.depth, first.facet.copy(), np.zeros(len(rays), np.uint8), [])
        for number, (person, box) in enumerate(zip(people, boxes, strict=True), start=1):
            if box is None:
                hits.alone.append(0)
                continue
            near = np.flatnonzero((u > box[0] - 1) & (u < box[2] + 1) & (v > box[1] - 1) & (v < box[3] + 1))
            if not len(near):
                hits.alone.append(0)
                continue
            depth, triangle, bary = person.cast(rays[near], self._threads)
            hits.alone.append(int(np.isfinite(depth).sum()))
            front = np.flatnonzero(depth < hits.depth[near])
            if not len(front):
                continue
            at = near[front]
            hits.colour[at, :3] = person.shade(
                self.world, rays[at], depth[front], triangle[front], bary[front], view.focal, self._threads
            )
            hits.colour[at, 3] = 255
            hits.depth[at] = depth[front]
            hits.surface[at] = -100.0 * number - person.figure.part[triangle[front]]
            hits.who[at] = number
        return hits

    def _shadows(self, rays: np.ndarray, hits: _Hits, people: list[Posed]) -> np.ndarray:
        """(N,) float32, how much of the key light people take from each pixel of the world."""
        shape = (self.plan.height, self.plan.width)
        shadow = np.zeros(shape, np.float32)
        depth, lit = hits.depth.reshape(shape), ((hits.colour[:, 3] < 250) & np.isfinite(hits.depth) & (hits.who == 0))
        lit = lit.reshape(shape)
        grid = rays.reshape(*shape, 6)
        some = np.s_[_COARSE // 2 :: _COARSE, _COARSE // 2 :: _COARSE]
        coarse = (grid[some][..., :3] + grid[some][..., 3:] * depth[some][..., None]).reshape(-1, 3)
        coarse = np.nan_to_num(coarse, posinf=1e6, neginf=-1e6)
        towards = self.world.place.light.key.direction
        for person in people:
            maybe = person.may_shade(coarse, towards, margin=0.3).reshape(depth[some].shape).astype(np.uint8)
            near = cv2.dilate(maybe, np.ones((3, 3), np.uint8)).repeat(_COARSE, 0).repeat(_COARSE, 1)
            near = np.pad(near, [(0, max(0, a - b)) for a, b in zip(shape, near.shape, strict=True)], mode="edge")
            rows, columns = np.nonzero(lit & (near[: shape[0], : shape[1]] > 0))
            part = grid[rows, columns]
            points = part[:, :3] + part[:, 3:] * depth[rows, columns, None]
            dark = person.shadow(points, towards, self._threads)
            shadow[rows, columns] = np.maximum(shadow[rows, columns], dark)
        return np.asarray(cv2.blur(shadow, (3, 3)).ravel())

    def _smooth_edges(
        self,
        colour: np.ndarray,
        edges: np.ndarray,
        shadow: np.ndarray,
        view: View,
        people: list[Posed],
        boxes: list[np.ndarray | None],
    ) -> None:
        u = np.concatenate([self._u[edges] + np.float32(dx) for dx, _ in _SUBPIXELS])
        v = np.concatenate([self._v[edges] + np.float32(dy) for _, dy in _SUBPIXELS])
        hits = self._resolve(view.rays(u, v), u, v, view, people, boxes, blend=False)
        more = _shaded(hits.colour, np.tile(shadow[edges], len(_SUBPIXELS)), hits.who)
        colour[edges] = (colour[edges] + more.reshape(len(_SUBPIXELS), -1, 3).sum(0)) / (1 + len(_SUBPIXELS))

    def _truth(
        self, mask: np.ndarray, hits: _Hits, view: View, people: list[Posed], boxes: list[np.ndarray | None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        count = len(people)
        box, full_box = np.full((count, 4), np.nan, np.float32), np.full((count, 4), np.nan, np.float32)
        visibility, in_frame = np.zeros(count, np.float32), np.zeros(count, np.float32)
        for s, (person, projected) in enumerate(zip(people, boxes, strict=True)):
            if projected is None:
                continue
            full_box[s] = projected
            share, full = person.share_in_frame(view, projected, hits.alone[s], self._threads)
            in_frame[s] = share
            x0, y0 = (max(0, int(edge) - 2) for edge in projected[:2])
            rows, columns = np.nonzero(
                mask[y0 : max(0, int(projected[3]) + 3), x0 : max(0, int(projected[2]) + 3)] == s + 1
            )
            if len(rows):
                box[s] = columns.min() + x0, rows.min() + y0, columns.max() + x0 + 1, rows.max() + y0 + 1
                visibility[s] = min(len(rows) / max(full, 1.0), share)
        return box, full_box, visibility, in_frame


def _edges(surface: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(E,) indices of the pixels on both sides of an outline that shows: another surface and another brightness."""
    green = colour[..., 1]
    edge = np.zeros(surface.shape, bool)
    across = (surface[:, 1:] != surface[:, :-1]) & (np.abs(green[:, 1:] - green[:, :-1]) > _LEAST_CONTRAST)
    down = (surface[1:] != surface[:-1]) & (np.abs(green[1:] - green[:-1]) > _LEAST_CONTRAST)
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    found = np.flatnonzero(edge)
    return found if len(found) <= _MOST_EDGES else found[:: -(-len(found) // _MOST_EDGES)]


def _shaded(colour: np.ndarray, shadow: np.ndarray, who: np.ndarray) -> np.ndarray:
    """(N, 3) float32 of 0..255: colours with the people's shadows."""
    picture = colour[:, :3].astype(np.float32)
    dark = np.flatnonzero((shadow > 0.01) & (who == 0))
    if len(dark):
        picture[dark] *= (1 - shadow[dark] * (1 - colour[dark, 3] * np.float32(1 / 255)))[:, None]
    return picture
