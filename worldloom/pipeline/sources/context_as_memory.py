"""Context-as-Memory: long walks through Unreal scenes as numbered pictures, with the camera of every frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.context_as_memory import ORDERS, RotationOrder
from worldloom.pipeline.sources.footage import Footage, Known, Workplace
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    import numpy as np

    from worldloom.annotators.rotation_order import OrderFit
    from worldloom.catalogs.video import VideoInfo

MAX_CAPTION = 4000


class ContextAsMemorySource(Source):
    """Scenes as `frames/<scene>/0000.png`, `jsons/<scene>.json`, and `captions.txt`.

    Attributes:
        path: folder with `frames` and `jsons` in it; `overlap_labels` is left alone.
        clips: `scenes` takes whole scenes, which ingest cuts at `max_seconds`; `captions` takes the stretches that
            captions.txt names, each with its text (both ends belong to it: ours, not published).
        rotation: order of the three angles of a rotation, which is not published; `auto` takes the one that explains
            the motion of the pictures best, scene by scene.
        doubt: what happens where the pictures speak against `rotation`: `refuse` the scene, `note` it beside the
            poses, or `ignore`: do not look at them.
        hfov_deg: horizontal field of view, which is not published (default ours); `auto` estimates it, roughly, to
            about a degree.
        fps: of the frames.
    """

    kind: Literal["context_as_memory"]
    path: Path
    clips: Literal["scenes", "captions"] = "scenes"
    rotation: RotationOrder | Literal["auto"] = "auto"
    doubt: Literal["refuse", "note", "ignore"] = "refuse"
    hfov_deg: Annotated[float, Field(gt=10, lt=170)] | Literal["auto"] = 90.0
    fps: float = Field(default=30.0, gt=0, le=240)

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses."""
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """One item per scene or captioned stretch, sorted by name, then what belongs to none."""
        frames, jsons = self.path / "frames", self.path / "jsons"
        pictures: dict[str, list[Path]] = {}
        cameras: dict[str, Path] = {}
        others: list[Path] = []
        told = False
        for path in walk_files(self.path):
            parts = path.relative_to(self.path).parts
            told = told or parts == ("captions.txt",)
            if len(parts) == 3 and parts[0] == frames.name and _number(path) is not None:
                pictures.setdefault(parts[1], []).append(path)
            elif len(parts) == 2 and parts[0] == jsons.name and path.suffix == ".json":
                cameras[path.stem] = path
            elif parts[0] != "overlap_labels" and parts != ("captions.txt",):
                others.append(path)
        source = self.model_dump(mode="json")
        captions, unread = self._captions() if told else ([], None)
        for scene in sorted(pictures.keys() | cameras.keys()):
            for item in self._scene(source, scene, pictures.get(scene, []), cameras.get(scene), captions):
                yield plainly_named(item)
        if unread is not None:
            yield SourceItem(source, "captions.txt", str((self.path / "captions.txt").absolute()), problem=unread)
        for path in others:
            uri = path.relative_to(self.path).as_posix()
            problem = "not_recognised", "neither frames/<scene>/<number>.png nor jsons/<scene>.json nor captions.txt"
            yield plainly_named(SourceItem(source, uri, str(path.absolute()), self.licence, problem=problem))

    def _scene(
        self,
        source: dict[str, Any],
        scene: str,
        pictures: list[Path],
        camera: Path | None,
        captions: list[tuple[str, int, int, str]],
    ) -> Iterator[SourceItem]:
        problem = _problem_of(scene, pictures, camera)
        place = self.path / "frames" / scene if pictures else camera
        assert place is not None
        stamp = digest([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(pictures)])
        spans: list[tuple[str, int, int, str]] = [(scene, 0, len(pictures) - 1, "")]
        if self.clips == "captions" and problem is None:
            spans = [one for one in captions if one[0] == scene]
        for _, first, last, text in spans:
            wrong = problem
            if wrong is None and last >= len(pictures):
                wrong = "bad_captions", f"its caption is of frames {first} to {last}, and the scene has {len(pictures)}"
            yield SourceItem(
                source,
                scene if self.clips == "scenes" or problem else f"{scene}/{first}_{last}",
                str(place.absolute()),
                self.licence,
                sidecars=(str(camera.absolute()),) if camera is not None else (),
                caption=text[:MAX_CAPTION],
                problem=wrong,
                detail={"first": first, "last": last},
                attributes={"scene": scene},
                stamp=stamp,
            )

    def _captions(self) -> tuple[list[tuple[str, int, int, str]], tuple[str, str] | None]:
        from worldloom.catalogs.formats.context_as_memory import read_captions

        path = self.path / "captions.txt"
        if self.clips != "captions":
            return [], None
        try:
            return read_captions(path), None
        except BadInput as error:
            return [], (error.reason, error.message)

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The frames of the item."""
        wanted = _pictures(Path(item.path))[item.detail["first"] : item.detail["last"] + 1]
        return Footage(pictures=wanted, fps=Fraction(self.fps).limit_denominator(1001), cuttable=False)

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """The cameras, after a look at whether the pictures move as they say.

        Raises:
            BadInput: `bad_poses`; `rotation_order_doubtful`, another order explains the pictures clearly better;
                `rotation_order_unclear`, none does with `rotation: auto`; `fov_unknown` with `hfov_deg: auto`.
        """
        from worldloom.annotators.rotation_order import fit_fov, intrinsics
        from worldloom.catalogs.formats.context_as_memory import poses_in_order, read_context_as_memory, read_locations

        camera, size = Path(item.sidecars[0]), (info.width, info.height)
        location, angles = read_locations(camera)
        pictures = _pictures(Path(item.path))
        if len(location) != len(pictures):
            what = f"{len(location)} cameras, and the scene has {len(pictures)} pictures"
            raise BadInput("bad_poses", what, where=camera, remedy="Take the scene out, or unpack it again.")
        fit = None
        if "auto" in (self.rotation, self.hfov_deg) or self.doubt != "ignore":
            fit = _fitted(str(camera), camera.stat().st_mtime_ns, pictures, size, self.fps)
        order, notes = self._order(fit, camera)
        fov = 90.0 if self.hfov_deg == "auto" else self.hfov_deg
        if fit is not None and fit.matches:
            best, error = fit_fov(fit.matches, poses_in_order(location, angles, order), fit.size)
            notes |= {"hfov_fits_deg": best, "hfov_fits_px": round(error, 4)}
            fov = best if self.hfov_deg == "auto" else fov
        elif self.hfov_deg == "auto":
            what = "the pictures have nothing to estimate a field of view by"
            raise BadInput("fov_unknown", what, where=camera, remedy="Set hfov_deg in the source.")
        path = read_context_as_memory(camera, order, float(intrinsics(fov, *size)[0]), size)
        path = path.take(slice(item.detail["first"], item.detail["last"] + 1))
        return Known(trajectory=path, notes={"rotation": order, "hfov_deg": fov, **notes})

    def _order(self, fit: OrderFit | None, camera: Path) -> tuple[RotationOrder, dict[str, object]]:
        """The order to take, and what the pictures say about it."""
        if fit is None or not fit.best or not fit.pairs:
            if fit is not None and not fit.pairs:  # all orders are one path
                return (ORDERS[0] if self.rotation == "auto" else self.rotation), {"rotation_check": "all orders agree"}
            if self.rotation != "auto":
                return self.rotation, {"rotation_check": "not done" if fit is None else "nothing matches"}
            what = "its pictures match nowhere, so they do not tell the order of the angles"
            raise BadInput("rotation_order_unclear", what, where=camera, remedy="Set rotation in the source.")
        notes: dict[str, object] = {"rotation_best": list(fit.best), "rotation_error_px": round(fit.median_px, 4)}
        notes |= {"rotation_matches": fit.count}
        if math.isfinite(fit.second_px):
            notes["rotation_next_px"] = round(fit.second_px, 4)
        told = ", ".join(f"{name} {error:.2f}" for name, error in sorted(fit.errors_px.items(), key=lambda one: one[1]))
        if self.rotation == "auto":
            if fit.second and not fit.clear:
                what = f"no order explains the pictures clearly best (median error in pixels: {told})"
                raise BadInput("rotation_order_unclear", what, where=camera, remedy="Set rotation in the source.")
            return next(order for order in ORDERS if order in fit.best), notes
        if fit.doubts(self.rotation) and self.doubt == "refuse":
            what = f"{self.rotation} does not explain the pictures (median error in pixels: {told})"
            remedy = f"Set rotation: {fit.best[0]}, or auto."
            raise BadInput("rotation_order_doubtful", what, where=camera, remedy=remedy)
        return self.rotation, {**notes, "rotation_doubtful": fit.doubts(self.rotation)}


@lru_cache(maxsize=4)
def _fitted(camera: str, changed_ns: int, pictures: tuple[Path, ...], size: tuple[int, int], fps: float) -> OrderFit:
    """What the pictures of a scene say; many stretches of one scene ask the same."""
    from worldloom.annotators.rotation_order import fit_order
    from worldloom.catalogs.formats.context_as_memory import poses_in_order, read_locations
    from worldloom.catalogs.pictures import read_picture

    location, angles = read_locations(camera)
    candidates: dict[str, np.ndarray] = {order: poses_in_order(location, angles, order) for order in ORDERS}
    return fit_order(lambda i: read_picture(pictures[i]), candidates, size, fps)


def _problem_of(scene: str, pictures: list[Path], camera: Path | None) -> tuple[str, str] | None:
    if camera is None:
        return "no_poses", f"there is no jsons/{scene}.json"
    if not pictures:
        return "no_video", f"there is no folder frames/{scene} with pictures"
    numbers = sorted(number for path in pictures if (number := _number(path)) is not None)
    for i, number in enumerate(numbers):
        if number < i:
            return "doubled_frames", f"frame {number} is there twice"
        if number > i:
            return "missing_frames", f"frame {i} is missing; {len(pictures)} pictures go up to {numbers[-1]}"
    return None


def _number(path: Path) -> int | None:
    stem, ending = path.stem, path.suffix.lower()
    return (
        int(stem)
        if ending in (".png", ".jpg", ".jpeg") and stem.isascii() and stem.isdigit() and len(stem) < 10
        else None
    )


def _pictures(folder: Path) -> tuple[Path, ...]:
    inside = folder.parents[1]  # of frames/<scene>
    found = [path for path in walk_files(folder, recursive=False, within=inside) if _number(path) is not None]
    return tuple(sorted(found, key=lambda path: (_number(path) or 0, path.name)))
