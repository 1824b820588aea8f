"""Is a dataset what its manifest says? Every problem names the file and, where there is one, the member."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.card import stale_copies
from worldloom.catalogs.catalog import read_catalog
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.manifest import FileEntry, Manifest, ShardEntry, latest, removed_list
from worldloom.catalogs.origins import Leak, split_leaks
from worldloom.catalogs.sample import members_to_clip
from worldloom.catalogs.sandbox import Child, ChildFailure, Limits
from worldloom.catalogs.shards import BLOCK, Member, read_member, scan_shard
from worldloom.catalogs.storage import FolderStore, Store, open_store
from worldloom.catalogs.takedown import taken_down

_SAMPLE_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: path in the dataset.
        member: of the shard, empty where the whole file is meant.
        message: what is wrong with it.
    """

    file: str
    member: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}{f' member {self.member}' if self.member else ''}: {self.message}"


@dataclass
class VerifyReport:
    """What was looked at and what is wrong.

    Attributes:
        problems: in the order found.
        number: of the manifest.
        shards: looked at.
        samples: found in them.
        bytes: read.
        leaks: sources, and families of derived clips, that lie in several splits: nothing is damaged, but a model
            would be tested on what it was trained on. A split `by: clip` and a merge may do that.
    """

    problems: list[Problem] = field(default_factory=list)
    number: int = 0
    shards: int = 0
    samples: int = 0
    bytes: int = 0
    leaks: list[Leak] = field(default_factory=list)

    def add(self, file: str, message: str, member: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(file, member, message))


def verify(dataset: Path | str, deep: bool = True) -> VerifyReport:
    """Check digests, counts, order of members, that the catalog agrees with the shards, and the card with the manifest.

    Args:
        dataset: its folder or `s3://bucket/prefix`; of an object store, one shard at a time is copied here.
        deep: also open every member: records and arrays that fit together, videos that decode to their last frame.
            Runs in a child process, for a dataset may come from anywhere.

    Raises:
        UsageError: there is no dataset.
        BadInput: `bad_manifest`.
    """
    store = open_store(dataset)
    manifest = latest(dataset)
    report = VerifyReport(number=manifest.number)
    for name, told in stale_copies(dataset).items():
        if told:
            remedy = f"worldloom rollback {store.place} {manifest.number}"
            report.add(name, f"tells of manifest {told}, latest is {manifest.number}; to write it anew: {remedy}")
    rows = _catalog_rows(store, manifest, report)
    with Child("worldloom.catalogs.verify:sample_problems", Limits(deadline_s=_SAMPLE_DEADLINE_S)) as child:
        for shard in manifest.shards:
            _verify_shard(store, shard, rows.pop(shard.path, None), child if deep else None, report)
            report.shards += 1
    for path, left in sorted(rows.items()):
        report.add(manifest.catalog.path, f"names {len(left)} clips in {path}, which is no shard of the manifest")
    if report.samples != manifest.samples:
        report.add(
            f"manifests/{manifest.number:06d}.json", f"counts {manifest.samples} samples, {report.samples} found"
        )
    return report


