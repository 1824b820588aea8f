"""Annotators one after the other on one clip, each on what those before it found; no ledger, no Ray."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from worldloom.annotators.annotator import BY_DEFAULT, GIVERS, Absent, annotator_class
from worldloom.catalogs.clip import Annotation, Clip
from worldloom.catalogs.errors import BadInput


def with_needed(names: Iterable[str] = BY_DEFAULT) -> list[str]:
    """These annotators and those that give what they need, each after what it needs.

    Raises:
        UsageError: an unknown annotator, with the nearest name.
    """
    ordered: list[str] = []
    for name in names:
        needed = [GIVERS[need] for need in annotator_class(name).needs if need in GIVERS]
        ordered += [one for one in [*with_needed(needed), name] if one not in ordered]
    return ordered


def label(clip: Clip, names: Iterable[str], scratch: Path) -> tuple[Clip, dict[str, float]]:
    """Label a clip with annotators in their default configuration.

    Args:
        clip: stays as it is.
        names: of annotators, each after those it needs.
        scratch: folder for their scratch files.

    Returns:
        The labelled clip, and the CPU seconds each annotator took. One that lacks what it needs is `absent`.
    """
    clip = replace(clip, annotations=dict(clip.annotations), quality=dict(clip.quality))
    seconds: dict[str, float] = {}
    for name in names:
        annotator = annotator_class(name)()
        missing = [need for need in annotator.needs if need != "frames" and getattr(clip, need) is None]
        if missing:
            clip.annotations[name] = annotator.record(Absent(f"missing {missing[0]}"))
            continue
        room = scratch / name
        room.mkdir(parents=True, exist_ok=True)
        started = time.process_time()
        try:
            answer = annotator.annotate(clip, room)
        except BadInput as error:
            clip.annotations[name] = Annotation("failed", annotator.method, annotator.version, error.reason, 0.0)
            continue
        finally:
            seconds[name] = time.process_time() - started
            shutil.rmtree(room, ignore_errors=True)
        clip.annotations[name] = annotator.record(answer)
        if isinstance(answer, Absent):
            continue
        if annotator.gives == "quality":
            clip.quality |= answer.value
        else:
            setattr(clip, annotator.gives, answer.value)
    return clip, seconds
