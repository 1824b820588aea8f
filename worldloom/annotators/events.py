"""Exits, entries and hidden intervals from the visibility of subjects; the rules are `catalogs.events`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.events import EventRules, find_events


class EventAnnotator(Annotator):
    """Reads tracks only. Where no subject ever leaves or comes the list is empty, and that is an answer."""

    name = "events"
    version = "1"
    method = "tracks"
    needs = ("subjects",)
    gives = "events"
    Config = EventRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Find the events of every subject; how many of each kind stands in the notes."""
        if clip.subjects is None:
            return Absent("no subjects")
        events = find_events(clip.subjects, clip.width, clip.height, self.config)
        kinds = Counter(event.kind for event in events)
        return Given(events, notes={kind: kinds[kind] for kind in sorted(kinds)})