def sample_problems(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong inside one sample: (member, message). Runs in the child.

    Args:
        payload: `path` of the shard, `key`, and `members`: offset and length by extension.
    """
    members = {}
    with Path(payload["path"]).open("rb") as file:
        for extension, (offset, length) in payload["members"].items():
            members[extension] = read_member(file, Member(payload["key"], extension, offset, length), payload["path"])
    try:
        clip = members_to_clip(payload["key"], members)
    except BadInput as error:
        return [("", str(error))]
    problems = [(member, message) for member, message in clip_problems(clip) if member in members]
    return problems + [("mp4", message) for message in _video_problems(clip)]


def clip_problems(clip: Clip) -> list[tuple[str, str]]:
    """Arrays that do not fit the clip's length: (member, message)."""
    frames = clip.frames
    lengths: list[tuple[str, str, int]] = [("camera.npz", "pts_s", len(clip.pts_s))]
    if clip.camera is not None:
        per_frame = ("c2w", "intrinsics", "confidence", "valid", "translation_known", "scale_group")
        lengths += [("camera.npz", name, len(getattr(clip.camera, name))) for name in per_frame]
    if clip.actions is not None:
        lengths += [("actions.npz", name, len(getattr(clip.actions, name))) for name in ("move", "view", "motion")]
    if clip.subjects is not None:
        lengths += [("subjects.npz", name, getattr(clip.subjects, name).shape[1]) for name in ("box", "visibility")]
    if clip.hands is not None:
        lengths += [("hands.npz", "joints", len(clip.hands.joints))]
    found = [(member, f"{name} has {n} frames, the clip {frames}") for member, name, n in lengths if n != frames]
    inside: list[tuple[str, str, np.ndarray]] = []
    if clip.depth is not None:
        inside.append(("depth.npz", "depth", np.asarray(clip.depth.frames)))
    if clip.revisits is not None:
        inside.append(("json", "revisits", clip.revisits.pairs))
    inside.append(("json", "events", np.array([e.first_hidden or 0 for e in clip.events], np.int64)))
    for member, name, at in inside:
        if at.size and (at.min() < 0 or at.max() >= frames):
            found.append((member, f"{name} name frame {int(at.max())} of a clip of {frames}"))
    if clip.subjects is not None and (strangers := {e.subject for e in clip.events} - set(clip.subjects.id.tolist())):
        found.append(("json", f"events of subjects that are not there: {sorted(strangers)}"))
    return found


def _video_problems(clip: Clip) -> list[str]:
    from worldloom.catalogs.decode import decode_source
    from worldloom.catalogs.probe import probe

    if not isinstance(clip.video, bytes):
        return []
    try:
        info = probe(clip.video)
        source = decode_source(clip.video)
        for _ in source:
            pass
    except BadInput as error:
        return [str(error)]
    problems = []
    if source.frames != clip.frames or source.damaged or source.error:
        problems.append(
            f"{source.frames} of {clip.frames} frames decode, {source.damaged} damaged {source.error}".strip()
        )
    if (info.width, info.height) != (clip.width, clip.height):
        problems.append(f"{info.width} x {info.height} pixels, the record says {clip.width} x {clip.height}")
    if clip.frames > 1 and info.fps != clip.fps:
        problems.append(f"{info.fps} frames/s, the record says {clip.fps}")
    return problems


def _catalog_rows(store: Store, manifest: Manifest, report: VerifyReport) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows by shard and key; damage is reported, and what can be read is used all the same."""
    try:
        with _fetched(store, manifest.catalog, report) as (path, _):
            if path is None:
                return {}
            table = read_catalog(path)
        rows = table.select(["key", "shard", "members", "split"]).to_pylist()
        report.leaks = split_leaks(table)
        for key in taken_down(table, removed_list(manifest)):
            report.add(manifest.catalog.path, f"clip {key} is in it, though it was taken down")
    except (BadInput, KeyError, ValueError) as error:
        report.add(manifest.catalog.path, getattr(error, "message", str(error)))
        return {}
    if len(rows) != manifest.samples:
        report.add(manifest.catalog.path, f"has {len(rows)} rows, the manifest counts {manifest.samples} samples")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["shard"], {})[row["key"]] = row
    return found


@contextmanager
def _fetched(store: Store, entry: FileEntry, report: VerifyReport) -> Iterator[tuple[Path | None, bool]]:
    """A local file with the content, or None, and whether it is what the manifest says; problems are noted.

    Of an object store the copy lasts as long as the block, and is not kept in the cache: a dataset may be larger than
    this machine's disk.
    """
    here = isinstance(store, FolderStore)
    with nullcontext(store.place) if here else tempfile.TemporaryDirectory(prefix="worldloom-verify-") as folder:
        copy = Path(folder, entry.path if here else Path(entry.path).name)
        digest, size = hashlib.sha256(), 0
        try:
            with nullcontext() if here else copy.open("wb") as file:
                for chunk in store.chunks(entry.path):
                    digest.update(chunk)
                    size += len(chunk)
                    if file is not None:
                        file.write(chunk)
        except OSError as error:
            report.add(entry.path, f"cannot be read ({error.strerror or 'no such file'})")
            yield None, False
            return
        report.bytes += size
        if size != entry.bytes:
            report.add(entry.path, f"has {size} bytes, the manifest says {entry.bytes}")
        elif digest.hexdigest() != entry.sha256:
            report.add(entry.path, "its sha256 is not the one in the manifest")
        yield copy, (size, digest.hexdigest()) == (entry.bytes, entry.sha256)


def _verify_shard(
    store: Store, shard: ShardEntry, rows: dict[str, dict[str, Any]] | None, child: Child | None, report: VerifyReport
) -> None:
    before = len(report.problems)
    with _fetched(store, shard, report) as (path, whole):
        if path is not None:
            _verify_content(path, whole, shard, rows or {}, report)
            if child is not None and len(report.problems) == before:
                _verify_samples(path, shard.path, child, report)


def _verify_content(
    path: Path, whole: bool, shard: ShardEntry, rows: dict[str, dict[str, Any]], report: VerifyReport
) -> None:
    damaged = len(report.problems)
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with path.open("rb") as file:
            for member in scan_shard(file, shard.path):
                samples.setdefault(member.key, {})[member.extension] = (member.offset, member.length)
                _verify_member(shard.path, member, read_member(file, member, shard.path), rows, report)
    except BadInput as error:
        report.add(shard.path, error.message)
    report.samples += len(samples)
    if len(samples) != shard.samples:
        report.add(shard.path, f"holds {len(samples)} samples, the manifest says {shard.samples}")
    for key, row in sorted(rows.items()):
        if key not in samples:
            report.add(shard.path, f"sample {key} of the catalog is not in it")
            continue
        for name in sorted({one["name"] for one in row["members"]} - samples[key].keys()):
            report.add(shard.path, "is in the catalog, not in the shard", f"{key}.{name}")
        if row["split"] != shard.split:
            report.add(shard.path, f"sample {key} is of split '{row['split']}', the shard of '{shard.split}'")
    if not whole and len(report.problems) == damaged:
        report.add(
            shard.path, f"every member is what was written: the damage is in headers or padding ({BLOCK}-byte blocks)"
        )


def _verify_member(
    shard: str, member: Member, content: bytes, rows: dict[str, dict[str, Any]], report: VerifyReport
) -> None:
    row = rows.get(member.key)
    if row is None:
        report.add(shard, "the catalog does not know this sample", member.name)
        return
    span = next((one for one in row["members"] if one["name"] == member.extension), None)
    if span is None:
        report.add(shard, "the catalog does not know this member", member.name)
    elif (span["offset"], span["length"]) != (member.offset, member.length):
        report.add(shard, "does not lie where the catalog says", member.name)
    elif span["crc32"] != zlib.crc32(content):
        report.add(shard, "its bytes are not those that were written", member.name)


def _verify_samples(path: Path, shard: str, child: Child, report: VerifyReport) -> None:
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    with path.open("rb") as file:
        for member in scan_shard(file, shard):
            samples.setdefault(member.key, {})[member.extension] = (member.offset, member.length)
    for key, members in samples.items():
        try:
            found = child.call({"path": str(path), "key": key, "members": members})
        except (ChildFailure, BadInput) as error:
            found = [("", str(error))]
        for name, message in found:
            report.add(shard, message, f"{key}.{name}" if name else key)
