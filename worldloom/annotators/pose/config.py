"""Knobs of the pose annotator."""

from __future__ import annotations

from pydantic import Field

from worldloom.annotators.pose.links import LinkRules
from worldloom.annotators.pose.motion import StillRules
from worldloom.annotators.pose.restarts import RestartRules
from worldloom.annotators.pose.sfm import MappingRules
from worldloom.annotators.pose.stretches import TurnRules
from worldloom.annotators.pose.tracks import TrackRules
from worldloom.catalogs.config import Strict


class PoseConfig(Strict):
    """Knobs of the pose annotator; the parts' own knobs stand beside the parts. Defaults ours unless said."""

    use_source: bool = True
    """Keep the cameras that a source brought along."""
    focal_px: float | None = Field(None, gt=0)
    """Focal length in pixels of the stored video where it is known; it is then held."""
    horizontal_fov_deg: float = Field(60.0, gt=5, lt=150)
    """First guess where no focal length is known: between a phone (65) and a cine camera (37 in HyDRA's clips)."""
    working_side: int = Field(480, ge=160)
    """Longer side in pixels that pictures are shrunk to; never enlarged."""
    min_frames: int = Field(8, ge=3)
    """Shorter clips get no pose."""
    min_points: int = Field(20, ge=8)
    """Corners that half of all frames must hold: below, there is no texture."""
    turning_share: float = Field(0.93, gt=0, le=1)
    """A camera that only turns explains this share of the matches, mean over pairs of key frames (measured on rendered
    clips: 0.98; up to 0.76 where a camera mostly turns and moves a little) ..."""
    turning_worst: float = Field(0.75, gt=0, le=1)
    """... and this share in the pair that is worse than nine in ten ..."""
    turning_px: float = Field(1.5, gt=0)
    """... within this many pixels of a picture 480 wide."""
    turning_fallback: tuple[float, float] = (0.6, 0.45)
    """The same two shares where people fill much of the picture, and no model of a moving camera is to be had."""
    least_used: float = Field(0.2, gt=0, le=1)
    """Least share of the matched keypoints that a model makes points of (`Model.used`)."""
    seed: int = 0
    """Of every random draw."""
    track: TrackRules = TrackRules()
    still: StillRules = StillRules()
    link: LinkRules = LinkRules()
    turn: TurnRules = TurnRules()
    mapping: MappingRules = MappingRules()
    restart: RestartRules = RestartRules()
